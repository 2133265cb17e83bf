"""Opens onnxruntime sessions: which provider, how many threads, telemetry off."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import BundleError, InferenceError

# Read when the library is loaded: without it onnxruntime writes to the home folder and looks up hosts.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

DEVICES = ("auto", "cpu", "cuda")
CUDA = "CUDAExecutionProvider"


class Session:
    """One ONNX graph on one provider. run() frees the GIL; call it from one thread at a time."""

    def __init__(self, path: Path, device: str = "auto", threads: int = 1) -> None:
        """Opens the graph.

        device: "cuda" fails where CUDA does not answer, "auto" falls back to the CPU.
        threads: intra-op threads on the CPU.

        Raises:
            BundleError: the file is no graph that this runtime reads, or CUDA was asked for in vain.
        """
        if device not in DEVICES:
            raise ValueError(f"device: {device!r}, must be one of {', '.join(DEVICES)}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads burn the cores that decoding and gRPC need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=_providers(device))
        except Exception as error:  # onnxruntime's errors share no base class
            raise BundleError(f"{path}: onnxruntime cannot open it: {_first_line(error)}") from error
        if device == "cuda" and self.provider != CUDA:
            raise BundleError(f"device cuda: onnxruntime fell back to {self.provider}; is a CUDA driver installed?")
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]

    @property
    def provider(self) -> str:
        """The provider that really runs the graph, CPUExecutionProvider say."""
        return str(self._session.get_providers()[0])

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Runs the graph once; every output by name.

        Raises:
            InferenceError: whatever onnxruntime raised, its InvalidArgument too: the input was ours.
        """
        try:
            outputs = self._session.run(None, dict(feeds))
        except Exception as error:
            raise InferenceError(f"onnxruntime: {_first_line(error)}") from error
        return {name: np.asarray(output) for name, output in zip(self.output_names, outputs, strict=True)}


def may_use_cuda(device: str) -> bool:
    """Whether a session would try CUDA. It may still fall back: the GPU build lists CUDA without a GPU, too."""
    return device != "cpu" and CUDA in ort.get_available_providers()


def _providers(device: str) -> list[Any]:
    cpu: list[Any] = ["CPUExecutionProvider"]
    if not may_use_cuda(device):
        return cpu
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA libraries from their wheels; silent where there are none
    # EXHAUSTIVE, the default, re-tunes on every new shape: 634 ms against 1.9 ms.
    cuda = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    return [(CUDA, cuda), *cpu]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
