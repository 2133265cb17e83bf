"""Checkpoint → bundle: `python -m tianzi_training.export CONFIG.toml [--version 1] [--root models/bundles]`.

The graph is checked against torch at several shapes, its weights are stored in fewer bits, and the golden samples are
answered by the very code that serves them.
"""

import argparse
import datetime
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnx
import torch
from torch import nn

from tianzi_models import bundle as bundles
from tianzi_models.base import Model
from tianzi_models.registry import MODELS, open_session
from tianzi_models.runtime import Session
from tianzi_training.config import ConfigError, TrainConfig
from tianzi_training.export.fp16 import to_half
from tianzi_training.export.graph import Graph
from tianzi_training.export.quantize import fuse_norms, quantize, quantize_products
from tianzi_training.export.tidy import drop_zero_biases
from tianzi_training.export.weights import share, store_smaller
from tianzi_training.loop import CHECKPOINT, load_checkpoint, run_folder
from tianzi_training.train import make_task

OPSET = 20
# Largest difference between torch and onnxruntime that fp32 rounding explains.
PARITY = 2e-5


class ExportTask(Protocol):
    """What a task gives the exporter, besides what it gives the training loop."""

    config: TrainConfig

    def build_net(self) -> nn.Module:
        """A fresh network."""

    def graph(self, net: nn.Module) -> tuple[Graph, dict[str, Any]]:
        """What is served, and the facts that its model reads; fits temperature and thresholds."""

    def vocabulary(self) -> dict[str, bytes]:
        """Text files of the bundle."""

    def golden_requests(self) -> list[dict[str, Any]]:
        """Requests for golden.json, as Model.request_from_json reads them."""

    def training_data(self) -> list[str]:
        """What the weights were trained on, for the manifest."""


@runtime_checkable
class SeveralGraphs(Protocol):
    """A task whose model needs more than one graph."""

    model_class: type[Model[Any, Any, Any, Any]]

    def more_graphs(self, net: Any) -> dict[str, Graph]:
        """File name → graph, beside the main one."""


def export(task: ExportTask, model_name: str, version: int, root: Path, fp16: bool = False) -> Path:
    """Writes the bundle of the experiment's checkpoint; its folder. fp16: with a graph for graphics cards, too.

    Raises:
        ConfigError: there is no checkpoint, or the graph does not do what the network does.
    """
    if task.config.threads:
        torch.set_num_threads(task.config.threads)
    checkpoint = run_folder(task.config) / CHECKPOINT
    if not checkpoint.exists():
        raise ConfigError(f"{checkpoint}: missing, train first")
    net = task.build_net()
    step, _ = load_checkpoint(checkpoint, net, None, torch.device("cpu"))
    net.eval()
    graph, facts = task.graph(net)
    if fp16 and graph.accuracy is None:
        raise ConfigError(f"export: fp16: {task.config.task} has no way to tell whether such a graph answers as well")
    with tempfile.TemporaryDirectory() as folder:
        exact, file = Path(folder) / "exact.onnx", Path(folder) / bundles.GRAPH
        to_onnx(graph, exact)
        check_parity(graph, exact)
        store_smaller(exact, file, rows=graph.accuracy is not None)
        if graph.accuracy is not None and not is_as_good(graph, exact, file):
            store_smaller(exact, file, rows=False)
        files: dict[str, Path | bytes] = {bundles.GRAPH: file, **task.vocabulary(), bundles.GOLDEN: b"[]\n"}
        if graph.accuracy is not None:
            files |= smaller_graphs(graph, file, fp16)
        for name, more in task.more_graphs(net).items() if isinstance(task, SeveralGraphs) else ():
            beside = Path(folder) / name
            to_onnx(more, beside)
            check_parity(more, beside)
            files[name] = beside
        cls = task.model_class if isinstance(task, SeveralGraphs) else MODELS[model_name]
        manifest = {
            "name": model_name,
            "version": version,
            "contract": cls.contract,
            "facts": facts,
            "trained": {"steps": step, "config": asdict(task.config), "data": task.training_data()},
            "made": {
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "commit": git_commit(),
                "torch": torch.__version__,
                "onnx": onnx.__version__,
            },
        }
        target = root / model_name / str(version)
        card = target / "README.md"
        text = card.read_bytes() if card.exists() else b""
        bundles.write(target, files, manifest)
        golden = answer_golden(target, cls, task.golden_requests())
        bundles.write(target, {**files, bundles.GOLDEN: golden}, manifest)
        if text:
            card.write_bytes(text)
    return target


