"""The OCR bundle as a runtime of MLServer, run by MLServer's own Python: decoding, network and answer are our code.

Folder for `mlserver start`: python mlserver_ocr.py FOLDER PORT writes it.
"""

import json
import os
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from tianzi_models import bundle as bundles
from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrRequest
from tianzi_models.runtime import Session


class OcrRuntime(MLModel):
    """BYTES tensor "image" → BYTES tensor "text"."""

    async def load(self) -> bool:
        path = bundles.find(bundles.default_root(), "ocr")
        bundle = bundles.load(path, OcrModel.contract)
        self._model = OcrModel(bundle, Session(bundle.int8_graph or bundle.graph, "cpu", len(os.sched_getaffinity(0))))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        requests = [OcrRequest(bytes(image), 5) for image in payload.inputs[0].data.root]
        items = [self._model.preprocess(request) for request in requests]
        answers = map(self._model.postprocess, items, self._model.run(items))
        texts = [answer.candidates[0].text.encode() for answer in answers]
        output = ResponseOutput(name="text", shape=[len(texts)], datatype="BYTES", data=texts)
        return InferenceResponse(model_name=self.name, outputs=[output])


def write_folder(folder: Path, port: int, workers: int) -> None:
    """Its settings: rows of all callers are gathered up to 64, for 1 ms at most."""
    settings = {
        "host": "127.0.0.1",
        "http_port": 0,
        "grpc_port": port,
        "metrics_port": 0,
        "parallel_workers": workers,
        "debug": False,
    }
    model = {
        "name": "ocr",
        "implementation": "mlserver_ocr.OcrRuntime",
        "max_batch_size": 64,
        "max_batch_time": 0.001,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    write_folder(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
