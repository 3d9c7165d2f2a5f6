"""``python -m ndgrad``: the command ``ndgrad``."""

import sys

from ndgrad.cli.command_line import main

if __name__ == "__main__":
    sys.exit(main())
