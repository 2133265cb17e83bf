"""A command in a process whose files may only become so large."""

from collections.abc import Sequence


def with_room(blocks: int, command: Sequence[str]) -> list[str]:
    """The command, which may write so many blocks into a file, of 512 bytes as POSIX's ulimit counts.

    By a shell, not by preexec_fn: that would fork this process, in which gRPC's threads may be running.
    """
    return ["/bin/sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", *command]
