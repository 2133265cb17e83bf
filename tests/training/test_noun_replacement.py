"""Stories told of others: nouns give way to their like, consistently; a bundle's vocabulary can be kept."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.cloze_world import WHAT, WHO, world_config
from tianzi_models.cloze.lexicon import PIECES, WORDS
from tianzi_training.cloze.data import batches, noun_replacement
from tianzi_training.cloze.data.noun_replacement import Alike, find_alike, replace_nouns
from tianzi_training.cloze.data.questions import draw_document
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.config import ConfigError
from tianzi_training.train import require_same_symbols


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> ClozeTask:
    return ClozeTask(world_config(tmp_path_factory.mktemp("world")))


@pytest.fixture
def few_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noun_replacement, "LIKE", 3)


def vectors(task: ClozeTask) -> np.ndarray:
    """Those who act lie one way, things another, all else a third."""
    directions = {**dict.fromkeys(WHO, (1.0, 0.1, 0.0)), **dict.fromkeys(WHAT, (0.1, 1.0, 0.0))}
    rows = np.array([directions.get(word, (0.0, 0.0, 1.0)) for word in task.vocab.words])
    return (rows + np.random.default_rng(0).normal(0, 0.01, rows.shape)).astype(np.float32)


@pytest.mark.usefixtures("few_alike")
def test_words_give_way_to_their_like(task: ClozeTask) -> None:
    alike = find_alike(task.vocab, vectors(task))
    types = task.vocab.types
    found = {types[word]: {types[other] for other in like} for word, like in zip(alike.types, alike.like, strict=True)}
    assert set(found) & {*WHO, *WHAT} and (np.diff(alike.types) > 0).all()
    for word in set(found) & {*WHO, *WHAT}:
        assert len(found[word]) == 3 and word not in found[word]
        assert found[word] <= set(WHO if word in WHO else WHAT)


@pytest.mark.usefixtures("few_alike")
def test_a_document_is_told_of_others(task: ClozeTask) -> None:
    alike = find_alike(task.vocab, vectors(task))
    replaced = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ids = draw_document(rng, task.sources["world"], task.vocab, 90)
        told = replace_nouns(rng, ids, alike, task.vocab.noun, most=1.0)
        pairs = set(zip(ids.tolist(), told.tolist(), strict=True))
        assert len({old for old, _ in pairs}) == len(pairs) == len({new for _, new in pairs}), "two words became one"
        changed = [(old, new) for old, new in pairs if old != new]
        assert all((ids == old).sum() >= 2 and new not in ids for old, new in changed)
        replaced += bool(changed)
    assert replaced > 20


def test_without_like_nouns_nothing_is_replaced(task: ClozeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noun_replacement, "LIKE", 10**6)
    alike = find_alike(task.vocab, vectors(task))
    assert not len(alike.types)
    ids = draw_document(np.random.default_rng(0), task.sources["world"], task.vocab, 90)
    assert replace_nouns(np.random.default_rng(0), ids, alike, task.vocab.noun, 1.0).tolist() == ids.tolist()


def test_long_batches_are_told_of_others_where_the_experiment_says_so(
    task: ClozeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Alike] = []

    def count(rng: np.random.Generator, ids: np.ndarray, alike: Alike, noun: np.ndarray, most: float) -> np.ndarray:
        asked.append(alike)
        assert most == 0.5
        return ids

    monkeypatch.setattr(batches, "replace_nouns", count)
    config = world_config(tmp_path, replaced_nouns=0.5, long_batches=1, short_batches=1)
    none = Alike(np.empty(0, np.int64), np.empty((0, 10), np.int64))
    own = batches.MaskedTexts(task.sources, task.vocab, config, none)
    own[1]
    assert not asked
    own[0]
    assert asked


def test_a_bundles_vocabulary_is_kept(task: ClozeTask, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for name, text in task.vocabulary().items():
        (bundle / name).write_bytes(text)
    words = (bundle / WORDS).read_text(encoding="utf-8").splitlines()
    (bundle / WORDS).write_text("".join(f"{word}\n" for word in reversed(words)), encoding="utf-8")
    usual = ClozeTask(world_config(tmp_path)).vocabulary()
    with pytest.raises(ConfigError, match=rf"{WORDS} holds other symbols: set vocabulary = '{bundle}' to keep them"):
        require_same_symbols(usual, bundle)
    kept = ClozeTask(world_config(tmp_path, vocabulary=str(bundle))).vocabulary()
    assert kept[WORDS] == (bundle / WORDS).read_bytes()
    assert kept[PIECES] == usual[PIECES]
    require_same_symbols(kept, bundle)
