"""`python -m unified` is the `unified` program."""

import sys

from unified.cli import main

if __name__ == "__main__":
    sys.exit(main())
