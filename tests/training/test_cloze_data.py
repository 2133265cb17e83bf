"""Text → questions: rules of the makers, nothing leaks, official files are read."""

import lzma
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.cloze_world import WHAT, WHO, world_config, write_world
from tianzi_models.cloze.text import BLANK, SEPARATOR
from tianzi_models.vocab import PAD, UNKNOWN
from tianzi_training.cloze.data import corpus
from tianzi_training.cloze.data.corpus import read_text
from tianzi_training.cloze.data.questions import blank_out, draw_document, encode_question
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.config import ConfigError


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> ClozeTask:
    return ClozeTask(world_config(tmp_path_factory.mktemp("world")))


def drawn(task: ClozeTask, seed: int) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, draw_document(rng, task.sources[0], task.lexicon.ends_sentence, 90)[0]


def test_text_is_folded_segmented_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.txt.xz"
    path.write_bytes(lzma.compress("國王愛貓!\n\n\n木匠 的桌子。\n木匠。\n".encode()))
    text = read_text(path, tmp_path / "cache")
    words = [text.words[i] for i in text.ids]
    assert "".join(words) == "国王爱猫！木匠的桌子。木匠。"
    assert [len("".join(words[:end])) for end in text.document_ends] == [5, 14]
    assert [len("".join(words[:end])) for end in text.line_ends] == [5, 11, 14]
    monkeypatch.setattr(corpus, "_segment_file", lambda *_: pytest.fail("the cache was not used"))
    again = read_text(path, tmp_path / "cache")
    assert again.words == text.words and again.ids.tolist() == text.ids.tolist()


def test_answers_are_repeated_nouns_and_half_of_each_stays(task: ClozeTask) -> None:
    for seed in range(50):
        rng, ids = drawn(task, seed)
        question = blank_out(rng, ids, task.lexicon, max_blanks=6)
        assert 0 < len(question.blanks) <= 6
        assert (question.ids[question.blanks] == BLANK).all() and (question.ids == BLANK).sum() == len(question.blanks)
        restored = question.ids.copy()
        restored[question.blanks] = question.answers
        assert restored.tolist() == ids.tolist()
        for answer in question.answers:
            assert task.lexicon.types[answer] in WHO + WHAT
            assert (question.ids == answer).sum() >= (ids == answer).sum() / 2


def test_the_input_holds_no_trace_of_the_answer_at_its_blank(task: ClozeTask) -> None:
    rng, ids = drawn(task, 1)
    question = blank_out(rng, ids, task.lexicon, max_blanks=3)
    one, answers = encode_question(question, task.lexicon)
    assert (one.words[one.blanks] == BLANK).all() and (one.match[one.blanks] == 0).all()
    assert (one.chars[one.blanks] == [BLANK, PAD, PAD, BLANK]).all()
    types = np.unique(question.ids)
    candidates = types[task.lexicon.candidate[types]]
    assert candidates[answers].tolist() == question.answers.tolist()
    where = one.match > 0
    assert candidates[one.match[where] - 1].tolist() == question.ids[where].tolist()


def test_forgotten_words_are_read_by_their_characters(task: ClozeTask) -> None:
    rng, ids = drawn(task, 2)
    question = blank_out(rng, ids, task.lexicon, max_blanks=1)
    known, _ = encode_question(question, task.lexicon)
    forgotten, _ = encode_question(question, task.lexicon, np.arange(4, 1000))
    assert set(forgotten.words) == {UNKNOWN, BLANK}
    assert forgotten.chars.tolist() == known.chars.tolist()


def test_a_moved_query_stands_last(task: ClozeTask) -> None:
    for seed in range(20):
        rng, ids = drawn(task, seed)
        question = blank_out(rng, ids, task.lexicon, 1, move_query=True)
        (place,) = question.blanks
        (separator,) = np.flatnonzero(question.ids == SEPARATOR)
        assert question.ids[place] == BLANK and separator < place
        words = [i for i in question.ids if i not in (BLANK, SEPARATOR)]
        assert sorted([*words, question.answers[0]]) == sorted(ids)
        assert not task.lexicon.ends_sentence[question.ids[separator + 1 : place]].any()


