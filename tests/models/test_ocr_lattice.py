"""A row's text: the source article's worked example, Viterbi against trying every path, and bundles without bigrams."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from tests.models.tiny import CHARSET, write_ocr_bundle
from tianzi_models import bundle as bundles
from tianzi_models.errors import BundleError
from tianzi_models.ocr.lattice import BIGRAMS, CANDIDATES, Bigrams, best_path
from tianzi_models.ocr.model import OcrModel
from tianzi_models.registry import load_model
from tianzi_models.vocab import Vocab
from tianzi_training.ocr.bigram_lm import count, make_bigrams, pack, put


def counted(
    singles: dict[str, float], pairs: dict[str, float], mu: float, forms: dict[str, str] | None = None
) -> Bigrams:
    """μ, and counts as they are."""
    vocab = Vocab(["<pad>", "<unk>", *singles], forms)
    keys = np.array([vocab.id(pair[0]) * len(vocab) + vocab.id(pair[1]) for pair in pairs])
    order = keys.argsort()
    totals = np.array([0.0, 0.0, *singles.values()], np.float32)
    return Bigrams(vocab, totals, keys[order], np.array(list(pairs.values()))[order], mu)


@pytest.mark.parametrize("alpha", [0.01, 1.0, 5.0])
def test_the_articles_worked_example(alpha: float) -> None:
    singles = {"电": 145001.0, "柳": 5000.0, "视": 30000.0, "规": 30000.0}
    bigrams = counted(singles, {"电视": 12426.0, "电规": 7.0}, alpha * 4)
    row = [{"电": 0.99996, "宙": 0.00004}, {"柳": 0.87838, "视": 0.12148, "规": 0.00012}]
    assert best_path(row, bigrams) == "电视"
    assert best_path(row, bigrams, weight=0.0) == "电柳"


def test_the_shipped_bundle_knows_the_worked_example() -> None:
    root = bundles.default_root()
    bigrams = Bigrams.from_bundle(bundles.load(bundles.find(root, "ocr"), OcrModel.contract))
    assert bigrams is not None
    row = [{"电": 0.99996, "宙": 0.00004}, {"柳": 0.87838, "视": 0.12148, "规": 0.00012}]
    assert best_path(row, bigrams) == "电视"
    assert best_path([{"電": 1.0}, {"柳": 0.8, "視": 0.2}], bigrams) == "電視"
    # What is alike in a crop without size and margin, the neighbours tell apart.
    assert best_path([{"-": 0.4, "一": 0.3, "—": 0.3}, {"个": 1.0}], bigrams) == "一个"


def test_scores_are_add_alpha_smoothed() -> None:
    bigrams = counted({"a": 12.0, "b": 11.0}, {"ab": 12.0, "ba": 11.0}, mu=2.0)  # α = 1
    np.testing.assert_allclose(np.exp(bigrams.scores(["a"], ["a", "b"])), [[1 / 14, 13 / 14]])
    # An unknown character says nothing of what comes next, and any may be followed by one.
    np.testing.assert_allclose(np.exp(bigrams.scores(["c"], ["a", "b"])), [[1 / 2, 1 / 2]])
    np.testing.assert_allclose(np.exp(bigrams.scores(["a", "b"], ["c"])), [[1 / 14], [1 / 13]])


def test_viterbi_finds_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    bigrams = make_bigrams(count([("".join(rng.choice(list("abcde"), 300)), 1.0)]), {}, 3.0)
    for _ in range(20):
        row = []
        for _ in range(5):
            chars, probs = rng.choice(list("abcdef"), 3, replace=False), -np.sort(-rng.dirichlet(np.ones(3)))
            row.append(dict(zip(chars.tolist(), probs.tolist(), strict=True)))

        def score(path: tuple[str, ...], row: list[dict[str, float]] = row) -> float:
            own = sum(np.log(place[char]) for place, char in zip(row, path, strict=True))
            return float(own + sum(0.7 * bigrams.scores([a], [b])[0, 0] for a, b in pairwise(path)))

        assert best_path(row, bigrams, weight=0.7) == "".join(max(product(*row), key=score))
    assert best_path([], bigrams) == ""
    assert best_path([{"甲": 0.0}], bigrams) == "甲"


def test_another_form_is_looked_up_as_the_usual_one() -> None:
    pairs = {"电视": 90.0}
    singles = {"电": 100.0, "视": 9.0, "柳": 9.0}
    row = [{"電": 0.9, "甩": 0.1}, {"柳": 0.8, "視": 0.2}]
    assert best_path(row, counted(singles, pairs, 0.1, {"電": "电", "視": "视"})) == "電視"
    assert best_path(row, counted(singles, pairs, 0.1)) == "電柳"


def load(root: Path) -> OcrModel:
    model = load_model("ocr", root, device="cpu")
    assert isinstance(model, OcrModel)
    return model


def test_a_bundle_without_bigrams_gives_each_crops_best(tmp_path: Path) -> None:
    write_ocr_bundle(tmp_path)
    assert load(tmp_path).read_row([{"空": 0.6, "满": 0.4}, {"甲": 0.5, "乙": 0.4}]) == "空甲"


def test_a_bundle_reads_rows_with_its_own_bigrams(tmp_path: Path) -> None:
    bundle = write_ocr_bundle(tmp_path)
    counts = count([("空乙" * 40 + "\n" + "满" + "乙" * 4, 1.0)])
    files, facts = pack(make_bigrams(counts, {"滿": "满"}, 1.0, 1.0, "".join(CHARSET) + "滿"), 1.0, 1.0)
    put(bundle, files, facts, ["a text"])
    model = load(tmp_path)
    assert model.bigrams is not None and "\n" not in model.bigrams.vocab.symbols
    assert model.read_row([{"空": 0.6, "满": 0.4}, {"甲": 0.5, "乙": 0.4}]) == "空乙"
    assert model.read_row([]) == ""
    # One more than are weighed changes nothing.
    many = dict.fromkeys("abcde"[:CANDIDATES], 0.1)
    assert model.read_row([{"空": 1.0}, {**many, "乙": 0.05}]) == "空a"


def test_counts_outlive_packing_within_a_few_percent(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("空满甲乙丙"), 3000, p=[0.5, 0.3, 0.1, 0.07, 0.03]))
    exact = make_bigrams(count([(text, 2.5)]), {}, 10.0, 2.5, "".join(CHARSET))
    put(write_ocr_bundle(tmp_path), *pack(exact, 2.5, 1.0), [])
    found = load(tmp_path).bigrams
    assert found is not None and found.mu == 10.0
    np.testing.assert_array_equal(found.keys, exact.keys)
    np.testing.assert_array_equal(found.totals, exact.totals)
    np.testing.assert_allclose(found.counts, exact.counts, rtol=0.02)


def test_damaged_bigrams_end_the_start(tmp_path: Path) -> None:
    bundle = write_ocr_bundle(tmp_path)
    put(bundle, *pack(make_bigrams(count([("空满空", 1.0)]), {}, 1.0, 1.0), 1.0, 1.0), [])
    (bundle / BIGRAMS).write_bytes((bundle / BIGRAMS).read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"bigrams\.npz: sha256 differs"):
        bundles.load(bundle, OcrModel.contract)
