"""What the statements of PTB-XL mean, for readers of tables and reports."""

from importlib import resources

# Codes and meanings: P. Wagner et al., Scientific Data 7, 154 (2020), CC BY 4.0; in our words.
_FILE = resources.files("ecgsk.datasets._ptbxl") / "statements.txt"
PTBXL_STATEMENTS: dict[str, str] = dict(
    line.split("\t") for line in _FILE.read_text(encoding="utf-8").splitlines()
)
