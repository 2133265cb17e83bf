"""Bigrams are counted in what the blank filler learns from, each text by its share, and put into a bundle."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.models.tiny import write_ocr_bundle
from tianzi_models.bundle import MANIFEST
from tianzi_models.registry import load_model
from tianzi_training.ocr import bigram_lm
from tianzi_training.ocr.bigram_lm import LEAST, MU, count, count_shares, main, make_bigrams


def test_pairs_are_counted_and_weighed() -> None:
    counts = count([("abab", 1.0), ("aba", 10.0)])
    assert counts.singles == {"a": 12.0, "b": 11.0}
    made = make_bigrams(counts, {}, 1.0)
    assert made.vocab.symbols == ["<pad>", "<unk>", "a", "b"]
    assert dict(zip(made.keys.tolist(), made.counts.tolist(), strict=True)) == {2 * 4 + 3: 12.0, 3 * 4 + 2: 11.0}


def test_a_text_counts_by_its_share_whatever_its_length() -> None:
    counts = count_shares({"long": ("ab" * 500, 0.25), "short": ("cd" * 5, 0.75), "unused": ("ef" * 50, 0.0)})
    assert set(counts.singles) == set("abcd")
    assert counts.singles["c"] == pytest.approx(0.75 * bigram_lm.MILLIONS * 1e6 / 2)
    assert counts.singles["a"] == pytest.approx(0.25 * bigram_lm.MILLIONS * 1e6 / 2)


def test_only_what_is_wanted_and_heavy_enough_is_kept() -> None:
    counts = count([("ab" * 10 + "ac" + "zb", 1.0)])
    made = make_bigrams(counts, {"B": "b", "Q": "q"}, 1.0, least=2.0, wanted="aBc")
    # b is known because B is wanted, and stands for it; of the pairs only ab and ba weigh 2.
    assert set(made.vocab.symbols[2:]) == set("abc")
    assert made.vocab.id("B") == made.vocab.id("b") and made.vocab.variants == {"B": "b"}
    assert np.allclose(np.sort(made.counts), [10, 10])


def test_the_command_puts_them_into_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_ocr_bundle(tmp_path)
    before = json.loads((bundle / MANIFEST).read_text())
    keys = ['task = "cloze"', 'name = "x"', "steps = 1", "batch_size = 1", "lr = 1e-3"]
    (tmp_path / "x.toml").write_text("\n".join([*keys, 'held_out = ["a"]', "[long]", "a = 1.0"]))
    monkeypatch.setattr(bigram_lm, "EXPERIMENT", tmp_path / "x.toml")
    arguments = [str(bundle), "--text", str(tmp_path), "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 1
    assert "no a.txt or a.txt.xz" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("\n\n".join(["空满空满甲" * 20] * 30))
    assert main(arguments) == 0
    model = load_model("ocr", tmp_path, device="cpu")
    assert model.bigrams.mu == MU and model.bigrams.counts.min() >= LEAST * 0.98  # type: ignore[attr-defined]
    after = json.loads((bundle / MANIFEST).read_text())
    assert after["bigrams"] == {"data": ["a"]}
    assert {name: after["files"][name] for name in before["files"]} == before["files"]
