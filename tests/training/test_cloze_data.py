"""Text → questions: rules of the makers, nothing leaks, training reads as serving does."""

import lzma
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.cloze_world import WHAT, WHO, world_config, write_world
from tianzi_models.cloze.inputs import BLANK_CODE
from tianzi_models.cloze.lexicon import Lexicon
from tianzi_models.cloze.pieces import BLANK
from tianzi_models.cloze.text import GAP, encode_tokens, is_word
from tianzi_training.cloze.data import corpus
from tianzi_training.cloze.data.corpus import read_text
from tianzi_training.cloze.data.questions import Question, draw_document, encode, mask_words
from tianzi_training.cloze.data.vocabulary import BLANK_TYPE
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.config import ConfigError


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> ClozeTask:
    return ClozeTask(world_config(tmp_path_factory.mktemp("world")))


def drawn(task: ClozeTask, seed: int, length: int = 90) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, draw_document(rng, task.sources["world"], task.vocab, length)


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


def test_a_drawn_document_is_whole_sentences_of_at_most_so_many_pieces(task: ClozeTask) -> None:
    for seed in range(30):
        _, ids = drawn(task, seed, 60)
        assert 30 < task.vocab.count[ids].sum() <= 60
        assert task.vocab.types[ids[-1]] == "。"
    whole = drawn(task, 1, 10**6)[1]
    assert any(len(whole) == end - start for start, end in task.sources["world"].documents)


def test_answers_are_repeated_nouns_and_half_of_each_stays(task: ClozeTask) -> None:
    for seed in range(50):
        rng, ids = drawn(task, seed)
        question = mask_words(rng, ids, task.vocab, questions=6, share=0.0)
        assert 0 < len(question.blanks) <= 6 and (question.question > 0).all()
        masked = question.ids == BLANK_TYPE
        assert masked[question.blanks].all() and masked.sum() == len(question.blanks)
        restored = question.ids.copy()
        restored[question.blanks] = question.answers
        assert restored.tolist() == ids.tolist()
        for answer, value in zip(question.answers, question.question, strict=True):
            assert task.vocab.types[answer] in WHO + WHAT
            stays = (question.ids == answer).sum()
            assert stays >= (ids == answer).sum() // 2 > 0
            assert value == {1: 0.7, 2: 0.8}.get(int(stays), 1.0 if stays < 6 else 2.0)


def test_a_share_of_all_other_words_is_masked_without_being_asked_among_the_texts(task: ClozeTask) -> None:
    for seed in range(30):
        rng, ids = drawn(task, seed)
        question = mask_words(rng, ids, task.vocab, questions=2, share=0.2)
        able = int(task.vocab.candidate[ids].sum())
        asked = int((question.question > 0).sum())
        assert asked <= 2 and 0.2 * able - 1 <= len(question.blanks) <= 2 + round(0.2 * able)
        assert task.vocab.candidate[question.answers].all(), "no punctuation"
        alone = mask_words(rng, ids, task.vocab, questions=0, share=0.0)
        assert len(alone.blanks) == 1, "one at least"


def test_a_document_without_words_has_no_question(task: ClozeTask) -> None:
    stop = task.vocab.types.index("。")
    question = mask_words(np.random.default_rng(0), np.full(9, stop), task.vocab, 3, 0.5)
    assert not len(question.blanks) and (question.ids == stop).all()


def test_the_input_holds_no_trace_of_the_answer_at_its_blank(task: ClozeTask) -> None:
    rng, ids = drawn(task, 1)
    question = mask_words(rng, ids, task.vocab, 3, 0.1)
    one, asked = encode(question, task.vocab)
    assert (one.pieces[one.blanks] == [BLANK, 0, 0, 0, 0, 0]).all() and (one.counts[one.blanks] == 1).all()
    assert (one.match[one.blanks] == 0).all() and (one.codes[one.blanks] == BLANK_CODE).all()
    types = np.unique(question.ids)
    candidates = types[task.vocab.candidate[types]]
    for answer, number in zip(question.answers, asked["answers"], strict=True):
        assert candidates[number] == answer if number >= 0 else answer not in candidates
    where = one.match > 0
    assert candidates[one.match[where] - 1].tolist() == question.ids[where].tolist()
    assert [task.vocab.words[i] for i in asked["answer_words"] if i >= 0] == [
        task.vocab.types[i] for i in question.answers if task.vocab.word[i] >= 0
    ]


def test_an_answer_that_neither_text_nor_lexicon_has_is_not_asked(task: ClozeTask) -> None:
    stop = task.vocab.types.index("。")
    outside = int(np.flatnonzero((task.vocab.word < 0) & (task.vocab.count > 0))[-1])
    question = Question(np.array([0, stop]), np.array([0]), np.array([outside]), np.ones(1))
    _, asked = encode(question, task.vocab)
    assert asked["asked"].tolist() == asked["question"].tolist() == [0.0]


