"""Characters outside the list: what the reader must say it does not know."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

KINDS = {
    "hanzi": (0x4E00, 0x9FFF), "extension A": (0x3400, 0x4DBF), "kana": (0x3041, 0x30FA), "hangul": (0xAC00, 0xD7A3),
    "circled": (0x2460, 0x2473), "in brackets": (0x3220, 0x3243), "circled hanzi": (0x3280, 0x32B0),
    "greek": (0x391, 0x3C9), "cyrillic": (0x410, 0x44F), "signs": (0x2600, 0x2653), "roman": (0x2160, 0x217B),
}  # fmt: skip
"""Name → first and last code point."""
SHARES = {"hanzi": 1800, "extension A": 900, "hangul": 250}
"""How many of a large kind are drawn from; of the others all."""
HELD_OUT_EVERY = 4
"""Every fourth of them, by code point, is kept for measuring."""
# Marks of other scripts that nobody can tell from one of the list.
TWINS = set(
    "ノハニエロカトへヘべベぺペタㇼミメソンーヲヌオナチセモ一二三ΑΒΕΖΗΙΚΜΝΟΡΤΥΧικνορυχωАВЕЗКМНОРСТУХаеорсухпвкзтмнгшиьЬ"
)
TWINS |= set("ⅠⅤⅩⅬⅭⅮⅯⅰⅴⅹⅼⅽⅾⅿ☰ㅣㅡㅇ")


def outsiders(charset: Sequence[str], held_out: bool = False) -> list[str]:
    """Characters that no class of the list stands for; another set is held out for measuring."""
    known = set("".join(charset)) | TWINS
    rng = np.random.default_rng(0)
    found = []
    for name, (first, last) in KINDS.items():
        chars = [chr(code) for code in range(first, last + 1) if chr(code) not in known]
        chars = [char for char in chars if (ord(char) % HELD_OUT_EVERY == 0) == held_out]
        count = SHARES.get(name, len(chars))
        if held_out:
            count = min(count, 150)
        found += [chars[i] for i in np.sort(rng.permutation(len(chars))[:count])]
    return found


def turned(rng: np.random.Generator, glyph: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A glyph (S, S) by one, two or three quarter turns. It looks like no character only if it is a rich one."""
    return np.ascontiguousarray(np.rot90(glyph, int(rng.choice([1, 2, 3], p=[0.4, 0.2, 0.4]))))
