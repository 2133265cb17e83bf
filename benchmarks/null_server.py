"""Our server around an OCR model that neither decodes nor computes: what is left is the cost of serving.

python benchmarks/null_server.py PORT
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrItem, OcrOutput, OcrRequest
from tianzi_models.registry import load_model
from tianzi_service.cli import main
from tianzi_service.lifecycle import server

CROP = np.full((48, 48), 255, np.uint8)
OUTPUT = OcrOutput(np.arange(20), np.linspace(0.9, 0.001, 20, dtype=np.float32), 0.0)


class NullOcr(OcrModel):
    """Answers every request alike."""

    def preprocess(self, request: OcrRequest) -> OcrItem:
        return OcrItem(CROP, request.top_k, self.allowed.everything)

    def run(self, items: Sequence[OcrItem]) -> list[OcrOutput]:
        return [OUTPUT] * len(items)


def load(name: str, *args: Any, **options: Any) -> Any:
    """Loads a model as the server would; of the characters' keeps the bundle only."""
    model = load_model(name, *args, **options)
    return NullOcr(model.bundle, model.session) if name == "ocr" else model


if __name__ == "__main__":
    server.load_model = load
    sys.argv = [sys.argv[0], "serve", "--port", sys.argv[1], "--log-level", "warning"]
    main()
