"""Run the corpus: ``python -m tests.fuzz --all``."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from tests.fuzz._command import main

raise SystemExit(main())
