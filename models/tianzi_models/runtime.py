"""Opens onnxruntime sessions: which provider, how many threads, telemetry off."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tianzi_models.denormals import flushed
from tianzi_models.errors import BundleError, InferenceError, ModelNotReady
from tianzi_models.gpu import CPU, CUDA, Gpu, Providers, providers

# Read when the library is loaded: without it onnxruntime writes to the home folder and looks up hosts.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from tianzi_models.buckets import Buckets

DEVICES = ("auto", "cpu", "cuda")
# After one of CUDA's errors each further call fails; only 2, no memory for this run, leaves the card as it was.
LOST = re.compile(r"CUDA failure (?!2:)\d+")
NO_GPU = Gpu()


class Session:
    """One ONNX graph on one provider. run() frees the GIL; call it from one thread at a time."""

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        threads: int = 1,
        gpu: Gpu = NO_GPU,
        *,
        bucketed: bool = False,
        fp16: bool = False,
    ) -> None:
        """Opens the graph.

        device: "cuda" fails where CUDA does not answer, "auto" falls back to the CPU.
        threads: intra-op threads on the CPU. gpu: how a card is used, if one is.
        bucketed: see Model.bucketed. fp16: whether the graph's weights are.

        Raises:
            BundleError: the file is no graph that this runtime reads, or CUDA or TensorRT was asked for in vain.
        """
        if device not in DEVICES:
            raise ValueError(f"device: {device!r}, must be one of {', '.join(DEVICES)}")
        graph_rows = gpu.graph_rows if bucketed and gpu.buffers else 0
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads burn the cores that decoding and gRPC need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # For its own threads; it leaves the thread that opens the first session so, too, but for flushed().
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        options.log_severity_level = 3
        chosen: Providers = [(CPU, {})]
        if may_use_cuda(device):
            if hasattr(ort, "preload_dlls"):
                ort.preload_dlls()  # CUDA libraries from their wheels; silent where there are none
            chosen = providers(gpu, graphs=graph_rows > 0, fp16=fp16)
        try:
            # Without fallback: when a run fails, onnxruntime's Python would go on, on the CPU.
            with flushed():
                self._session = ort.InferenceSession(str(path), options, providers=chosen, enable_fallback=0)
        except Exception as error:  # onnxruntime's errors share no base class
            raise BundleError(f"{path}: onnxruntime cannot open it: {_first_line(error)}") from error
        if device == "cuda" and not self.on_gpu:
            raise BundleError(f"device cuda: onnxruntime fell back to {self.provider}; is a CUDA driver installed?")
        if gpu.tensorrt_cache is not None and self.provider == CUDA:
            raise BundleError("tensorrt_cache: onnxruntime fell back to CUDA; are TensorRT's libraries installed?")
        self.input_names = [value.name for value in self._session.get_inputs()]
        self.output_names = [value.name for value in self._session.get_outputs()]
        self._buckets = None
        if bucketed and gpu.buffers and self.on_gpu:
            self._buckets = Buckets(self._session, "cuda", graph_rows)

    @property
    def provider(self) -> str:
        """The provider that really runs the graph, CPUExecutionProvider say."""
        return str(self._session.get_providers()[0])

    @property
    def on_gpu(self) -> bool:
        return self.provider != CPU

    def run(self, feeds: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Runs the graph once; every output by name.

        Raises:
            InferenceError: whatever onnxruntime raised, its InvalidArgument too: the input was ours.
            ModelNotReady: the card is lost to this process.
        """
        try:
            buckets = self._buckets
            with flushed():
                outputs = buckets.run(feeds) if buckets is not None else self._session.run(None, dict(feeds))
        except Exception as error:
            if LOST.search(str(error)):
                raise ModelNotReady(f"onnxruntime: {_first_line(error)}") from error
            raise InferenceError(f"onnxruntime: {_first_line(error)}") from error
        return {name: np.asarray(output) for name, output in zip(self.output_names, outputs, strict=True)}


def may_use_cuda(device: str) -> bool:
    """Whether a session would try CUDA. It may still fall back: the GPU build lists CUDA without a GPU, too."""
    return device != "cpu" and CUDA in ort.get_available_providers()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
