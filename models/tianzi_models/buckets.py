"""Buckets: runs padded to a power of two of rows, with tensors that stay where they are on the device.

So a card sees few shapes, its memory does not grow, and a run can be recorded as a CUDA graph.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort

from tianzi_models.errors import BundleError

Array: TypeAlias = np.ndarray[Any, Any]
Key: TypeAlias = tuple[int, ...]

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
GRAPH_ID = "gpu_graph_id"
NOT_RECORDED = "-1"


def bucket_of(rows: int) -> int:
    """The least power of two that is no less."""
    return 1 << (rows - 1).bit_length()


class Buckets:
    """Runs of one session. Every input varies in its first dimension only, and is padded there with zeros.

    The first input's first dimension are the rows: outputs have it, too, and are cut to it.
    """

    def __init__(self, session: ort.InferenceSession, device: str, graph_rows: int = 0) -> None:
        """device: "cuda" or "cpu". graph_rows: buckets of up to so many rows are recorded as CUDA graphs, for which
        the session must have been opened; 0: none.

        Raises:
            BundleError: an output's shape does not follow from the rows.
        """
        self._session = session
        self._device = device
        self._graph_rows = graph_rows
        self._inputs = [value.name for value in session.get_inputs()]
        rows = session.get_inputs()[0].shape[0]
        for output in session.get_outputs():
            if output.shape[0] != rows or not all(isinstance(size, int) for size in output.shape[1:]):
                raise BundleError(f"output {output.name}: shape {output.shape}, must be {rows} and then fixed sizes")
        self._there: dict[Key, _Bucket] = {}

    def __len__(self) -> int:
        """How many there are so far."""
        return len(self._there)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Runs once; the outputs in the session's order. onnxruntime's errors are left as they are."""
        arrays = [feeds[name] for name in self._inputs]
        key = tuple(bucket_of(len(array)) for array in arrays)
        if key not in self._there:
            self._there[key] = self._make(key, arrays)
        return self._there[key].run(arrays)

    def _make(self, key: Key, arrays: list[Array]) -> "_Bucket":
        rows, *others = key
        options = ort.RunOptions()
        if self._graph_rows:
            # Of those with a second input of several rows there are many, and each is rare.
            recorded = rows <= self._graph_rows and all(size in (1, rows) for size in others)
            # onnxruntime keeps 0 for itself.
            options.add_run_config_entry(GRAPH_ID, str(1 + len(self._there)) if recorded else NOT_RECORDED)
        return _Bucket(self._session, self._device, key, arrays, options)


class _Bucket:
    """The tensors for one number of rows, on the host and on the device."""

    def __init__(
        self, session: ort.InferenceSession, device: str, key: Key, arrays: list[Array], options: ort.RunOptions
    ) -> None:
        self._session = session
        self._options = options
        self._binding = session.io_binding()
        self._host = [np.zeros((size, *array.shape[1:]), array.dtype) for size, array in zip(key, arrays, strict=True)]
        self._inputs = []
        for value, host in zip(session.get_inputs(), self._host, strict=True):
            there = ort.OrtValue.ortvalue_from_shape_and_type(host.shape, host.dtype.type, device, 0)
            self._binding.bind_ortvalue_input(value.name, there)
            self._inputs.append(there)
        self._outputs = []  # held here, lest their memory be given to others
        for value in session.get_outputs():
            shape = (key[0], *value.shape[1:])
            there = ort.OrtValue.ortvalue_from_shape_and_type(shape, DTYPES[value.type], device, 0)
            self._binding.bind_ortvalue_output(value.name, there)
            self._outputs.append(there)

    def run(self, arrays: list[Array]) -> list[Array]:
        for array, host, there in zip(arrays, self._host, self._inputs, strict=True):
            host[: len(array)] = array
            host[len(array) :] = 0
            there.update_inplace(host)
        self._session.run_with_iobinding(self._binding, self._options)
        rows = len(arrays[0])
        return [np.array(output[:rows]) for output in self._binding.copy_outputs_to_cpu()]
