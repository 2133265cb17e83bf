"""Counts character bigrams for a recogniser's bundle: `python -m tianzi_training.ocr.bigram_lm models/bundles/ocr/9`.

The texts are the blank filler's, each weighing its share of training, without the documents held out of that.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tianzi_models import bundle as bundles
from tianzi_models.errors import TianziError
from tianzi_models.ocr.lattice import BIGRAM_CHARACTERS, BIGRAMS, Bigrams, Floats
from tianzi_models.ocr.model import OcrModel
from tianzi_models.registry import load_model
from tianzi_models.vocab import Vocab
from tianzi_training.cloze.data.corpus import read_text, variants
from tianzi_training.cloze.task import find_text, is_held_out
from tianzi_training.config import ClozeConfig, ConfigError, load_config

EXPERIMENT = Path(__file__).parents[1] / "cloze/recipe.toml"
TEXT, CACHE = Path("data/text"), Path(".cache/cloze")
SHIFT = 21  # bits of a character's code
MILLIONS = 10.0  # what all pairs weigh together
LEAST = 1.0  # rarer pairs are left out: they mend next to nothing, and the bundle stays below 12 MB
# Chosen on rows of held-out documents, by the study ocr-language-model.
MU, WEIGHT = 1000.0, 1.0
RESERVED = ("<pad>", "<unk>")


@dataclass(frozen=True)
class Counts:
    """Weights of characters as the first of a pair, and of pairs: codes (P,) ascending, weights (P,)."""

    singles: Mapping[str, float]
    codes: npt.NDArray[np.int64]
    weights: Floats


def read_sources(text: Path, cache: Path, only: Sequence[str] = ()) -> tuple[dict[str, tuple[str, float]], list[str]]:
    """What the blank filler was trained on (name → text, share), and the documents held out of it.

    only: sources to read, all for none.

    Raises:
        ConfigError: a text is not in the folder.
    """
    config = load_config(ClozeConfig, EXPERIMENT)
    known, held_out = {}, []
    for name in config.long | config.short:
        if only and name not in only:
            continue
        file = find_text((str(text), *config.text_folders), name)
        source = read_text(file, cache, config.most_characters.get(name, 0))
        kept, start = [], 0
        for end in source.document_ends.tolist():
            document = "".join(source.words[i] for i in source.ids[start:end])
            out = name in config.held_out and is_held_out(source, start, end)
            (held_out if out else kept).append(document)
            start = end
        known[name] = ("\n".join(kept), config.long.get(name, 0.0) + config.short.get(name, 0.0))
    return known, held_out


def count_shares(known: Mapping[str, tuple[str, float]]) -> Counts:
    """Counts of texts with shares, as if together they had MILLIONS of characters."""
    total = sum(share for _, share in known.values())
    return count((text, 1e6 * MILLIONS * share / total / max(1, len(text))) for text, share in known.values() if share)


def count(texts: Iterable[tuple[str, float]]) -> Counts:
    """Counts of texts, each given with what one of its pairs weighs."""
    codes, weights = [], []
    singles: dict[str, float] = {}
    for text, weight in texts:
        chars = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64)
        for code, number in zip(*(a.tolist() for a in np.unique(chars[:-1], return_counts=True)), strict=True):
            singles[chr(code)] = singles.get(chr(code), 0.0) + weight * number
        found, numbers = np.unique(chars[:-1] << SHIFT | chars[1:], return_counts=True)
        codes.append(found)
        weights.append(numbers * weight)
    merged, place = np.unique(np.concatenate(codes), return_inverse=True)
    return Counts(singles, merged, np.bincount(place, np.concatenate(weights)))


def make_bigrams(
    counts: Counts, forms: Mapping[str, str], mu: float, least: float = 0.0, wanted: str | None = None
) -> Bigrams:
    """forms: variant → usual form. least: pairs that weigh less are left out. wanted: the only characters to know."""
    variants = {v: usual for v, usual in forms.items() if wanted is None or v in wanted}
    usual = None if wanted is None else {forms.get(char, char) for char in wanted}
    by_weight = sorted(counts.singles.items(), key=lambda pair: (-pair[1], pair[0]))
    known = [char for char, _ in by_weight if not char.isspace() and (usual is None or char in usual)]
    vocab = Vocab([*RESERVED, *known], variants)
    number = np.zeros(1 << SHIFT, np.int64)
    number[[ord(char) for char in known]] = np.arange(len(known)) + len(RESERVED)
    first, second = number[counts.codes >> SHIFT], number[counts.codes & ((1 << SHIFT) - 1)]
    kept = (counts.weights >= least) & (first > 0) & (second > 0)
    keys = first[kept] * len(vocab) + second[kept]
    order = keys.argsort()
    totals = np.array([0.0] * len(RESERVED) + [counts.singles[char] for char in known], np.float32)
    return Bigrams(vocab, totals, keys[order], counts.weights[kept][order], mu)


def pack(bigrams: Bigrams, least: float, weight: float) -> tuple[dict[str, bytes], dict[str, float]]:
    """A bundle's files and facts. Counts are rounded to 256 steps of a geometric scale, a few percent each."""
    ratio = max(1.001, float(bigrams.counts.max() / least) ** (1 / 255))
    codes = np.log(bigrams.counts / least) / np.log(ratio)
    arrays = {
        "steps": np.diff(bigrams.keys, prepend=0).astype(np.uint32),  # small numbers, which zip makes short
        "codes": codes.round().clip(0, 255).astype(np.uint8),
        "totals": bigrams.totals,
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    facts = {"least": least, "ratio": ratio, "mu": bigrams.mu, "weight": weight}
    return {BIGRAMS: packed.getvalue(), BIGRAM_CHARACTERS: bigrams.vocab.to_text().encode()}, facts


def put(bundle: Path, files: Mapping[str, bytes], facts: Mapping[str, float], data: Sequence[str]) -> None:
    """Adds bigrams to a bundle, or replaces them; its card and all else stay as they are. data: the texts' names."""
    manifest = json.loads((bundle / bundles.MANIFEST).read_text(encoding="utf-8"))
    for name, content in files.items():
        (bundle / name).write_bytes(content)
        manifest["files"][name] = {"sha256": bundles.sha256(bundle / name), "bytes": len(content)}
    manifest["facts"]["bigrams"] = dict(facts)
    manifest["bigrams"] = {"data": list(data)}
    bundles.write_json(bundle / bundles.MANIFEST, manifest)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.ocr.bigram_lm", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--text", type=Path, default=TEXT, help="folder of texts, NAME.txt or NAME.txt.xz")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for segmented texts")
    given = parser.parse_args(arguments)
    try:
        known, _ = read_sources(given.text, given.cache)
        model = load_model("ocr", given.bundle.parents[1], int(given.bundle.name), device="cpu")
        assert isinstance(model, OcrModel)
        wanted = "".join(model.charset)
        bigrams = make_bigrams(count_shares(known), variants(), MU, LEAST, wanted)
        files, facts = pack(bigrams, LEAST, WEIGHT)
        put(given.bundle, files, facts, [name for name, (_, share) in known.items() if share])
    except (ConfigError, TianziError, OSError, ValueError) as error:
        print(f"bigrams: {error}", file=sys.stderr)
        return 1
    size = sum(map(len, files.values()))
    print(f"{given.bundle}: {len(bigrams.keys):,} pairs of {len(bigrams.vocab):,} characters, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
