"""Processor time of the server for a single call over HTTP, in each form of an image, beside the same over gRPC.

The model does nothing, so that what is left is the cost of serving. Both ways take turns, as a machine may change its
pace.
"""

import argparse
import asyncio
import base64
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import calls
import targets
import uvloop
from driver import Send, closed

IMAGE = (Path(__file__).resolve().parents[1] / "examples/zi.png").read_bytes()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with one request under way. It costs the caller little: the answer's length is all that is read."""

    def __init__(self) -> None:
        self._received = b""
        self._whole: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]):
            self._received = b""
            assert self._whole
            self._whole.set_result(head)

    async def send(self, request: bytes) -> int:
        """One call; 1 where it was answered well."""
        self._whole = asyncio.get_running_loop().create_future()
        self.transport.write(request)  # type: ignore[attr-defined]
        return int((await self._whole).startswith(b"HTTP/1.1 200"))


def request(kind: str, body: bytes) -> bytes:
    """A whole request."""
    head = f"POST /v1/recognize HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def forms() -> dict[str, bytes]:
    """The ways to send an image."""
    part = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + IMAGE + b"\r\n--x--\r\n"
    return {
        "HTTP, image as the body": request("image/png", IMAGE),
        "HTTP, base64 in JSON": request(
            "application/json", json.dumps({"image": base64.b64encode(IMAGE).decode()}).encode()
        ),
        "HTTP, multipart": request("multipart/form-data; boundary=x", part),
    }


async def measure(callers: Sequence[int], seconds: float, rounds: int) -> None:
    """Prints a table, in microseconds a call."""
    http_port = targets.free_port()
    with targets.null_server("--http-port", str(http_port)) as server:
        async with calls.connected(server.address) as connections:
            ways: dict[str, list[Send]] = {"gRPC unary": [calls.unary(each, [IMAGE]) for each in connections]}
            for name, whole in forms().items():
                sends = []
                for _ in range(max(callers)):
                    _, mine = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", http_port)
                    sends.append(lambda number, mine=mine, whole=whole: mine.send(whole))
                ways[name] = sends
            print("| way | callers | µs of the processor a call | of gRPC's |\n|---|---|---|---|")
            for count in callers:
                spent: dict[str, list[float]] = {name: [] for name in ways}
                for _ in range(rounds):
                    for name, sends in ways.items():
                        before = server.cpu_s()
                        got = await closed(sends, count, seconds)
                        assert not got.failed, got.first_error
                        spent[name].append(1e6 * (server.cpu_s() - before) / got.items)
                grpc_us = statistics.median(spent["gRPC unary"])
                for name, each in spent.items():
                    middle = statistics.median(each)
                    print(f"| {name} | {count} | {middle:.0f} | {middle / grpc_us:.2f} |", flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--callers", nargs="+", type=int, default=[1, 16], metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    targets.stop_when_told()
    uvloop.run(measure(args.callers, args.seconds, args.rounds))


if __name__ == "__main__":
    main()
