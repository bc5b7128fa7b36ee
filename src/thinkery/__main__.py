"""`python -m thinkery`: the same as the command `thinkery`."""

import sys

from thinkery.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
