"""Print the oldest versions that setup.py allows, as pins for pip.

``python tests/_floors.py test parquet`` adds those of the extras "test" and "parquet". The script
needs only the standard library, because it runs before anything is installed.
"""

import ast
import sys
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.py"


def requirements() -> dict[str, list[str]]:
    """Return the requirements of each extra; those of the package itself are under ""."""
    found = {}
    for node in ast.walk(ast.parse(SETUP.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and node.targets[0].id == "EXTRAS":
            found.update(ast.literal_eval(node.value))
        elif isinstance(node, ast.keyword) and node.arg == "install_requires":
            found[""] = ast.literal_eval(node.value)
    return found


if __name__ == "__main__":
    found = requirements()
    lines = [line for extra in ["", *sys.argv[1:]] for line in found[extra]]
    # An extra may need a newer version than the package itself: the last one counts.
    for name, version in dict(line.split(">=") for line in lines).items():
        print(f"{name}=={version}")
