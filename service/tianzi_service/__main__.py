"""python -m tianzi_service: the command `tianzi`."""

from tianzi_service.cli import main

if __name__ == "__main__":  # processes that score's workers run in import this, too
    main()
