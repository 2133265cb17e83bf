"""The word types of the training texts, the lexicon of words that may be answered, and the pieces of all of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jieba
import numpy as np

from tianzi_models.cloze.pieces import BLANK, SEPARATOR, SPECIAL, Pieces
from tianzi_models.cloze.text import is_word, pad_pieces
from tianzi_training.cloze.e5 import E5

# jieba's tags of noun-like words: n, nr, ns …, s place, t time. A word that its dictionary lacks is a name as a rule.
NOUN_TAG = re.compile(r"n|[st]$|unknown$")
IDIOM_TAG = "i"
HANZI = re.compile(r"[\u4e00-\u9fff]+")
SENTENCE_ENDS = "。！？…；"
LONGEST_WORD = 8
DICTIONARY_SHARE = 0.1  # what jieba's own frequencies count beside the texts' when the lexicon is chosen
OWN_SYMBOLS = ("<blank>", "<sep>")  # types 0 and 1
BLANK_TYPE = 0


@dataclass(frozen=True)
class Vocabulary:
    """types: every word of the texts, the first two OWN_SYMBOLS. pieces: how words are read. words: the lexicon.

    Of each type: word: (types,) its number in the lexicon, -1 for none. pieces_of: (types, MAX_PIECES), 0 = padding.
    count: (types,) how many pieces. candidate: may be an answer. noun: noun-like, of hanzi only.
    frequency: (types,) its share of the weighted texts. lexicon_pieces: (words, MAX_PIECES) of the lexicon.
    """

    types: list[str]
    pieces: Pieces
    words: list[str]
    word: np.ndarray
    pieces_of: np.ndarray
    count: np.ndarray
    candidate: np.ndarray
    noun: np.ndarray
    ends_sentence: np.ndarray
    frequency: np.ndarray
    lexicon_pieces: np.ndarray


def map_types(texts: Sequence[tuple[list[str], np.ndarray]]) -> tuple[list[str], list[np.ndarray]]:
    """(words, ids into them) of each text → all word types, and each text's ids into these."""
    index = {symbol: i for i, symbol in enumerate(OWN_SYMBOLS)}
    mapped = []
    for words, ids in texts:
        table = np.array([index.setdefault(word, len(index)) for word in words], np.int32)
        mapped.append(table[ids])
    return list(index), mapped


def word_frequency(types: int, mapped: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """(types,): the share of each word where the texts count as said."""
    frequency = np.zeros(types)
    for ids, share in zip(mapped, shares, strict=True):
        frequency += np.bincount(ids, minlength=types) * (share / max(1, len(ids)))
    return frequency / frequency.sum()


def choose_words(types: Sequence[str], frequency: np.ndarray, count: int, idioms: int = 0) -> list[str]:
    """The lexicon: the most frequent words of the texts and of jieba's dictionary, the most frequent first; behind them
    so many more idioms of four hanzi, which are rare one by one and asked for often.
    """
    weight = dict(zip(types, frequency.tolist(), strict=True))
    dictionary = dictionary_words()
    total = sum(number for number, _ in dictionary.values())
    for word, (number, _) in dictionary.items():
        weight[word] = weight.get(word, 0.0) + DICTIONARY_SHARE * number / total
    usable = [w for w in weight if w not in OWN_SYMBOLS and HANZI.fullmatch(w) and len(w) <= LONGEST_WORD]
    ranked = sorted(usable, key=lambda word: (-weight[word], word))
    rare = [word for word in ranked[count:] if len(word) == 4 and dictionary.get(word, (0, ""))[1] == IDIOM_TAG]
    return ranked[:count] + rare[:idioms]


def choose_pieces(e5: E5, words: Sequence[str]) -> Pieces:
    """The pieces that some words are read as, and all of one character."""
    kept = e5.kept_pieces()
    every = Pieces([*SPECIAL, *(e5.pieces[i] for i in kept)], [0.0] * len(SPECIAL) + e5.scores[kept].tolist())
    used = {i for i, piece in enumerate(every.pieces) if len(piece) == 1}
    for word in words:
        used.update(every.ids_of(word))
    chosen = sorted(i for i in used if i >= len(SPECIAL))
    return Pieces(
        [*SPECIAL, *(every.pieces[i] for i in chosen)], [0.0] * len(SPECIAL) + [every.scores[i] for i in chosen]
    )


def plain_pieces(words: Sequence[str]) -> Pieces:
    """One piece a character, for networks that start from nothing."""
    characters = sorted(set("".join(words)))
    return Pieces([*SPECIAL, *characters], [0.0] * (len(SPECIAL) + len(characters)))


def make_vocabulary(types: list[str], frequency: np.ndarray, words: list[str], pieces: Pieces) -> Vocabulary:
    """What is known of each type."""
    number = {word: i for i, word in enumerate(words)}
    tags = dictionary_words()
    split = [(BLANK,), (SEPARATOR,), *(pieces.ids_of(word) for word in types[len(OWN_SYMBOLS) :])]
    own = np.arange(len(types)) < len(OWN_SYMBOLS)
    return Vocabulary(
        types=types,
        pieces=pieces,
        words=words,
        word=np.array([number.get(word, -1) for word in types]),
        pieces_of=pad_pieces(split).astype(np.int32),
        count=np.array([len(ids) for ids in split]),
        candidate=np.array([is_word(word) for word in types]) & ~own,
        noun=np.array([is_noun(word, tags) for word in types]) & ~own,
        ends_sentence=np.array([word[0] in SENTENCE_ENDS for word in types]),
        frequency=frequency,
        lexicon_pieces=pad_pieces([pieces.ids_of(word) for word in words]).astype(np.int32),
    )


def is_noun(word: str, tags: Mapping[str, tuple[int, str]]) -> bool:
    """Noun-like by jieba's dictionary, and of hanzi only."""
    return bool(HANZI.fullmatch(word)) and bool(NOUN_TAG.match(tags.get(word, (0, "unknown"))[1]))


def dictionary_words() -> dict[str, tuple[int, str]]:
    """Frequency and part of speech of each word of jieba's dictionary."""
    with jieba.get_dict_file() as file:
        rows = (line.decode().split() for line in file)
        return {row[0]: (int(row[1]), row[2]) for row in rows}
