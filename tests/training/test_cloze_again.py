"""A second round: nouns give way to others like them, and a bundle's vocabulary stays, so that its weights fit."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.cloze_world import WHAT, WHO, world_config
from tianzi_models.cloze.model import CHARS, WORDS
from tianzi_training.cloze.data.questions import draw_document
from tianzi_training.cloze.data.swap import LIKE, Alike, find_alike, swap_nouns
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.config import ConfigError
from tianzi_training.train import require_same_symbols


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> ClozeTask:
    return ClozeTask(world_config(tmp_path_factory.mktemp("world")))


def vectors(task: ClozeTask) -> np.ndarray:
    """Those who act lie one way, things another; some lie between."""
    directions = {**dict.fromkeys(WHO, (1.0, 0.1)), **dict.fromkeys(WHAT, (0.1, 1.0))}
    rng = np.random.default_rng(0)
    rows = [np.array(directions.get(word, (np.nan, np.nan))) for word in task.lexicon.words.symbols]
    return (np.stack(rows) + rng.normal(0, 0.01, (len(rows), 2))).astype(np.float32)


def test_words_give_way_to_their_like(task: ClozeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianzi_training.cloze.data.swap.LIKE", 3)
    alike = find_alike(task.lexicon, vectors(task))
    types = task.lexicon.types
    found = {types[word]: {types[other] for other in like} for word, like in zip(alike.types, alike.like, strict=True)}
    assert set(found) <= set(WHO + WHAT) and len(found) > 6
    for word, like in found.items():
        assert like <= set(WHO if word in WHO else WHAT) - {word}


def test_a_document_is_told_of_others(task: ClozeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianzi_training.cloze.data.swap.LIKE", 3)
    alike = find_alike(task.lexicon, vectors(task))
    swapped = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ids, _ = draw_document(rng, task.sources[0], task.lexicon.ends_sentence, 90)
        told = swap_nouns(rng, ids, alike, task.lexicon.noun, most=1.0)
        pairs = set(zip(ids.tolist(), told.tolist(), strict=True))
        assert len({old for old, _ in pairs}) == len(pairs) == len({new for _, new in pairs}), "two words became one"
        changed = [(old, new) for old, new in pairs if old != new]
        assert all((ids == old).sum() >= 2 and new not in ids for old, new in changed)
        swapped += bool(changed)
    assert swapped > 20


def test_without_vectors_nothing_is_swapped(task: ClozeTask) -> None:
    none = np.full((len(task.lexicon.words), 2), np.nan, np.float32)
    alike = find_alike(task.lexicon, none)
    assert alike.like.shape == (0, LIKE)
    ids, _ = draw_document(np.random.default_rng(0), task.sources[0], task.lexicon.ends_sentence, 90)
    assert swap_nouns(np.random.default_rng(0), ids, alike, task.lexicon.noun, 1.0).tolist() == ids.tolist()


def test_batches_are_swapped_where_the_experiment_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Alike] = []

    def count(rng: np.random.Generator, ids: np.ndarray, alike: Alike, noun: np.ndarray, most: float) -> np.ndarray:
        asked.append(alike)
        assert most == 0.5
        return ids

    monkeypatch.setattr("tianzi_training.cloze.data.questions.swap_nouns", count)
    ClozeTask(world_config(tmp_path, word2vec_epochs=1)).batches()[0]
    assert not asked
    ClozeTask(world_config(tmp_path, word2vec_epochs=1, swap=0.5)).batches()[0]
    assert len(asked) >= 8


def test_a_bundles_vocabulary_is_kept(task: ClozeTask, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for name, text in task.vocabulary().items():
        (bundle / name).write_bytes(text)
    words = (bundle / WORDS).read_text(encoding="utf-8").splitlines()
    (bundle / WORDS).write_text("\n".join([*words[:4], *reversed(words[4:])]) + "\n", encoding="utf-8")
    usual = ClozeTask(world_config(tmp_path)).vocabulary()
    with pytest.raises(ConfigError, match=rf"{WORDS} holds other symbols: set vocabulary = '{bundle}' to keep them"):
        require_same_symbols(usual, bundle)
    kept = ClozeTask(world_config(tmp_path, vocabulary=str(bundle))).vocabulary()
    assert kept[WORDS] == (bundle / WORDS).read_bytes()
    assert kept[CHARS] == usual[CHARS]
    require_same_symbols(kept, bundle)
