"""gRPC calls as bytes on a socket.

Who calls through gRPC for Python pays as much for a call as a server does. Where both share the cores, half of what is
measured would be the caller; here a call costs its caller a fraction of that.

HTTP/2 by RFC 9113. No more calls at a time than a server allows: the caller sees to that.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import headers
from headers import CallError

Reply = TypeVar("Reply")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK, PADDED = 1, 4, 1, 8
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 4, 5
WIDEST = 2**31 - 1
FIRST_WINDOW = 65_535
FRAME_HEAD, MESSAGE_HEAD = 9, 5  # bytes in front of a frame, and of a message in the frames of data
RENEW = 2**29  # bytes received, after which the server may send so many more


class Call:
    """One call on a connection. Messages are written and read in any order until either side has ended."""

    def __init__(self, connection: "Connection", path: str, timeout_s: float | None = None) -> None:
        self._connection = connection
        self.head = headers.of_call(path, connection.authority, timeout_s)
        self.number, self.window = 0, 0  # once it is on its way
        self.unsent: deque[tuple[bytes, bool]] = deque()
        self._received = b""
        self._messages: deque[bytes] = deque()
        self._error: CallError | None = None
        self._ended = False
        self._reader: asyncio.Future[None] | None = None

    def write(self, message: bytes, last: bool = False) -> None:
        """Sends a message, packed, as soon as the server has room for it. last: nothing follows."""
        self.unsent.append((struct.pack(">BI", 0, len(message)) + message, last))
        self._connection.push(self)

    def finish(self) -> None:
        """Nothing more will be written."""
        self.unsent.append((b"", True))
        self._connection.push(self)

    async def read(self) -> bytes | None:
        """The next message; None after the last. Raises: CallError: the call ended without success."""
        while not self._messages and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if self._messages:
            return self._messages.popleft()
        if self._error:
            raise self._error
        return None

    def take(self, data: bytes) -> None:
        """Takes in what the server sent."""
        messages, self._received = _cut(self._received + data, MESSAGE_HEAD, slice(1, 5))
        self._messages += [message[MESSAGE_HEAD:] for message in messages]
        self._wake()

    def end(self, error: CallError | None) -> None:
        """No more will come."""
        self._ended, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(None)


class Connection(asyncio.Protocol):
    """One connection to a server, for any number of calls at a time. authority: HOST:PORT."""

    def __init__(self, address: str) -> None:
        self.authority = address
        self._transport: Any = None
        self._received = b""
        self._calls: dict[int, Call] = {}
        self._next = 1
        self._window, self._call_window, self._frame = FIRST_WINDOW, FIRST_WINDOW, 16_384
        self._blocked: dict[Call, None] = {}  # for room in a window
        self._taken = 0

    @classmethod
    async def open(cls, address: str) -> "Connection":
        """Connects to HOST:PORT. Raises: OSError: nothing listens there."""
        host, _, port = address.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(lambda: cls(address), host, int(port))
        return connection

    def close(self) -> None:
        """Ends the connection and the calls on it."""
        self._transport.close()

    def push(self, call: Call) -> None:
        """Sends what a call has to send, as far as the server's windows allow."""
        if not call.number:
            call.number, call.window = self._next, self._call_window
            self._next += 2
            self._calls[call.number] = call
            self._transport.write(_frame(HEADERS, END_HEADERS, call.number, call.head))
        while call.unsent:
            data, last = call.unsent.popleft()
            room = max(0, min(self._window, call.window, self._frame))
            part, rest = data[:room], data[room:]
            if part or not data:
                self._window -= len(part)
                call.window -= len(part)
                self._transport.write(_frame(DATA, END_STREAM if last and not rest else 0, call.number, part))
            if rest:
                call.unsent.appendleft((rest, last))
                if not part or not min(self._window, call.window):
                    self._blocked[call] = None
                    return
        self._blocked.pop(call, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, WIDEST)
        widened = struct.pack(">I", WIDEST - FIRST_WINDOW)
        self._transport.write(PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, widened))

    def connection_lost(self, exc: Exception | None) -> None:
        for call in self._calls.values():
            call.end(CallError(grpc.StatusCode.UNAVAILABLE, f"the connection ended: {exc}"))
        self._calls.clear()

    def data_received(self, data: bytes) -> None:
        frames, self._received = _cut(self._received + data, FRAME_HEAD, slice(0, 3))
        for frame in frames:
            self._frame_received(frame[3], frame[4], int.from_bytes(frame[5:9], "big"), frame[FRAME_HEAD:])

    def _frame_received(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        call = self._calls.get(number)
        if kind == DATA:
            assert not flags & PADDED
            self._taken += len(payload)
            if self._taken > RENEW:
                self._transport.write(_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken)))
                self._taken = 0
            if call:
                call.take(payload)
                if flags & END_STREAM:
                    self._end(call, CallError(grpc.StatusCode.UNKNOWN, "no trailers"))
        elif kind == HEADERS:
            assert flags & END_HEADERS and not flags & PADDED
            if call and flags & END_STREAM:
                self._end(call, headers.error_of(payload))
        elif kind == RST_STREAM:
            if call:
                self._end(call, CallError(grpc.StatusCode.CANCELLED, f"reset, {int.from_bytes(payload, 'big')}"))
        elif kind == SETTINGS:
            if not flags & ACK:
                self._settings_received(payload)
        elif kind == PING:
            if not flags & ACK:
                self._transport.write(_frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self._transport.close()
        elif kind == WINDOW_UPDATE:
            room = int.from_bytes(payload, "big")
            if call:
                call.window += room
            elif not number:
                self._window += room
            self._push_blocked()
        else:
            assert kind != CONTINUATION, "headers of more than one frame"

    def _settings_received(self, payload: bytes) -> None:
        for key, value in struct.iter_unpack(">HI", payload):
            if key == MAX_FRAME_SIZE:
                self._frame = value
            elif key == INITIAL_WINDOW_SIZE:
                for call in self._calls.values():
                    call.window += value - self._call_window
                self._call_window = value
        self._transport.write(_frame(SETTINGS, ACK, 0, b""))
        self._push_blocked()

    def _push_blocked(self) -> None:
        for call in [*self._blocked]:
            self.push(call)

    def _end(self, call: Call, error: CallError | None) -> None:
        del self._calls[call.number]
        self._blocked.pop(call, None)
        call.unsent.clear()
        call.end(error)


async def unary(
    connection: Connection, path: str, request: bytes, parse: Callable[[bytes], Reply], timeout_s: float | None = None
) -> Reply:
    """One request, packed, and its reply. Raises: CallError: the call ended without success."""
    call = Call(connection, path, timeout_s)
    call.write(request, last=True)
    reply = await call.read()
    # Its status comes with the message, or after it.
    if reply is None or await call.read() is not None:
        raise CallError(grpc.StatusCode.INTERNAL, "not one reply")
    return parse(reply)


def _cut(data: bytes, head: int, length: slice) -> tuple[list[bytes], bytes]:
    """Whole records, each a head that tells its body's length and the body, and the beginning of one that is left."""
    records, start = [], 0
    while len(data) - start >= head:
        end = start + head + int.from_bytes(data[start + length.start : start + length.stop], "big")
        if end > len(data):
            break
        records.append(data[start:end])
        start = end
    return records, data[start:]


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, number) + payload
