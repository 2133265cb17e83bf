"""The command: `python -m tianzi_training.export CONFIG.toml`."""

import sys

from tianzi_training.export.export import main

if __name__ == "__main__":
    sys.exit(main())
