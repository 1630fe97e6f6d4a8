"""`python -m rome` is the command `rome`."""

import sys

from rome.cli import main

if __name__ == "__main__":
    sys.exit(main())
