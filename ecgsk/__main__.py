"""``python -m ecgsk`` is ``ecgsk``."""

import sys

from ecgsk.cli import main

sys.exit(main())