@pytest.mark.parametrize("seed", range(25))
def test_training_reads_a_document_as_serving_does(task: ClozeTask, seed: int) -> None:
    rng, ids = drawn(task, seed, int(np.random.default_rng(seed).integers(20, 400)))
    question = mask_words(rng, ids, task.vocab, 4, 0.1)
    trained, _ = encode(question, task.vocab)
    tokens = [GAP if i == BLANK_TYPE else task.vocab.types[i] for i in question.ids]
    words = sorted({t for t in tokens if isinstance(t, str) and is_word(t)}, key=task.vocab.types.index)
    match = np.array([words.index(t) + 1 if t in words else 0 for t in tokens])
    served = encode_tokens(Lexicon(task.vocab.words, task.vocab.pieces, {}), tokens, words, match)
    for name in ("pieces", "counts", "match", "blanks", "candidate_words", "candidate_pieces"):
        np.testing.assert_array_equal(getattr(trained, name), getattr(served, name), err_msg=name)
    # Codes only say which words are alike: a renaming takes the ones to the others.
    pairs = list(zip(trained.codes.tolist(), served.codes.tolist(), strict=True))
    pairs += list(zip(trained.candidate_codes.tolist(), served.candidate_codes.tolist(), strict=True))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(set(pairs))
    assert (BLANK_CODE, BLANK_CODE) in pairs


def same(batch: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return batch.keys() == other.keys() and all(torch.equal(batch[name], other[name]) for name in batch)


def test_a_batch_is_a_function_of_seed_step_and_process(task: ClozeTask) -> None:
    batches, again = task.batches(), task.batches()
    assert len(batches) == task.config.steps
    late, first = batches[3], batches[0]
    assert same(first, again[0]) and same(late, again[3]), "in whatever order"
    assert not same(first, batches[1])
    assert not same(first, task.batches(rank=1)[0])


def test_batches_of_long_and_short_texts_take_turns(tmp_path: Path) -> None:
    task = ClozeTask(world_config(tmp_path, long_batches=2, short_batches=1, steps=6))
    batches = task.batches()
    lengths = [int((batches[step]["pieces"] > 0).sum(1).max()) - 2 for step in range(6)]
    assert all(length <= 140 for length in lengths[2::3])
    assert all(length > 140 for step, length in enumerate(lengths) if step % 3 < 2)
    alone = ClozeTask(world_config(tmp_path, long={})).batches()
    assert all(int((alone[step]["pieces"] > 0).sum(1).max()) - 2 <= 140 for step in range(4))


def test_a_batch_samples_the_lexicon_with_its_answers(task: ClozeTask) -> None:
    config = world_config(Path(task.config.cache_folder).parent, frequent_words=5, sampled_words=10)
    few = ClozeTask(config)
    size = len(few.vocab.words)
    for step in range(4):
        batch = few.batches()[step]
        sampled = batch["sampled"].tolist()
        assert len(set(sampled)) == len(sampled)
        own = set(range(5)) | set(batch["answer_words"][batch["answer_words"] >= 0].tolist())
        assert own <= set(sampled) and len(sampled) == min(size, len(own) + 10)
        for word, shift in zip(sampled, batch["sampled_shift"].tolist(), strict=True):
            assert shift == (0 if word in own else pytest.approx(np.log((size - len(own)) / 10)))


def test_held_out_documents_are_never_drawn(task: ClozeTask) -> None:
    trained, kept = task.sources["world"], task.held_out["world"]
    spans = {tuple(d) for d in trained.documents}
    assert len(kept.documents) > 0 and not spans & {tuple(d) for d in kept.documents}
    assert len(trained.documents) + len(kept.documents) == 150


def test_mistakes_in_a_configuration_are_named(tmp_path: Path) -> None:
    write_world(tmp_path / "text")
    with pytest.raises(ConfigError, match=r"long, short: no nowhere\.txt or nowhere\.txt\.xz in"):
        ClozeTask(world_config(tmp_path, long={"nowhere": 1.0}))
    with pytest.raises(ConfigError, match="long, short: name no source"):
        ClozeTask(world_config(tmp_path, long={}, short={}))
    with pytest.raises(ConfigError, match="replaced_nouns: needs pretrained"):
        ClozeTask(world_config(tmp_path, replaced_nouns=0.5)).batches()
    with pytest.raises(ConfigError, match="held_out: names no source"):
        ClozeTask(world_config(tmp_path, held_out=())).validation()
