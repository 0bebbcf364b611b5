"""Broken and hostile files for every reader of ecgsk: ``python -m tests.fuzz --all``."""
