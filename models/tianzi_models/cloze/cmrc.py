"""The files of CMRC 2017's cloze track and of People's Daily: reading them, and asking what they ask.

1 ||| 小猴 爬 上 XXXXX 。          a sentence of the document, segmented
2 ||| 树 很 高 。
<qid_0> ||| 小猴 爬 上 XXXXX 。    ends the document: the question's id, and the sentence with its blank
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from tianzi_models.cloze.types import DEFAULT_TOP_K, ClozeRequest
from tianzi_models.errors import InvalidInput

BLANK = "XXXXX"
SEPARATOR = "|||"
QUESTION = "<qid"

Tokens: TypeAlias = tuple[str, ...]


def read_doc_query(path: Path) -> Iterator[tuple[str, Tokens, Tokens]]:
    """Reads a .doc_query file, one (id, document, query) at a time. Questions in a row share a document.

    Raises:
        InvalidInput: the file is of another kind, or ends in a document that nothing is asked of.
        OSError: it cannot be read.
    """
    document: list[str] = []
    asked = False
    first = True
    # A bad byte becomes U+FFFD, a word like any other unknown one, and spoils its own question only.
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for line in lines:
            head, separator, text = line.strip().partition(SEPARATOR)
            if not head:
                continue
            if first and not separator:
                raise InvalidInput(str(path), f"no .doc_query file: its first line lacks {SEPARATOR}")
            first = False
            if head.startswith(QUESTION):
                asked = True
                yield head.strip(), tuple(document), tuple(text.split())
                continue
            if asked:
                document, asked = [], False
            document += (text if separator else head).split()
    if document and not asked:
        raise InvalidInput(str(path), f"ends in a document without a {QUESTION}_…> line: is it cut off?")


def read_answers(path: Path) -> dict[str, str]:
    """Reads an .answer file: question id → word.

    Raises:
        InvalidInput: a line is not `<qid_N> ||| word`.
        OSError: the file cannot be read.
    """
    answers = {}
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            qid, _, word = (part.strip() for part in line.partition(SEPARATOR))
            if not qid:
                continue
            if not qid.startswith(QUESTION) or not word:
                raise InvalidInput(f"{path}, line {number}", f"must be {QUESTION}_N> {SEPARATOR} word")
            answers[qid] = word
    return answers


def to_request(document: Sequence[str], query: Sequence[str], top_k: int = DEFAULT_TOP_K) -> ClozeRequest:
    """What to ask a model. The query is left out where the document has the blank, as it has in CMRC 2017.

    The query then repeats the document's sentence, and not always to the letter: in a quarter of the
    development questions it lacks a quotation mark or is segmented otherwise. As a second blank it would
    only be asked twice. The answer is a word of the document.
    """
    in_document = any(BLANK in token for token in document)
    return ClozeRequest(tuple(document), () if in_document else tuple(query), top_k=top_k, source="text")
