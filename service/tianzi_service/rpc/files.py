"""A file that the server follows: read at the start, and anew whenever it has changed."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


class Followed(Generic[Value]):
    """What one file, or several together, hold. Looking whether they have changed costs some microseconds."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], Value]) -> None:
        """Reads them at once. read: raises OSError, with one line that names the file, where they are of no use.

        Raises:
            OSError: read raised it.
        """
        self._paths = paths
        self._read = read
        self._seen = self._look()
        self.value = read()

    def renew(self) -> bool:
        """Reads anew if there is a change, and tells whether value is new. What is of no use is logged, and the old
        value kept."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self.value = self._read()
        except OSError as error:
            logger.error("%s; what was read before stays in force", error)
            return False
        logger.info("read anew: %s", ", ".join(map(str, self._paths)))
        return True

    def _look(self) -> list[tuple[int, ...]]:
        """What changes with a file; nothing for one that is gone."""
        return [_signature(path) for path in self._paths]


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
