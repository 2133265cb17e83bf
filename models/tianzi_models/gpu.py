"""Gpu: how a graphics card is to be used, and what onnxruntime's providers are told of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

Providers: TypeAlias = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Gpu:
    """Choices that matter on a graphics card only."""

    fp16: bool = True
    """Whether to run a bundle's fp16 graph, where it has one: see tianzi_training.export.fp16."""
    buffers: bool = True
    """Whether runs of a bucketed model keep their tensors on the card: see tianzi_models.buckets."""
    graph_rows: int = 0
    """Buckets of up to so many rows are recorded as CUDA graphs and replayed; 0 records none."""
    memory_bytes: int | None = None
    """What a session may take of the card's memory; None: all."""
    tensorrt_cache: Path | None = None
    """Folder of TensorRT's engines, which take minutes to build; with it, TensorRT runs what it can."""
    search: str = "HEURISTIC"
    """How cuDNN chooses a convolution: EXHAUSTIVE, onnxruntime's default, tries all of them again for every new shape,
    634 ms against 1.9 ms."""


def providers(gpu: Gpu, *, graphs: bool, fp16: bool) -> Providers:
    """Providers for a card with their options, the most wanted first.

    graphs: whether CUDA graphs are to be recorded. fp16: whether the graph's weights are fp16.
    """
    # kSameAsRequested: the default doubles what it holds whenever it needs more.
    cuda: dict[str, Any] = {"cudnn_conv_algo_search": gpu.search, "arena_extend_strategy": "kSameAsRequested"}
    if gpu.memory_bytes is not None:
        cuda["gpu_mem_limit"] = gpu.memory_bytes
    if graphs:
        cuda["enable_cuda_graph"] = "1"
    chosen: Providers = [(CUDA, cuda), (CPU, {})]
    if gpu.tensorrt_cache is None:
        return chosen
    folder = str(gpu.tensorrt_cache)
    tensorrt = {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": folder,
        "trt_fp16_enable": fp16,
    }
    return [(TENSORRT, tensorrt), *chosen]
