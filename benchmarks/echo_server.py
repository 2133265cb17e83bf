"""gRPC alone: answers the load's calls with one recorded answer each, and neither looks at a picture nor computes.

Calls of FILL are refused, before they are read.

python benchmarks/echo_server.py PORT WORKERS
"""

import subprocess
import sys
from typing import Any

import tianzi_service  # noqa: F401 before gRPC, which then listens as it does for our server

# isort: split
import calls
import grpc
import targets
import uvloop

from tianzi.v1 import ocr_pb2, timing_pb2
from tianzi_models.ocr.types import DEFAULT_TOP_K

CANDIDATES = [ocr_pb2.CharacterCandidate(text="填", confidence=1 / place) for place in range(1, DEFAULT_TOP_K + 1)]
TIMING = timing_pb2.Timing(queue_us=100, preprocess_us=100, inference_us=100, postprocess_us=100)
REFUSAL = "model cloze: 256 rows under way, at most 256"
ANSWER = ocr_pb2.RecognizeResponse(candidates=CANDIDATES, model_version=1, timing=TIMING)


class Echo(grpc.GenericRpcHandler):
    """The three kinds of call. Of a stream's messages the id is read: its answers have to name it."""

    def __init__(self) -> None:
        one = ANSWER.SerializeToString()
        items = [ocr_pb2.BatchRecognizeResponse.Item(ok=ANSWER)] * calls.BATCH
        many = ocr_pb2.BatchRecognizeResponse(items=items).SerializeToString()

        async def recognize(_: bytes, context: Any) -> bytes:
            return one

        async def batch(_: bytes, context: Any) -> bytes:
            return many

        async def stream(requests: Any, context: Any) -> None:
            while (request := await context.read()) is not grpc.aio.EOF:
                await context.write(ocr_pb2.StreamRecognizeResponse(id=request.id, ok=ANSWER))

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, REFUSAL)

        self._handlers = {
            calls.FILL: grpc.stream_stream_rpc_method_handler(refuse),
            calls.OCR + "Recognize": grpc.unary_unary_rpc_method_handler(recognize),
            calls.OCR + "BatchRecognize": grpc.unary_unary_rpc_method_handler(batch),
            calls.OCR + "StreamRecognize": grpc.stream_stream_rpc_method_handler(
                stream,
                ocr_pb2.StreamRecognizeRequest.FromString,
                ocr_pb2.StreamRecognizeResponse.SerializeToString,
            ),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)


async def serve(port: int) -> None:
    """Until it is ended."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    """Serves with as many processes as asked for, this one included."""
    targets.stop_when_told()
    port, workers = map(int, sys.argv[1:3])
    others = [subprocess.Popen([sys.executable, __file__, str(port), "1"]) for _ in range(workers - 1)]
    try:
        uvloop.run(serve(port))
    finally:
        for other in others:
            other.terminate()


if __name__ == "__main__":
    main()
