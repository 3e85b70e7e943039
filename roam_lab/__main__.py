"""`python -m roam_lab` is the `roam` command."""

import sys

from roam_lab.cli import main

if __name__ == "__main__":
    sys.exit(main())
