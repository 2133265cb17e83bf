"""What the recogniser's networks cost that results.md compares: parameters, multiply-adds, milliseconds in fp32."""

import argparse
import statistics
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from tianzi_models.runtime import Session
from tianzi_training.config import OcrConfig, load_config
from tianzi_training.ocr.data.charset import build_charset
from tianzi_training.ocr.task import build_net

CONFIGS = Path(__file__).resolve().parents[1] / "training/tianzi_training/configs"
NETWORKS = {
    "residual": ("ocr", []),
    "inverted": ("ocr", ["block=inverted"]),
    "convnext": ("ocr", ["block=convnext", "activation=gelu"]),
    "cosine": ("ocr", ["head=cosine"]),
    "residual, a block more": ("ocr-sixth", []),
    "residual, wider": ("ocr-seventh", []),
    "ocr-seed": ("ocr-seed", []),
}
"""Experiment and changes."""


def multiply_adds(net: nn.Module, crops: torch.Tensor) -> int:
    """Of convolutions and linear layers, a crop."""
    total = 0

    def count(layer: nn.Module, _: object, made: torch.Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += made.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += made.numel() * layer.in_features

    hooks = [layer.register_forward_hook(count) for layer in net.modules()]
    with torch.inference_mode():
        net(crops)
    for hook in hooks:
        hook.remove()
    return total // len(crops)


def milliseconds(graph: Path, side: int, batches: list[int], seconds: float) -> list[float]:
    """Medians an item on one thread, by batch."""
    session = Session(graph, "cpu", threads=1)
    medians = []
    for batch in batches:
        crops = {"crops": np.random.default_rng(0).integers(0, 256, (batch, 1, side, side), np.uint8)}
        session.run(crops)
        times: list[float] = []
        while sum(times) < seconds:
            began = time.perf_counter()
            session.run(crops)
            times.append(time.perf_counter() - began)
        medians.append(1000 * statistics.median(times) / batch)
    return medians


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("networks", nargs="*", default=[], choices=[*NETWORKS, []], metavar="NETWORK")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 64], metavar="N")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each batch")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # the exporter's, of things that do not concern a measurement
    torch.set_num_threads(1)
    classes = len(build_charset())
    heads = " | ".join(f"ms, batch of {batch}" for batch in args.batch)
    print(f"| network | parameters | multiply-adds | {heads} |\n|---|---|---|{'---|' * len(args.batch)}")
    for name in args.networks or NETWORKS:
        experiment, changes = NETWORKS[name]
        config = load_config(OcrConfig, CONFIGS / f"{experiment}.toml", changes)
        net = build_net(config, classes).eval()
        crops = torch.zeros((2, 1, config.crop_px, config.crop_px), dtype=torch.uint8)
        with TemporaryDirectory() as folder:
            graph = Path(folder) / "model.onnx"
            torch.onnx.export(
                net,
                (crops,),
                dynamo=True,
                input_names=["crops"],
                dynamic_shapes=({0: torch.export.Dim("N", min=1, max=4096)},),
                external_data=False,
                verbose=False,
            ).save(graph)
            times = milliseconds(graph, config.crop_px, args.batch, args.seconds)
        parameters = sum(parameter.numel() for parameter in net.parameters())
        costs = f"{parameters / 1e6:.1f} M | {multiply_adds(net, crops) / 1e6:.1f} M"
        print(f"| {name} | {costs} | {' | '.join(f'{ms:.2f}' for ms in times)} |", flush=True)


if __name__ == "__main__":
    main()
