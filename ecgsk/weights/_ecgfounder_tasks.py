"""What the outputs of the published ECGFounder mean."""

from importlib import resources

# In the order of the head. The statements are those of the reports that it was trained with; the
# case of the eighth is the published one. Source: GitHub PKUDigitalHealth/ECGFounder, tasks.txt.
_FILE = resources.files("ecgsk.weights") / "ecgfounder-tasks.txt"
ECGFOUNDER_TASKS = tuple(_FILE.read_text(encoding="utf-8").splitlines())
