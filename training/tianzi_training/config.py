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

    net: str = "cloze"  # cloze, cloze-aoa or cloze-seed
    text_folder: str = "data/text"  # NAME.txt or NAME.txt.xz for each source
    cache_folder: str = ".cache/cloze"
    sources: dict[str, float] = field(default_factory=dict)  # name → share of the documents; 0: for word vectors alone
    first_sources: dict[str, float] = field(default_factory=dict)  # shares at the first step; empty: as later
    first_steps: float = 0.0  # share of the steps over which the shares go from first_sources' to sources'
    held_out: tuple[str, ...] = ()  # sources of which a twentieth is kept for validation
    questions: tuple[str, ...] = ()  # folders with .doc_query and .answer files, each as one more source of share 1
    num_words: int = 40000
    vocabulary: str = ""  # a bundle whose words and characters to keep, so that its weights fit; empty: the usual ones
    width: int = 128
    char_width: int = 48
    hidden: int = 192
    key_width: int = 128
    hops: int = 1  # how often the document is looked at; each time with what was found before
    gru_layers: int = 1  # each way
    attention_layers: int = 0  # of a Transformer in the place of the GRUs
    dropout: float = 0.2
    word2vec_epochs: int = 3  # 0: word vectors start at random
    max_blanks: int = 10  # a document
    move_query: float = 0.1  # share of documents whose one question stands behind them
    word_dropout: float = 0.1  # share of the vocabulary that a batch reads as unknown, by characters
    swap: float = 0.0  # at most this share of a document's repeated nouns give way to words like them
    lm_words: int = 48  # places a document where the language model guesses the word
    lm_group: int = 8  # among the words of so many documents; divides batch_size
    lm_weight: float = 0.5
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
