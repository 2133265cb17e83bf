"""The studies' command: `python -m studies NAME [--quick] [--out FOLDER]`."""

import argparse
import sys
import time
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import torch

from studies.report import Options, record
from tianzi_models.errors import TianziError
from tianzi_training.config import ConfigError

STUDIES = ("fashion-mnist", "activations", "batch-norm", "boosting", "ocr-language-model")
DOCUMENT = Path("docs/studies.md")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m studies", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(STUDIES)}; none for all")
    parser.add_argument("--quick", action="store_true", help="a few seconds each, to see that it works")
    parser.add_argument("--out", type=Path, default=default.out, help="folder for NAME.png and NAME.md")
    parser.add_argument("--record", action="store_true", help=f"write into {DOCUMENT} and its pictures instead")
    parser.add_argument("--size", choices=("small", "full"), default=default.size, help="of fashion-mnist")
    parser.add_argument("--seeds", type=int, choices=range(2, 11), default=default.seeds, help="runs of each setting")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's")
    parser.add_argument("--digits", type=Path, default=default.digits, help="folder of MNIST's idx .gz files")
    parser.add_argument("--fashion", type=Path, default=default.fashion, help="folder of Fashion-MNIST's")
    parser.add_argument("--text", type=Path, default=default.text, help="folder of texts, NAME.txt or NAME.txt.xz")
    parser.add_argument("--cache", type=Path, default=default.cache, help="folder for segmented texts")
    given = parser.parse_args(arguments)
    if wrong := [name for name in given.names if name not in STUDIES]:
        parser.error(f"there is no study {wrong[0]}; there are {', '.join(STUDIES)}")
    if given.record:
        given.out = DOCUMENT.with_suffix("")
    torch.set_num_threads(given.threads)
    options = Options(**{field.name: getattr(given, field.name) for field in fields(Options)})
    for name in given.names or STUDIES:
        started = time.process_time()
        try:
            table = import_module(f"studies.{name.replace('-', '_')}").run(options)
        except (ConfigError, TianziError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(f"{name}: {time.process_time() - started:.0f} CPU-seconds\n\n{table.markdown()}\n")
        if given.record:
            record(DOCUMENT, name, table)
        else:
            (given.out / f"{name}.md").write_text(table.markdown() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
