"""Many points (model, batch, sequence, dtype, optimizer, goal, strategy), each captured without weights and planned.

A sweep's rows are JSON lines in a file; what runs it is joblib, with whatever backend the user has chosen.
"""

from roam_lab.sweeps.points import SweepPoint, grid
from roam_lab.sweeps.sweeping import load_sweep, sweep
from roam_lab.sweeps.table import SweepTable

__all__ = ["SweepPoint", "SweepTable", "grid", "load_sweep", "sweep"]
