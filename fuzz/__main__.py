"""python -m fuzz TARGET: looks for input that a target cannot bear, led by coverage, with atheris.

What it finds it writes to .cache/fuzz/TARGET-crash-*, and ends; what it has learnt is in .cache/fuzz/TARGET, for the
next time.
"""

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tianzi_models", "tianzi_service.rpc.oip", "PIL"]):
    from fuzz.targets import TARGETS, seeds

CACHE = Path(".cache/fuzz")
MAX_BYTES = 2**16
SLOWEST_S = 20
MEMORY_MIB = 2048


def main() -> None:
    """Fuzzes one target until the time is over or it fails."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS, help="what to fuzz")
    parser.add_argument("--minutes", type=float, default=10, help="for how long (default: 10)")
    options = parser.parse_args()
    corpus = CACHE / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(options.target)):
        (corpus / f"seed-{number}").write_bytes(seed)
        TARGETS[options.target](seed)  # loads what is loaded once: that is no slow input
    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={max(1, round(60 * options.minutes))}",
            f"-max_len={MAX_BYTES}",
            f"-timeout={SLOWEST_S}",
            f"-rss_limit_mb={MEMORY_MIB}",
            f"-artifact_prefix={CACHE}/{options.target}-",
        ],
        TARGETS[options.target],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
