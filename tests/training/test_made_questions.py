"""Questions made from held-out documents: what they hold, that they are always the same, and their figures."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.models.tiny_cloze import write_cloze_bundle
from tests.training.cloze_world import WHAT, WHO, world_config
from tianzi_models import bundle as bundles
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.registry import load_model
from tianzi_training.cloze.evaluation.held_out import BLANKS, CHOICES, MARK, SURE, Maker, evaluate
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.config import ClozeConfig, ConfigError

LIMITS = {"max_characters": 2000, "max_blanks": 8, "max_candidates": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the world's text, segmented once."""
    return tmp_path_factory.mktemp("world")


def maker(folder: Path) -> Maker:
    task = ClozeTask(world_config(folder))
    return Maker(list(task.held_out.values()), task.vocab)


def trained_on(folder: Path, config: ClozeConfig) -> ClozeModel:
    """The model that counts, with a manifest that says it was trained so."""
    path = write_cloze_bundle(folder, **LIMITS) / bundles.MANIFEST
    manifest = json.loads(path.read_text())
    bundles.write_json(path, {**manifest, "trained": {"config": asdict(config)}})
    model = load_model("cloze", folder, 1, device="cpu", threads=1)
    assert isinstance(model, ClozeModel)
    return model


def test_blanks_are_of_words_that_stand_there_besides(folder: Path) -> None:
    made = list(maker(folder).blanks(10, 3))
    assert len(made) == 10
    for question in made:
        assert question.request.document.count(MARK) == len(question.truth) == 3
        assert set(question.truth) <= set(question.request.document) & {*WHO, *WHAT}


def test_choices_hold_the_answer_and_others(folder: Path) -> None:
    own = maker(folder)
    made = list(own.choices(10, own.nouns))
    assert len(made) == 10
    for question in made:
        assert question.request.document.count(MARK) == 1
        assert len(set(question.request.candidates)) == CHOICES and question.truth[0] in question.request.candidates
    assert len({question.request.candidates.index(question.truth[0]) for question in made}) > 1
    assert not list(own.choices(10, own.idioms))  # the world knows none


@pytest.mark.parametrize("make", [lambda own: own.blanks(5, 2), lambda own: own.choices(5, own.nouns)])
def test_questions_are_always_the_same(folder: Path, make: Callable[[Maker], object]) -> None:
    assert list(make(maker(folder))) == list(make(maker(folder)))  # type: ignore[call-overload]


def test_figures(folder: Path) -> None:
    model = trained_on(folder / "bundles", world_config(folder))
    figures = evaluate(model, 20)
    one, several = figures["held-out documents, one blank"], figures[f"held-out documents, {BLANKS} blanks"]
    assert (one["total"], several["total"]) == (SURE * 20, 20)
    assert one["accuracy"] == 0.0 and one["calibration_error"] > 0.1  # 了 and 。 stand there most often
    assert several["documents_all_right"] == 0.0
    nouns = figures[f"held-out documents, one of {CHOICES} nouns given"]
    assert nouns["total"] == 10 and 0 < nouns["accuracy"] < 1
    assert len(figures) == 3


def test_a_bundle_that_held_nothing_out_is_refused(folder: Path) -> None:
    model = trained_on(folder / "untested", world_config(folder, held_out=()))
    with pytest.raises(ConfigError, match="held_out: nothing was"):
        evaluate(model, 20)
