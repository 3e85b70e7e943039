"""The session of a notebook: profiles and plans by name, the models they were made of, what-ifs side by side."""

from roam_lab.app.workbench.bench import Workbench
from roam_lab.app.workbench.made import Made
from roam_lab.app.workbench.sizes import FACTOR

__all__ = ["FACTOR", "Made", "Workbench"]
