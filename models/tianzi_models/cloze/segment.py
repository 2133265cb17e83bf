"""Words of a text: characters folded to one form, then jieba, with offsets kept."""

import logging
import string
import threading
import warnings
from collections.abc import Iterator, Mapping

with warnings.catch_warnings():
    # jieba's sources hold escapes and an import that newer Pythons warn of.
    warnings.simplefilter("ignore")
    import jieba

logging.getLogger("jieba").setLevel(logging.ERROR)

_tokenizer = jieba.Tokenizer()
_lock = threading.Lock()

# Forms that differ in width or fashion only; each pair maps one character to one, so that offsets hold.
PUNCTUATION = dict(zip("!?,:;()「」『』﹁﹂｢｣~", "！？，：；（）“”‘’“”“”～", strict=True))
FULL_WIDTH = {chr(ord(c) + 0xFEE0): c for c in string.ascii_letters + string.digits}


def folding(variants: Mapping[str, str]) -> dict[int, str]:
    """The table for str.translate that replaces each variant character by its usual one: 國 → 国."""
    return {ord(variant): symbol for variant, symbol in variants.items()}


def segment(text: str) -> list[str]:
    """The words of a folded text, spaces among them: their concatenation is text."""
    warm_up()
    return list(_tokenizer.cut(text))


def dictionary_lines() -> Iterator[str]:
    """jieba's dictionary, a word with its count and its kind a line."""
    with _tokenizer.get_dict_file() as lines:
        for line in lines:
            yield line.decode().rstrip()


def warm_up() -> None:
    """Loads jieba's dictionary, once: 0.7 s, which must not fall on the first request.

    jieba's own initialize() would read and write a marshalled file in the shared temporary folder.
    """
    with _lock:
        if not _tokenizer.initialized:
            _tokenizer.FREQ, _tokenizer.total = _tokenizer.gen_pfdict(_tokenizer.get_dict_file())
            _tokenizer.initialized = True
