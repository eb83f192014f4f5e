"""`python -m fercore` is the command `fercore`."""

import sys

from fercore.cli import main

if __name__ == "__main__":
    sys.exit(main())
