"""``python -m ecgsk`` is ``ecgsk``."""

import sys

from ecgsk._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
