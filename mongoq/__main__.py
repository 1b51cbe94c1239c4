"""`python -m mongoq`: the command line, where the `mongoq` script is not on the PATH."""

import sys

from mongoq.cli import main

if __name__ == "__main__":
    sys.exit(main())
