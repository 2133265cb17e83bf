"""tianzi fill --explain: the text itself, its words shaded by how likely each one is for a blank."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from tianzi import Blank, Filling

TOP_K = 50
"""Candidates that are asked for, as many as a server gives: the others would hardly be shaded."""
LEAST = 0.005
"""Words less likely than this are left plain."""


@dataclass(frozen=True)
class Piece:
    """A stretch of the text. confidence: of the word that it is, None for all that is no candidate."""

    text: str
    confidence: float | None = None
    is_blank: bool = False


def pieces(result: Filling, blank: Blank) -> Iterator[Piece]:
    """The document in order, as the one blank sees it."""
    document = result.question.document
    spans: list[tuple[int, int, float | None]] = [] if blank.in_query else [(*blank.position, None)]
    for word in blank.candidates:
        if word.confidence >= LEAST:
            spans += [(start, end, word.confidence) for start, end in word.positions]
    last = 0
    for start, end, confidence in sorted(spans, key=lambda span: span[0]):
        yield Piece("".join(document[last:start]))
        yield Piece("".join(document[start:end]), confidence, is_blank=confidence is None)
        last = end
    yield Piece("".join(document[last:]))


def explanation(result: Filling) -> None:
    """On a terminal the text is shaded; elsewhere each likely word is followed by its confidence."""
    console = Console(highlight=False)
    for number, blank in enumerate(result.blanks, start=1):
        if console.is_terminal:
            console.print(Text(f"\nblank {number}: where its words stand", style="bold"))
            console.print(shaded(pieces(result, blank)))
        else:
            print(plain(pieces(result, blank)))


def shaded(parts: Iterator[Piece]) -> Text:
    """Black on cyan that deepens with the square root of the confidence: one half is seen beside one hundredth."""
    text = Text()
    for part in parts:
        if part.is_blank:
            text.append(part.text, style="bold reverse")
        elif part.confidence is None:
            text.append(part.text)
        else:
            light = round(235 - 195 * part.confidence**0.5)
            text.append(part.text, style=f"black on #{light:02x}ebeb")
    return text


def plain(parts: Iterator[Piece]) -> str:
    """小猫⟨0.57⟩钓鱼."""
    return "".join(part.text if part.confidence is None else f"{part.text}⟨{part.confidence:.2f}⟩" for part in parts)
