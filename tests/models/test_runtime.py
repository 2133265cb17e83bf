"""Sessions: which graph and provider, what providers are told, runs in buckets, and a card that is lost.

No card is needed: buckets run on the CPU, and a card's errors are raised by hand.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, save

from tests.models.tiny import CROP_PX, ocr_graph, write_ocr_bundle
from tianzi_models import bundle as bundles
from tianzi_models import registry, runtime
from tianzi_models.buckets import GRAPH_ID, Buckets, bucket_of
from tianzi_models.errors import BundleError, InferenceError, ModelNotReady
from tianzi_models.gpu import CPU, CUDA, TENSORRT, Gpu, providers
from tianzi_models.runtime import Session


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    ocr_graph(path)
    return path


def feeds(rows: int, sets: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    numbers = np.random.default_rng(rows)
    return {
        "crops": numbers.integers(0, 256, (rows, 1, CROP_PX, CROP_PX), np.uint8),
        "penalties": -numbers.random((sets, 6), np.float32),
        "set_of": np.arange(rows) % sets,
    }


def test_buckets_are_powers_of_two() -> None:
    assert [bucket_of(rows) for rows in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


def test_a_bucket_answers_as_the_bare_session_and_is_made_once(graph: Path) -> None:
    session = ort.InferenceSession(str(graph))
    buckets = Buckets(session, "cpu")
    # A smaller run after a larger one: what was left in the tensors must not show.
    for rows, sets in [(8, 3), (5, 2), (1, 1), (7, 4), (3, 1), (8, 1), (6, 3)]:
        given = feeds(rows, sets)
        outputs = buckets.run(given)
        for got, expected in zip(outputs, session.run(None, given), strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)
    assert len(buckets) == 5  # 8 rows with 1, 2 and 4 sets, 4 with 1, 1 with 1


def test_an_answer_outlives_the_next_run(graph: Path) -> None:
    buckets = Buckets(ort.InferenceSession(str(graph)), "cpu")
    first = buckets.run(feeds(4))
    kept = [output.copy() for output in first]
    buckets.run(feeds(3))
    for output, expected in zip(first, kept, strict=True):
        np.testing.assert_array_equal(output, expected)


def test_small_buckets_are_recorded_each_under_a_number_of_its_own(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Options(ort.RunOptions):
        def add_run_config_entry(self, name: str, value: str) -> None:
            assert name == GRAPH_ID
            told.append(value)

    monkeypatch.setattr(ort, "RunOptions", Options)
    buckets = Buckets(ort.InferenceSession(str(graph)), "cpu", graph_rows=4)
    for rows, sets in [(1, 1), (4, 1), (4, 2), (8, 1), (2, 1), (1, 1)]:
        buckets.run(feeds(rows, sets))
    assert told == ["1", "2", "-1", "-1", "5"]


def test_an_output_of_unknown_shape_cannot_be_kept(tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [2, "found"])
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    save(model, tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="output y: shape"):
        Buckets(ort.InferenceSession(str(tmp_path / "model.onnx")), "cpu")


def test_providers_are_told_what_was_chosen(tmp_path: Path) -> None:
    (name, options), (last, _) = providers(Gpu(), graphs=False, fp16=False)
    assert (name, last) == (CUDA, CPU)
    assert options == {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    (_, options), _ = providers(Gpu(memory_bytes=2**30), graphs=True, fp16=False)
    assert options["gpu_mem_limit"] == 2**30 and options["enable_cuda_graph"] == "1"
    (name, options), (second, _), _ = providers(Gpu(tensorrt_cache=tmp_path), graphs=False, fp16=True)
    assert (name, second) == (TENSORRT, CUDA)
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_engine_cache_enable"] and options["trt_fp16_enable"]


@pytest.mark.skipif(runtime.may_use_cuda("cuda"), reason="there may be a card here")
def test_cuda_is_never_replaced_in_silence(tmp_path: Path) -> None:
    path = write_ocr_bundle(tmp_path)
    (path / bundles.INT8_GRAPH).write_bytes((path / bundles.GRAPH).read_bytes())
    bundle = with_files(path)
    assert registry.open_session(bundle, "auto", 1).provider == CPU
    with pytest.raises(BundleError, match="device cuda: onnxruntime fell back to CPUExecutionProvider"):
        registry.open_session(bundle, "cuda", 1)


def with_files(path: Path) -> bundles.Bundle:
    """The bundle with all graphs that its folder holds."""
    bundle = bundles.load(path, 2)
    files = {file.name: {} for file in path.iterdir()}
    return bundles.Bundle(path, bundle.name, 1, 2, bundle.facts, {**bundle.manifest, "files": files})


@pytest.mark.parametrize(
    ("device", "card", "gpu", "chosen"),
    [
        ("auto", True, Gpu(), bundles.FP16_GRAPH),
        ("cuda", True, Gpu(fp16=False), bundles.GRAPH),
        ("auto", False, Gpu(), bundles.INT8_GRAPH),
        ("cpu", True, Gpu(), bundles.INT8_GRAPH),
    ],
)
def test_each_device_has_its_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, card: bool, gpu: Gpu, chosen: str
) -> None:
    path = write_ocr_bundle(tmp_path)
    for name in (bundles.FP16_GRAPH, bundles.INT8_GRAPH):
        (path / name).write_bytes((path / bundles.GRAPH).read_bytes())
    opened: list[Any] = []

    class FakeSession:
        def __init__(self, graph: Path, device: str, *args: Any, **kwargs: Any) -> None:
            opened.append((graph.name, kwargs))
            self.on_gpu = card and device != "cpu"

    monkeypatch.setattr(registry, "Session", FakeSession)
    monkeypatch.setattr(registry, "may_use_cuda", lambda device: device != "cpu")
    registry.open_session(with_files(path), device, 1, gpu, bucketed=True)
    name, options = opened[-1]
    assert name == chosen
    assert options in ({}, {"bucketed": True, "fp16": chosen == bundles.FP16_GRAPH})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", ModelNotReady),
        ("CUDA failure 2: out of memory ; GPU=0", InferenceError),
        ("Failed to allocate memory for requested buffer of size 7", InferenceError),
    ],
)
def test_a_lost_card_is_told_from_a_failed_run(
    graph: Path, monkeypatch: pytest.MonkeyPatch, message: str, expected: type[Exception]
) -> None:
    session = Session(graph, "cpu")

    def fail(*_: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(session, "_session", type("Failing", (), {"run": fail})())
    with pytest.raises(expected, match=message[:20]):
        session.run(feeds(1))


def test_a_card_gets_buckets_and_its_options(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With onnxruntime's CPU session in a card's stead."""
    asked: list[Any] = []
    real: Callable[..., Any] = ort.InferenceSession

    class Card:
        def __init__(self, path: str, options: Any, providers: Any, enable_fallback: int) -> None:
            asked.append(providers)
            assert enable_fallback == 0
            self._real = real(path, options, providers=[CPU])

        def get_providers(self) -> list[str]:
            return [asked[-1][0][0]]

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    monkeypatch.setattr(ort, "InferenceSession", Card)
    monkeypatch.setattr(runtime, "may_use_cuda", lambda device: True)
    monkeypatch.setattr(runtime, "Buckets", lambda session, device, rows: (device, rows))
    session = Session(graph, "cuda", gpu=Gpu(graph_rows=8), bucketed=True)
    assert session._buckets == ("cuda", 8) and asked[-1][0][1]["enable_cuda_graph"] == "1"  # type: ignore[comparison-overlap]
    # A model that is not bucketed has shapes without number: none can be recorded.
    assert Session(graph, "cuda", gpu=Gpu(graph_rows=8))._buckets is None
    assert "enable_cuda_graph" not in asked[-1][0][1]
    assert Session(graph, "cuda", gpu=Gpu(buffers=False), bucketed=True)._buckets is None
    monkeypatch.setattr(Card, "get_providers", lambda self: [CUDA])
    with pytest.raises(BundleError, match="tensorrt_cache: onnxruntime fell back to CUDA"):
        Session(graph, "auto", gpu=Gpu(tensorrt_cache=Path("/cache")))