def test_a_batch_is_a_function_of_seed_and_step(task: ClozeTask) -> None:
    batches = task.batches()
    first, again, other = batches[0], batches[0], batches[1]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_targets"], other["lm_targets"])
    assert first["answers"].shape == first["blanks"].shape
    places = first["words"].gather(1, first["lm_places"])
    group = task.config.lm_group
    for row, (targets, words) in enumerate(zip(first["lm_targets"], places, strict=True)):
        asked = first["lm_words"][row // group][targets]
        assert torch.equal(asked, words), "the language model is asked for the words that stand there"


def test_held_out_documents_are_never_drawn(task: ClozeTask) -> None:
    (trained,), (kept,) = task.sources, task.held_out
    spans = {tuple(d) for d in trained.documents}
    assert len(kept.documents) > 0 and not spans & {tuple(d) for d in kept.documents}
    assert len(trained.documents) + len(kept.documents) == 150


def test_the_sources_shares_move_in_a_straight_line(tmp_path: Path) -> None:
    write_world(tmp_path / "text")
    (tmp_path / "text/other.txt").write_text((tmp_path / "text/world.txt").read_text())
    shares = {"sources": {"world": 0.5, "other": 0.0}, "first_sources": {"other": 3.0, "world": 1.0}}
    batches = ClozeTask(world_config(tmp_path, steps=100, first_steps=0.4, **shares)).batches()
    # One text after the other as the configuration names them: world, other.
    assert [batches.shares(step).tolist() for step in (0, 20, 40, 99)] == [
        [0.25, 0.75], [0.625, 0.375], [1.0, 0.0], [1.0, 0.0]
    ]  # fmt: skip


def test_official_questions_are_asked_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "official"
    folder.mkdir()
    (folder / "train.doc_query").write_text(
        "1 ||| 國王 爱 XXXXX 。\n2 ||| 公主 爱 猫 。\n<qid_0> ||| 國王 爱 XXXXX 。\n"
        "1 ||| 木匠 有 桌子 。\n<qid_1> ||| XXXXX 很 大 。\n",
        encoding="utf-8",
    )
    (folder / "train.answer").write_text("<qid_0> ||| 猫\n<qid_1> ||| 桌子\n", encoding="utf-8")
    task = ClozeTask(world_config(tmp_path, questions=(str(folder),), sources={"world": 1e-6}, max_blanks=1))
    source, types = task.sources[1], task.lexicon.types
    seen = set()
    for seed in range(20):
        ids, place = draw_document(np.random.default_rng(seed), source, task.lexicon.ends_sentence, 90)
        question = blank_out(np.random.default_rng(seed), ids, task.lexicon, 1, move_query=True, official=place)
        seen.add((" ".join(types[i] for i in question.ids), types[question.answers[0]]))
    assert seen == {
        ("国王 爱 <blank> 。 公主 爱 猫 。", "猫"),
        ("木匠 有 桌子 。 <sep> <blank> 很 大 。", "桌子"),
    }
    batch = task.batches()[0]
    assert (batch["answers"] >= 0).all()


def test_mistakes_in_a_configuration_are_named(tmp_path: Path) -> None:
    write_world(tmp_path / "text")
    with pytest.raises(ConfigError, match=r"sources: no nowhere\.txt or nowhere\.txt\.xz in"):
        ClozeTask(world_config(tmp_path, sources={"nowhere": 1.0}))
    with pytest.raises(ConfigError, match=r"questions: no \.doc_query file in"):
        ClozeTask(world_config(tmp_path, questions=(str(tmp_path),)))
    with pytest.raises(ConfigError, match="net: 'other', must be cloze, cloze-aoa or cloze-seed"):
        ClozeTask(world_config(tmp_path, net="other")).build_net()
