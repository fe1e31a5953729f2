"""``python -m occface``: the command line."""

from occface.cli import main

if __name__ == "__main__":
    main(prog_name="occface")
