"""What holds for the whole process of a server."""

import subprocess
import sys

CHECK = """
import ctypes, sys
from service.process import prepare_process
called = []
class Library:
    def mallopt(self, *given):
        called.append(given)
ctypes.CDLL = lambda name: Library()
prepare_process()
print(round(sys.getswitchinterval(), 6), *called)
"""


def prepared(**environment: str) -> str:
    command = [sys.executable, "-c", CHECK]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_threads_give_way_soon_and_share_memory() -> None:
    assert prepared() == "0.0001 (-8, 2)"


def test_who_has_set_the_arenas_keeps_them() -> None:
    assert prepared(MALLOC_ARENA_MAX="4") == "0.0001"
