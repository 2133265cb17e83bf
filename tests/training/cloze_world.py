"""A small world of text, so that the blank filler's training can be tested without any data file."""

from pathlib import Path

import numpy as np

from tianzi_training.config import ClozeConfig

WHO = ("木匠", "国王", "公主", "裁缝", "渔夫", "猴子")
WHAT = ("桌子", "宝剑", "苹果", "衣服", "小船", "葫芦")
DID = ("买", "卖", "找", "送", "看")


def write_world(folder: Path, documents: int = 150) -> None:
    """NAME.txt with documents in which somebody does something to a thing, again and again."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for _ in range(documents):
        who, what = rng.choice(WHO, 3, replace=False), rng.choice(WHAT, 3, replace=False)
        for _ in range(6):
            lines.append("".join(f"{rng.choice(who)}{rng.choice(DID)}了{rng.choice(what)}。" for _ in range(5)))
        lines.append("")
    (folder / "world.txt").write_text("\n".join(lines), encoding="utf-8")


def world_config(folder: Path, **changes: object) -> ClozeConfig:
    """A configuration of a tiny network on that world, the text in folder/text and the cache beside it."""
    if not (folder / "text" / "world.txt").exists():
        write_world(folder / "text")
    values: dict[str, object] = {
        "task": "cloze",
        "name": "world",
        "steps": 4,
        "batch_size": 8,
        "lr": 1e-2,
        "threads": 1,
        "workers": 0,
        "text_folders": (str(folder / "text"),),
        "cache_folder": str(folder / "cache"),
        "long": {"world": 1.0},
        "short": {"world": 1.0},
        "held_out": ("world",),
        "pretrained": False,
        "num_words": 40,
        "layers": 1,
        "width": 16,
        "heads": 2,
        "inner": 32,
        "key_width": 16,
        "word_width": 16,
        "dropout": 0.0,
        "batch_pieces": 600,
        "validation_questions": 12,
    }
    return ClozeConfig(**{**values, **changes})  # type: ignore[arg-type]
