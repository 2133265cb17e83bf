"""A folder's large files in parts, where only small files can be carried:
`python -m tianzi_training.export.parts split BUNDLE FOLDER [--mb 15]`, and there `… parts join FOLDER`.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

PART_MB = 15.0
_PART = re.compile(r"(.+)\.part(\d\d)")


def split(source: Path, target: Path, most_mb: float = PART_MB) -> list[Path]:
    """Copies the files into a folder, those larger than most_mb as NAME.part00, NAME.part01 …; the files written."""
    target.mkdir(parents=True, exist_ok=True)
    size, written = int(most_mb * 1e6), []
    for path in sorted(path for path in source.iterdir() if path.is_file()):
        data = path.read_bytes()
        parts = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
        names = [path.name] if len(parts) == 1 else [f"{path.name}.part{i:02}" for i in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            (target / name).write_bytes(part)
            written.append(target / name)
    return written


def join(folder: Path) -> list[str]:
    """Makes the files whole again and removes their parts; the names of the files."""
    parts: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if found := _PART.fullmatch(path.name):
            parts.setdefault(found[1], []).append(path)
    for name, paths in parts.items():
        with (folder / name).open("wb") as file:
            for path in paths:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, file)
        for path in paths:
            path.unlink()
    return list(parts)


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.export.parts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    splitting = commands.add_parser("split", help="copy a folder's files, the large ones in parts")
    splitting.add_argument("source", type=Path)
    splitting.add_argument("--mb", type=float, default=PART_MB, help=f"of a part at most (default: {PART_MB:g})")
    joining = commands.add_parser("join", help="make files of their parts")
    for command in (splitting, joining):
        command.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        done = split(options.source, options.folder, options.mb) if options.command == "split" else join(options.folder)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(map(str, done)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
