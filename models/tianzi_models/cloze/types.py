"""What goes into ClozeModel and what comes out. Positions count characters of a text, or tokens."""

from dataclasses import dataclass

DEFAULT_TOP_K = 5
SOURCES = ("any", "text")


@dataclass(frozen=True)
class ClozeRequest:
    """A document with one blank or several, as text or as tokens.

    document: text (segmented by jieba) or tokens, blanks among them.
    query: a separate sentence that holds the blank; of the same kind as document, empty for none.
    marker: what stands for a blank besides the notations of notation.py; empty for none.
    candidates: words to choose among, lettered or not (A. 小猫); empty for those of source.
    source: "any" for words of the document and of the lexicon, "text" for words of the document alone.
    each_once: whether each candidate fills one blank at most.
    top_k: 1 to the bundle's max_top_k.
    """

    document: str | tuple[str, ...]
    query: str | tuple[str, ...] = ""
    marker: str = ""
    candidates: tuple[str, ...] = ()
    top_k: int = DEFAULT_TOP_K
    source: str = "any"
    each_once: bool = False


@dataclass(frozen=True)
class WordCandidate:
    """A word, its confidence in [0, 1], and where it stands in the document.

    positions: [start, end) in characters of a text document, or in tokens of a token document; empty for a word that
    the document lacks. source: "text" where it stands in the document, else "candidates" where it was given, else
    "lexicon". label: the letter or number of an option, "" for none.
    """

    text: str
    confidence: float
    positions: tuple[tuple[int, int], ...]
    source: str = "text"
    label: str = ""


@dataclass(frozen=True)
class BlankAnswer:
    """Candidates for one blank, best first. position: [start, end) of the blank, counted likewise in the
    document, or in the query where in_query. rejected: nothing that was offered fits. label: the number that the text
    gives it, "" for none."""

    candidates: tuple[WordCandidate, ...]
    position: tuple[int, int]
    in_query: bool
    rejected: bool = False
    label: str = ""


@dataclass(frozen=True)
class ClozeAnswer:
    """One BlankAnswer a blank, in reading order (the query's after the document's)."""

    blanks: tuple[BlankAnswer, ...]
