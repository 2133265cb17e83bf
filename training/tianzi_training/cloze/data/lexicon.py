"""The word types of the training texts, with what the network and the questions need of each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import jieba
import numpy as np

from tianzi_models.cloze.text import RESERVED, is_word, special_chars, word_chars
from tianzi_models.vocab import Vocab
from tianzi_training.cloze.data.corpus import Text, variants

# jieba's tags of noun-like words: n, nr, ns …, s place, t time. A word that its dictionary lacks is a name as a rule.
NOUN_TAG = re.compile(r"n|[st]$|unknown$")
HANZI = re.compile(r"[\u4e00-\u9fff]+")
SENTENCE_ENDS = "。！？…；"


@dataclass(frozen=True)
class Lexicon:
    """types: all words, the first four RESERVED, so that type 2 is a blank and type 3 a separator.

    words, chars: the vocabularies. ids: (types,) into words. chars_of: (types, CHARS_PER_WORD) into chars.
    candidate: (types,) bool, may be an answer. noun: noun-like, of hanzi only. ends_sentence: begins with 。 or such.
    """

    types: list[str]
    words: Vocab
    chars: Vocab
    ids: np.ndarray
    chars_of: np.ndarray
    candidate: np.ndarray
    noun: np.ndarray
    ends_sentence: np.ndarray


def make_lexicon(
    texts: Sequence[Text],
    shares: Sequence[float],
    num_words: int,
    min_char_count: int = 3,
    kept: tuple[Vocab, Vocab] | None = None,
) -> tuple[Lexicon, list[np.ndarray]]:
    """The lexicon of some texts, and each text's ids in it.

    The vocabulary holds the num_words most frequent words, a text's counts weighed by its share of the training.
    kept: words and characters to take instead.
    """
    index = {symbol: i for i, symbol in enumerate(RESERVED)}
    mapped = []
    for text in texts:
        table = np.array([index.setdefault(word, len(index)) for word in text.words], np.int32)
        mapped.append(table[text.ids])
    types = list(index)
    words, chars = kept or _frequent(types, mapped, shares, num_words, min_char_count)
    tags = dictionary_tags()
    lexicon = Lexicon(
        types=types,
        words=words,
        chars=chars,
        ids=np.array([*range(len(RESERVED)), *words.encode(types[len(RESERVED) :])], np.int64),
        chars_of=np.array(
            [*map(special_chars, range(len(RESERVED))), *(word_chars(chars, word) for word in types[len(RESERVED) :])]
        ),
        candidate=np.array([False] * len(RESERVED) + [is_word(word) for word in types[len(RESERVED) :]]),
        noun=np.array(
            [bool(HANZI.fullmatch(word)) and bool(NOUN_TAG.match(tags.get(word, "unknown"))) for word in types]
        ),
        ends_sentence=np.array([word[0] in SENTENCE_ENDS for word in types]),
    )
    return lexicon, mapped


def _frequent(
    types: list[str], mapped: Sequence[np.ndarray], shares: Sequence[float], num_words: int, min_char_count: int
) -> tuple[Vocab, Vocab]:
    """The vocabularies of words and of characters. mapped: each text's ids into types."""
    counts = np.zeros(len(types))
    weighed = np.zeros(len(types))
    for ids, share in zip(mapped, shares, strict=True):
        found = np.bincount(ids, minlength=len(types))
        counts += found
        weighed += found * (share / len(ids))
    frequent = [i for i in np.argsort(-weighed, kind="stable") if i >= len(RESERVED)][: num_words - len(RESERVED)]
    char_counts: dict[str, int] = {}
    for word, count in zip(types[len(RESERVED) :], counts[len(RESERVED) :], strict=True):
        for char in word:
            char_counts[char] = char_counts.get(char, 0) + int(count)
    usual = sorted((c for c, n in char_counts.items() if n >= min_char_count), key=lambda c: (-char_counts[c], c))
    return Vocab([*RESERVED, *(types[i] for i in frequent)]), Vocab([*RESERVED, *usual], variants())


def dictionary_tags() -> dict[str, str]:
    """The part of speech of each word of jieba's dictionary."""
    with jieba.get_dict_file() as file:
        rows = (line.decode().split() for line in file)
        return {row[0]: row[2] for row in rows}
