"""What goes into ClozeModel and what comes out. Positions count characters of a text, or tokens."""

from dataclasses import dataclass

DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class ClozeRequest:
    """A document with one blank or several, as text or as tokens.

    document: text (segmented by jieba) or tokens, blanks among them.
    query: a separate sentence that holds the blank; of the same kind as document, empty for none.
    marker: what stands for a blank besides XXXXX, ____, [MASK] and （ ）; empty for none.
    candidates: words to choose among; empty for the words of the document.
    top_k: 1 to the bundle's max_top_k.
    """

    document: str | tuple[str, ...]
    query: str | tuple[str, ...] = ""
    marker: str = ""
    candidates: tuple[str, ...] = ()
    top_k: int = DEFAULT_TOP_K


@dataclass(frozen=True)
class WordCandidate:
    """A word, its confidence in [0, 1], and where it stands in the document.

    positions: [start, end) in characters of a text document, or in tokens of a token document;
    empty for a given candidate that the document lacks.
    """

    text: str
    confidence: float
    positions: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class BlankAnswer:
    """Candidates for one blank, best first. position: [start, end) of the blank, counted likewise in the
    document, or in the query where in_query."""

    candidates: tuple[WordCandidate, ...]
    position: tuple[int, int]
    in_query: bool


@dataclass(frozen=True)
class ClozeAnswer:
    """One BlankAnswer a blank, in reading order (the query's after the document's)."""

    blanks: tuple[BlankAnswer, ...]
