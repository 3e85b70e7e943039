"""Sources of state: the Python objects and settings that a training step reads or changes beside its batch; how they
are found, put back and guarded."""

from roam_lab.capture.sources.containers import MISSING, Container
from roam_lab.capture.sources.python_state import Change, PythonState
from roam_lab.capture.sources.reachable import Reachable, reach

__all__ = ["MISSING", "Change", "Container", "PythonState", "Reachable", "reach"]
