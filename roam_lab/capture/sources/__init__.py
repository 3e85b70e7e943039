"""What a training step reads and changes beside its batch: how it is found, put back and guarded."""

from roam_lab.capture.sources.containers import MISSING, Container
from roam_lab.capture.sources.python_state import Change, PythonState
from roam_lab.capture.sources.reachable import Reachable, reach

__all__ = ["MISSING", "Change", "Container", "PythonState", "Reachable", "reach"]
