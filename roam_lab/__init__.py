"""roam-lab: profile and optimize the memory of PyTorch training.

    import roam_lab as roam

    profile = roam.profile(model, batch, optimizer)
    plan = profile.plan()
    step = roam.hook(plan, model, optimizer)
    loss = step(batch)

All but the errors are imported on first use, so `import roam_lab` loads neither torch nor a solver.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from roam_lab.errors import (
    CaptureError,
    DataDependentError,
    DeviceError,
    FirstStepError,
    FormatError,
    InfeasibleError,
    InputError,
    JudgementError,
    MismatchError,
    OutputError,
    ParameterError,
    PartedError,
    RoamError,
    RoamWarning,
    UnknownStrategyError,
)

if TYPE_CHECKING:
    from roam_lab.app.session import profile
    from roam_lab.distributed.shard import full_state_dict, shard
    from roam_lab.magic import load_ipython_extension, unload_ipython_extension
    from roam_lab.plan import Plan, Profile
    from roam_lab.plan import load_plan as load
    from roam_lab.report.explanation import explain
    from roam_lab.runtime import hook
    from roam_lab.runtime.verify import verify
    from roam_lab.sweeps import grid, load_sweep, sweep

    __version__: str

_HOMES = {
    "Plan": ("roam_lab.plan", "Plan"),
    "Profile": ("roam_lab.plan", "Profile"),
    "explain": ("roam_lab.report.explanation", "explain"),
    "full_state_dict": ("roam_lab.distributed.shard", "full_state_dict"),
    "grid": ("roam_lab.sweeps", "grid"),
    "hook": ("roam_lab.runtime", "hook"),
    "load": ("roam_lab.plan", "load_plan"),
    "load_ipython_extension": ("roam_lab.magic", "load_ipython_extension"),
    "load_sweep": ("roam_lab.sweeps", "load_sweep"),
    "profile": ("roam_lab.app.session", "profile"),
    "shard": ("roam_lab.distributed.shard", "shard"),
    "sweep": ("roam_lab.sweeps", "sweep"),
    "unload_ipython_extension": ("roam_lab.magic", "unload_ipython_extension"),
    "verify": ("roam_lab.runtime.verify", "verify"),
}

__all__ = [
    "CaptureError",
    "DataDependentError",
    "DeviceError",
    "FirstStepError",
    "FormatError",
    "InfeasibleError",
    "InputError",
    "JudgementError",
    "MismatchError",
    "OutputError",
    "ParameterError",
    "PartedError",
    "Plan",
    "Profile",
    "RoamError",
    "RoamWarning",
    "UnknownStrategyError",
    "explain",
    "full_state_dict",
    "grid",
    "hook",
    "load",
    "load_ipython_extension",
    "load_sweep",
    "profile",
    "shard",
    "sweep",
    "unload_ipython_extension",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("roam-lab")
    if name not in _HOMES:
        raise AttributeError(f"module 'roam_lab' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where JupyterLab's `develop` command finds the built front end."""
    return [{"src": "labextension", "dest": "roam-lab"}]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
