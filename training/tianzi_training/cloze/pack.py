"""Puts what training needs into one small folder, for a machine without network:
`python -m tianzi_training.cloze.pack CONFIG FOLDER [--most-mb 60] [--set key=value]`.

FOLDER/NAME.npz     each source's text, segmented; read as it is where `text_folders` names FOLDER
FOLDER/words.txt    the lexicon, with pieces.txt and variants.txt: for `vocabulary`
FOLDER/e5.bin       multilingual-e5-small with the pieces of pieces.txt alone: for `e5`
"""

import argparse
import shutil
import sys
import tomllib
from pathlib import Path

from tianzi_models.cloze.pieces import SPECIAL
from tianzi_training.cloze.data.corpus import write_text
from tianzi_training.cloze.e5 import find_e5, prune_e5
from tianzi_training.cloze.task import ClozeTask, read_texts
from tianzi_training.config import ClozeConfig, ConfigError, load_config

E5_FILE = "e5.bin"
MOST_MB = 60.0
NAMED = 5  # of the largest files, where the limit is passed


def pack(config: ClozeConfig, folder: Path, most_mb: float = MOST_MB) -> dict[str, int]:
    """Writes the folder; bytes by file name, the largest first.

    Raises:
        ConfigError: the folder is there already, the configuration has a mistake, or the files are larger than most_mb.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: holds files already; remove it first")
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    task = ClozeTask(config)
    for name, text in task.vocabulary().items():
        (temporary / name).write_bytes(text)
    if config.pretrained:
        try:
            source = Path(config.e5) if config.e5 else find_e5()
            prune_e5(source, temporary / E5_FILE, task.vocab.pieces.pieces[len(SPECIAL) :])
        except (FileNotFoundError, ValueError) as error:
            raise ConfigError(f"pretrained: {error}") from None
    for name, segmented in read_texts(config).items():
        write_text(segmented, temporary / f"{name}.npz")
    files = sorted(temporary.iterdir(), key=lambda path: -path.stat().st_size)
    sizes = {path.name: path.stat().st_size for path in files}
    if sum(sizes.values()) > most_mb * 1e6:
        shutil.rmtree(temporary)
        largest = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in list(sizes.items())[:NAMED])
        raise ConfigError(
            f"{sum(sizes.values()) / 1e6:.1f} MB, at most {most_mb:g}; the largest in MB: {largest}. "
            "most_characters takes less of a source"
        )
    if folder.exists():
        folder.rmdir()
    temporary.rename(folder)
    return sizes


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.cloze.pack", description=__doc__)
    parser.add_argument("config", type=Path, help="experiment, a TOML file")
    parser.add_argument("folder", type=Path, help="where to write; must not hold anything")
    parser.add_argument("--most-mb", type=float, default=MOST_MB, help=f"refuse more (default: {MOST_MB:g})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key")
    options = parser.parse_args(arguments)
    try:
        sizes = pack(load_config(ClozeConfig, options.config, options.set), options.folder, options.most_mb)
    except (ConfigError, OSError, tomllib.TOMLDecodeError) as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        return 1
    for name, size in {**sizes, "all": sum(sizes.values())}.items():
        print(f"{size / 1e6:8.2f} MB  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
