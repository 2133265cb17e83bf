"""Denormal numbers as zero, for a while and in one thread.

Attention gives most words a probability near zero. Products with floats below 1.2e-38 take a CPU many times as long and
are worth nothing: without them the blank filler's attention takes less than half the time.
"""

import ctypes
import ctypes.util
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Where the control word stands in C's fenv_t, and its bits: x86 has MXCSR, Arm FPCR.
_WORDS = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
_ENVIRONMENT_BYTES = 64  # fenv_t has 32 at most


def _find() -> tuple[ctypes.CDLL, int, int] | None:
    word = _WORDS.get(platform.machine())
    name = ctypes.util.find_library("m") if sys.platform == "linux" and word else None
    try:
        return (ctypes.CDLL(name), *word) if name and word else None
    except OSError:
        return None


_C = _find()


@contextmanager
def flushed() -> Iterator[None]:
    """Within it, this thread takes denormal numbers for zero; without effect where C's fenv.h is another."""
    if _C is None:
        yield
        return
    library, offset, bits = _C
    before, within = (ctypes.create_string_buffer(_ENVIRONMENT_BYTES) for _ in range(2))
    library.fegetenv(before)
    library.fegetenv(within)
    word = ctypes.c_uint32.from_buffer(within, offset)
    word.value |= bits
    library.fesetenv(within)
    try:
        yield
    finally:
        library.fesetenv(before)