def to_onnx(graph: Graph, file: Path) -> None:
    """Traces the module into one file with dynamic shapes.

    Nothing else is folded or fused: onnxruntime does that when it loads, and here every weight keeps its name and
    value, for tianzi_training.export.weights.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of torch's own deprecations
        program = torch.onnx.export(
            graph.module.eval(),
            graph.examples[0],
            input_names=list(graph.input_names),
            output_names=list(graph.output_names),
            dynamic_shapes=graph.dynamic_shapes,
            dynamo=True,
            external_data=False,
            optimize=False,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    program.save(file)
    model = onnx.load(file)
    drop_zero_biases(model)
    onnx.save(model, file)


def check_parity(graph: Graph, file: Path) -> None:
    """Raises ConfigError where onnxruntime's floats differ from torch's by more than PARITY."""
    session = Session(file, "cpu")
    for example in graph.examples:
        with torch.inference_mode():
            outputs = graph.module(*example)
        feeds = {name: value.numpy() for name, value in zip(graph.input_names, example, strict=True)}
        got = session.run(feeds)
        for name, expected in zip(
            graph.output_names, outputs if isinstance(outputs, tuple) else (outputs,), strict=True
        ):
            if expected.is_floating_point():
                worst = float(np.abs(got[name] - expected.numpy()).max())
                if not worst <= PARITY:
                    raise ConfigError(f"export: {name} differs from torch by {worst:.2e}, at most {PARITY:.0e}")


def smaller_graphs(graph: Graph, exact: Path, fp16: bool) -> dict[str, Path | bytes]:
    """The int8 graph and, where asked for, the fp16 graph, written beside the exact one: those that answer as well."""
    int8 = exact.with_name(bundles.INT8_GRAPH)
    if not graph.calibration:
        quantize_products(exact, int8)
        if not is_as_good(graph, exact, int8):
            return {}
        weights = exact.with_name(bundles.WEIGHTS)
        share([exact, int8], weights)
        return {int8.name: int8, weights.name: weights}
    fused = exact.with_name("fused.onnx")
    to_onnx(replace(graph, module=fuse_norms(graph.module)), fused)
    half = exact.with_name(bundles.FP16_GRAPH)
    quantize(fused, int8, graph.calibration)
    candidates = [int8]
    if fp16:
        to_half(fused, half)
        candidates.append(half)
    return {candidate.name: candidate for candidate in candidates if is_as_good(graph, exact, candidate)}


def is_as_good(graph: Graph, exact: Path, candidate: Path) -> bool:
    """Whether a graph answers as many validation samples rightly as the gate asks for."""
    assert graph.accuracy is not None
    before, after = graph.accuracy(Session(exact, "cpu")), graph.accuracy(Session(candidate, "cpu"))
    kept = after >= before - graph.tolerance
    verdict = "kept" if kept else "left out"
    print(f"{candidate.name}: {after:.4f} right, {exact.name} {before:.4f}: {verdict}", file=sys.stderr)
    return kept


def answer_golden(target: Path, cls: type[Model[Any, Any, Any, Any]], requests: Sequence[Mapping[str, Any]]) -> bytes:
    """golden.json: the requests with the bundle's own answers."""
    bundle = bundles.load(target, cls.contract)
    model = cls(bundle, open_session(bundle, "cpu", 1))
    cases = []
    for request in requests:
        answer = model.answer(model.request_from_json(dict(request)))
        cases.append({"request": request, "answer": model.answer_to_json(answer)})
    return bundles.to_json(cases)


def git_commit() -> str:
    """The commit that the exporting code is at, "unknown" outside a repository."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.export", description=__doc__)
    parser.add_argument("config", type=Path, help="experiment, a TOML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key")
    parser.add_argument("--version", type=int, default=1, help="version of the bundle (default: 1)")
    parser.add_argument(
        "--root", type=Path, default=Path("models/bundles"), help="where bundles live (default: models/bundles)"
    )
    parser.add_argument(
        "--fp16", action="store_true", help="also write a graph for graphics cards, if it answers as well"
    )
    options = parser.parse_args(arguments)
    try:
        task = make_task(options.config, options.set)
        target = export(task, task.config.task, options.version, options.root, options.fp16)
    except (ConfigError, OSError, tomllib.TOMLDecodeError) as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
