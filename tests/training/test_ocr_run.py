"""The recogniser's whole way on a small scale: train, export, serve, evaluate, go on from the bundle's weights."""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from PIL import Image

from tianzi_models import bundle as bundles
from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrRequest
from tianzi_models.registry import load_model
from tianzi_models.runtime import Session
from tianzi_training.config import ConfigError, OcrConfig
from tianzi_training.evaluate import BEGIN, END, record
from tianzi_training.export import export as export_module
from tianzi_training.export.export import OPSET, export, smaller_graphs, to_onnx
from tianzi_training.export.fp16 import to_half
from tianzi_training.export.graph import fit_temperature, fit_with_feature
from tianzi_training.export.quantize import fuse_norms
from tianzi_training.export.weights import MIN_ELEMENTS, read_weights, store_smaller
from tianzi_training.loop import load_matching, train
from tianzi_training.metrics import accuracy
from tianzi_training.ocr import task as ocr_module
from tianzi_training.ocr.activations import Damped
from tianzi_training.ocr.data import glyphs as glyphs_module
from tianzi_training.ocr.data.glyphs import Font
from tianzi_training.ocr.evaluation import evaluate as evaluate_ocr
from tianzi_training.ocr.net import OcrNet, OcrSeedNet
from tianzi_training.ocr.task import LOOKS_AGAIN_UNDER, OcrTask, build_net

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
CATALOGUE = [
    Font("sans", (FONTS / "DejaVuSans.ttf",), 0, "print", 1.0, False),
    Font("serif", (FONTS / "DejaVuSerif.ttf",), 0, "print", 1.0, True),
]
CONFIG = OcrConfig(
    task="ocr", name="small", steps=60, batch_size=64, group=8, lr=1e-2, warmup_steps=5, threads=1, workers=0,
    crop_px=24, widths=(8, 16, 16), blocks=(0, 0, 1), embedding=16, activation="damped", validate_every=60,
    validation_samples=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[OcrTask, torch.nn.Module, Path]:
    """A task, its trained network and its bundle, in a folder of their own."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(glyphs_module, "CACHE", folder / "glyphs")
        patch.setattr(ocr_module, "read_catalogue", lambda: CATALOGUE)
        task = OcrTask(CONFIG)
        net = train(task, resume=False)
        # After so few steps every other character is a guess, which int8 may turn.
        patch.setattr(export_module, "LOSS", 0.1)
        target = export(task, "ocr", 3, folder / "models")
    return task, net, target


def test_it_learns(run: tuple[OcrTask, torch.nn.Module, Path]) -> None:
    log = [json.loads(line) for line in (run[2].parents[2] / "runs/small/log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < losses[0] - 1.5
    assert set(log[-1]["validation"]) == {"clean", "degraded", "nothing", "several"}


@pytest.mark.parametrize(("graph", "tolerance"), [(bundles.GRAPH, 0.02), (bundles.INT8_GRAPH, 0.12)])
def test_the_bundle_answers_as_the_network_does(
    run: tuple[OcrTask, torch.nn.Module, Path], graph: str, tolerance: float
) -> None:
    """The one has its matrices rounded to int8 where they are stored, the other computes in int8."""
    task, net, target = run
    bundle = bundles.load(target, OcrModel.contract)
    model = OcrModel(bundle, Session(target / graph, "cpu"))
    assert model.bundle.version == 3 and model.vocabulary_size == 10366
    assert model.looks_again_under == LOOKS_AGAIN_UNDER
    model.looks_again_under = 0.0
    glyphs = task.held_out[0]
    items = [model.preprocess(OcrRequest(image)) for image in glyphs.images[:20]]
    with torch.inference_mode():
        crops = torch.from_numpy(np.stack([item.crop for item in items])).unsqueeze(1)
        probs = (net(crops) / model.bundle.facts["temperature"]).softmax(1)
    for item, output, expected in zip(items, model.run(items), probs, strict=True):
        if tolerance < 0.1:
            assert model.postprocess(item, output).candidates[0].text in task.charset[int(expected[:-1].argmax())]
        assert output.probs[0] == pytest.approx(float(expected[:-1].max()), abs=tolerance)
        assert output.nothing == pytest.approx(float(expected[-1]), abs=tolerance)


def test_the_bundle_names_its_origin(run: tuple[OcrTask, torch.nn.Module, Path]) -> None:
    manifest = json.loads((run[2] / bundles.MANIFEST).read_text())
    assert manifest["trained"]["steps"] == 60
    assert manifest["trained"]["config"]["widths"] == [8, 16, 16]
    assert manifest["trained"]["data"] == ["glyphs of the font sans"]
    assert len(json.loads((run[2] / bundles.GOLDEN).read_text())) == 2  # a blank sheet and 7
    assert str(Path.cwd()).encode() not in (run[2] / bundles.GRAPH).read_bytes()


def test_training_goes_on_from_the_bundles_weights(run: tuple[OcrTask, torch.nn.Module, Path]) -> None:
    task, net, target = run
    again = task.build_net().eval()
    load_matching(again, read_weights(target / bundles.GRAPH))
    crops = torch.randint(0, 256, (5, 1, 24, 24), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(again(crops), net(crops), atol=0.05, rtol=0.01)


def test_evaluation_reports_every_set(
    run: tuple[OcrTask, torch.nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, target = run
    monkeypatch.setattr(glyphs_module, "CACHE", target.parents[2] / "glyphs")
    monkeypatch.setattr(evaluate_ocr, "read_catalogue", lambda: CATALOGUE)
    monkeypatch.setattr(evaluate_ocr, "PER_FONT", 120)
    monkeypatch.chdir(target.parents[2])  # no photographs of plates here
    model = load_model("ocr", target.parents[1], device="cpu")
    figures = evaluate_ocr.evaluate(model, confusions=3, pictures=target.parents[2] / "pictures")
    assert figures["clean, letters, digits, punctuation"]["total"] > 90
    assert figures["nothing readable"].keys() == {"total", "rejected", "answered_strictly"}
    read = [values for values in figures.values() if "accuracy" in values]
    assert len(read) >= 3 and all(0 <= v["low"] <= v["accuracy"] <= v["high"] <= 1 for v in read)
    # The strict threshold lets 95 % of clean characters through, rejected ones aside.
    assert 0 <= figures["clean, all"]["keeps_95_percent"] < 1
    for name in ("reliability.png", "confusions.png"):
        with Image.open(target.parents[2] / "pictures" / name) as picture:
            assert min(picture.size) > 500


def test_samples_can_be_looked_at(run: tuple[OcrTask, torch.nn.Module, Path], tmp_path: Path) -> None:
    run[0].draw_samples(tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.size == (32 * 26, 4 * 26)
        assert len(np.unique(np.asarray(sheet))) > 20


def test_a_graph_that_reads_worse_is_left_out(
    run: tuple[OcrTask, torch.nn.Module, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, net, target = run
    assert (target / bundles.INT8_GRAPH).exists() and not (target / bundles.FP16_GRAPH).exists()  # not asked for
    graph, _ = task.graph(net)
    file = tmp_path / "exact.onnx"
    to_onnx(graph, file)
    # int8: 0.15 points fewer; fp16: 0.09.
    shares = iter([0.9, 0.8985, 0.9, 0.8991])
    kept = smaller_graphs(replace(graph, accuracy=lambda session: next(shares)), file, fp16=True)
    assert list(kept) == [bundles.FP16_GRAPH]
    assert (tmp_path / bundles.INT8_GRAPH).stat().st_size < 0.5 * file.stat().st_size
    assert (tmp_path / bundles.FP16_GRAPH).stat().st_size < 0.6 * file.stat().st_size


def test_weights_are_stored_in_fewer_bits(run: tuple[OcrTask, torch.nn.Module, Path], tmp_path: Path) -> None:
    task, net, _ = run
    exact, halved, rounded = (tmp_path / name for name in ("exact.onnx", "halved.onnx", "rounded.onnx"))
    to_onnx(task.graph(net)[0], exact)
    store_smaller(exact, halved, rows=False)
    store_smaller(exact, rounded, rows=True)
    sizes = [file.stat().st_size for file in (exact, halved, rounded)]
    assert sizes[1] < 0.6 * sizes[0] and sizes[2] < 0.75 * sizes[1]
    weights = read_weights(exact)
    assert weights.keys() == read_weights(halved).keys() == read_weights(rounded).keys()
    for file, bits in ((halved, 10), (rounded, 7)):
        for name, values in read_weights(file).items():
            step = weights[name].abs().amax(dim=-1, keepdim=True) / 2**bits
            assert ((values - weights[name]).abs() <= 0.51 * step).all(), (file.name, name)


def test_a_row_of_zeros_is_stored(tmp_path: Path) -> None:
    rows = np.zeros((2, MIN_ELEMENTS), np.float32)
    rows[1, 0] = 5
    node = onnx.helper.make_node("Identity", ["net.rows"], ["out"])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, rows.shape)
    graph = onnx.helper.make_graph([node], "g", [], [out], [onnx.numpy_helper.from_array(rows, "net.rows")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.save(model, tmp_path / "a.onnx")
    store_smaller(tmp_path / "a.onnx", tmp_path / "b.onnx", rows=True)
    np.testing.assert_array_equal(read_weights(tmp_path / "b.onnx")["rows"], rows)
    np.testing.assert_array_equal(Session(tmp_path / "b.onnx", "cpu").run({})["out"], rows)


def test_an_int8_graph_does_not_round_confidences(run: tuple[OcrTask, torch.nn.Module, Path]) -> None:
    """Logits of 256 levels give many characters the very same probability."""
    _, _, target = run
    session = Session(target / bundles.INT8_GRAPH, "cpu")
    feeds = {
        "crops": np.random.default_rng(0).integers(0, 256, (50, 1, 24, 24), np.uint8),
        "penalties": np.zeros((1, 10367), np.float32),
        "set_of": np.zeros(50, np.int64),
    }
    probs = session.run(feeds)["probs"]
    assert (probs[:, :-1] == probs[:, 1:]).mean() < 0.02


def test_an_fp16_graph_computes_in_fp16_and_answers_alike(
    run: tuple[OcrTask, torch.nn.Module, Path], tmp_path: Path
) -> None:
    _, _, target = run
    to_half(target / bundles.GRAPH, tmp_path / "half.onnx")
    model = onnx.load(tmp_path / "half.onnx")
    halves = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16}
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert products and all(node.input[1] in halves for node in products)
    feeds = {
        "crops": np.random.default_rng(0).integers(0, 256, (5, 1, 24, 24), np.uint8),
        "penalties": np.array([[0.0], [-1e4]], np.float32).repeat(10367, 1),
        "set_of": np.array([0, 0, 0, 1, 1]),
    }
    feeds["penalties"][1, [7, 10366]] = 0  # one character is allowed
    exact, half = (Session(path, "cpu").run(feeds) for path in (target / bundles.GRAPH, tmp_path / "half.onnx"))
    assert {name: value.dtype for name, value in half.items()} == {name: value.dtype for name, value in exact.items()}
    for name in ("probs", "nothing"):
        np.testing.assert_allclose(half[name], exact[name], atol=2e-3)
    assert half["ids"][3:, 0].tolist() == [7, 7]


def test_onnxruntime_fuses_the_norms_into_convolutions(
    run: tuple[OcrTask, torch.nn.Module, Path], tmp_path: Path
) -> None:
    """It does not where a convolution's bias is made at run time."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    ort.InferenceSession(str(run[2] / bundles.GRAPH), options)
    kinds = [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node]
    assert kinds.count("Conv") == 4 and kinds.count("BatchNormalization") == 1  # that of the embedding


def test_figures_go_into_manifest_and_card(run: tuple[OcrTask, torch.nn.Module, Path]) -> None:
    _, _, target = run
    (target / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    record(target, {"easy": accuracy(9, 10)}, "a command")
    record(target, {"hard": accuracy(1, 10)}, "a command")
    card = (target / "README.md").read_text()
    assert card.startswith("before\n") and card.endswith("after\n") and "old" not in card
    assert "| easy | accuracy 0.9, low 0.5958, high 0.9821, total 10 |" in card and "| hard |" in card
    assert set(json.loads((target / bundles.MANIFEST).read_text())["metrics"]) == {"easy", "hard"}
    assert load_model("ocr", target.parents[1], device="cpu").bundle.version == 3


def test_an_export_without_a_checkpoint_says_so(
    run: tuple[OcrTask, torch.nn.Module, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"last\.pt: missing, train first"):
        export(run[0], "ocr", 1, tmp_path)


def test_without_fonts_the_task_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr_module, "read_catalogue", list)
    with pytest.raises(ConfigError, match=r"run `\./run fonts` first"):
        OcrTask(CONFIG)


@pytest.mark.parametrize(
    ("key", "known"), [("block", "residual, inverted"), ("head", "linear"), ("activation", "relu")]
)
def test_an_unknown_part_of_the_network_is_an_error(key: str, known: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: 'odd', must be one of {known}"):
        build_net(replace(CONFIG, **{key: "odd"}), 12)


def small_net(**parts: str) -> OcrNet:
    return OcrNet(12, 24, (8, 16, 16), (0, 1, 1), 16, **parts)  # type: ignore[arg-type]


NETS = {
    "residual": small_net(),
    "inverted": small_net(block="inverted"),
    "convnext": small_net(block="convnext", activation="gelu"),
    "cosine": small_net(head="cosine"),
    "seed": OcrSeedNet(12, 24),
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_norms_can_be_fused_away(net: torch.nn.Module) -> None:
    for module in net.modules():  # not what fresh norms are, which change nothing
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    crops = torch.randint(0, 256, (5, 1, 24, 24), dtype=torch.uint8)
    fused = fuse_norms(net.eval())
    assert not any(isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) for m in fused.modules())
    with torch.inference_mode():
        torch.testing.assert_close(fused(crops), net(crops), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_each_network_fits_one_batch(net: torch.nn.Module) -> None:
    torch.manual_seed(0)
    crops = torch.randint(0, 256, (12, 1, 24, 24), dtype=torch.uint8)
    labels = torch.arange(12)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(crops), labels).backward()
        optimizer.step()
    assert net(crops).shape == (12, 13)
    assert (net.eval()(crops).argmax(1) == labels).float().mean() >= 0.9


def test_the_source_articles_network_has_its_size() -> None:
    # 8.51 M parameters with the article's 3,062 classes; ours has one more class, nothing.
    net = build_net(OcrConfig(task="ocr", name="x", steps=1, batch_size=1, lr=1.0, net="ocr-seed"), 3062)
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(8.51e6, rel=0.01)


def test_damped_activation() -> None:
    x = torch.tensor([-30.0, -1.0, 0.0, 2.0], requires_grad=True)
    y = Damped()(x)
    torch.testing.assert_close(y, torch.tensor([0.0, -0.36788, 0.0, 2.0]), atol=1e-4, rtol=0)
    assert torch.autograd.gradcheck(Damped(), torch.tensor([-3.0, -1.0, 0.7], dtype=torch.float64, requires_grad=True))


def test_temperature_is_found_again() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4000, 10) * 2
    labels = torch.multinomial((logits / 1.7).softmax(1), 1).squeeze(1)
    assert fit_temperature(logits, labels) == pytest.approx(1.7, abs=0.1)


def test_temperature_and_weight_of_a_feature_are_found_again() -> None:
    torch.manual_seed(0)
    logits, feature = torch.randn(8000, 10) * 2, torch.rand(8000, 10) * 3
    labels = torch.multinomial(((logits - 0.6 * feature) / 1.7).softmax(1), 1).squeeze(1)
    temperature, weight = fit_with_feature(logits, feature, labels)
    assert temperature == pytest.approx(1.7, abs=0.1)
    assert weight == pytest.approx(-0.6, abs=0.1)
