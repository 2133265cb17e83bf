"""Pieces: the best of all ways to split a word, and the text file that holds them."""

import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianzi_models.cloze.lexicon import PIECES, VARIANTS, Lexicon
from tianzi_models.cloze.pieces import MAX_PIECES, SPECIAL, UNKNOWN, Pieces

FIRST = len(SPECIAL)
VOCABULARIES = st.dictionaries(
    st.text("甲乙丙", min_size=1, max_size=3), st.integers(-80, -1).map(lambda n: n / 8), min_size=1, max_size=8
)


def made(scores: dict[str, float]) -> Pieces:
    return Pieces([*SPECIAL, *scores], [0.0] * FIRST + list(scores.values()))


def splits(word: str) -> Iterator[list[str]]:
    """Every way to cut a word."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        for rest in splits(word[end:]):
            yield [word[:end], *rest]


@settings(deadline=None)  # of a busy machine
@given(VOCABULARIES, st.text("甲乙丙丁", min_size=1, max_size=MAX_PIECES))
def test_the_split_is_the_best_of_all(scores: dict[str, float], word: str) -> None:
    pieces = made(scores)
    unknown = min(scores.values()) - 10
    able = [way for way in splits(word) if all(part in scores or len(part) == 1 for part in way)]
    best = max(sum(scores.get(part, unknown) for part in way) for way in able)
    ids = pieces.ids_of(word)
    assert sum(unknown if i == UNKNOWN else pieces.scores[i] for i in ids) == pytest.approx(best)
    # Read in order, they spell the word.
    rest = word
    for i in ids:
        part = rest[0] if i == UNKNOWN else pieces.pieces[i]
        assert rest.startswith(part)
        rest = rest[len(part) :]
    assert not rest


def test_a_longer_piece_wins_only_where_it_scores_higher() -> None:
    pieces = made({"青": -2.0, "蛙": -2.0, "青蛙": -3.0, "石": -1.0, "头": -1.0, "石头": -3.0})
    assert [pieces.pieces[i] for i in pieces.ids_of("青蛙石头")] == ["青蛙", "石", "头"]


def test_unknown_characters_are_one_piece_each() -> None:
    pieces = made({"猫": -1.0, "鱼": -2.0})
    assert pieces.ids_of("猫龘鱼龖") == (FIRST, UNKNOWN, FIRST + 1, UNKNOWN)
    assert Pieces(SPECIAL, [0.0] * FIRST).ids_of("猫鱼") == (UNKNOWN, UNKNOWN), "without any piece"


def test_reserved_names_in_a_text_are_characters() -> None:
    assert set(made({"p": -1.0}).ids_of("<pad>")) == {UNKNOWN, FIRST}
    assert all(set(made({"猫": -1.0}).ids_of(name)) == {UNKNOWN} for name in SPECIAL)


@settings(deadline=None)  # of a busy machine
@given(st.text(min_size=1, max_size=200))
def test_any_word_has_one_to_six_pieces_and_the_same_as_its_usual_form(word: str) -> None:
    pieces = made({"1": -1.0, "A": -1.0, "ﬁ": -2.0, "fi": -3.0, "猫": -1.0})
    ids = pieces.ids_of(word)
    assert 1 <= len(ids) <= MAX_PIECES and all(i == UNKNOWN or FIRST <= i < len(pieces) for i in ids)
    if unicodedata.normalize("NFKC", word):
        assert ids == pieces.ids_of(unicodedata.normalize("NFKC", word))


def test_forms_that_unicode_calls_compatible_are_read_alike() -> None:
    pieces = made({"1": -1.0, "2": -1.0, "㎏": -1.0, "k": -2.0, "g": -2.0})
    assert pieces.ids_of("１２") == pieces.ids_of("12") == (FIRST, FIRST + 1)
    assert pieces.ids_of("㎏") == pieces.ids_of("kg")


@settings(deadline=None)  # of a busy machine
@given(VOCABULARIES)
def test_text_round_trip(scores: dict[str, float]) -> None:
    pieces = made(scores)
    again = Pieces.from_text(pieces.to_text())
    assert again.pieces == pieces.pieces
    assert again.scores == pytest.approx(pieces.scores, abs=1e-4)


@pytest.mark.parametrize(
    "text", ["", "<s>\t0\n", "猫\t-1\n", "<pad>\n", "<pad>\tmany\n", "".join(f"{s}\t0\n" for s in reversed(SPECIAL))]
)
def test_texts_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must begin with|unpack|float"):
        Pieces.from_text(text)


def texts(lexicon: Lexicon) -> dict[str, str]:
    return {name: data.decode() for name, data in lexicon.to_files().items()}


def test_a_lexicon_is_what_its_files_hold() -> None:
    lexicon = Lexicon(["国王", "猫", "一\u2028二"], made({"国": -1.5, "王": -2.25}), {"國": "国", " ": "　"})
    with pytest.raises(ValueError, match=rf"{VARIANTS}: a line is not"):
        Lexicon.from_texts(texts(lexicon))  # a space has no other form
    lexicon.variants.pop(" ")
    again = Lexicon.from_texts(texts(lexicon))
    assert (again.words, again.variants) == (lexicon.words, lexicon.variants)
    assert again.pieces.pieces == lexicon.pieces.pieces and again.pieces.scores == lexicon.pieces.scores
    assert [again.id(word) for word in ("国王", "猫", "鱼")] == [0, 1, -1] and len(again) == 3


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [(VARIANTS, "國国\n", VARIANTS), (VARIANTS, "國 国 王\n", VARIANTS), (PIECES, "猫\t0\n", "must begin with <pad>")],
)
def test_files_of_another_form_are_refused(name: str, text: str, problem: str) -> None:
    own = texts(Lexicon(["猫"], made({"猫": -1.0}), {"貓": "猫"}))
    with pytest.raises(ValueError, match=problem):
        Lexicon.from_texts({**own, name: text})


def test_an_empty_lexicon_round_trips() -> None:
    assert Lexicon.from_texts(texts(Lexicon([], made({"猫": -1.0}), {}))).words == []
