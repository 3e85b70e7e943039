"""Every exception that roam-lab raises on purpose.

RoamError                    exit 2, one sentence: what is wrong, where, what to try next
├── InputError               a file, a name or a value given by the user is unusable
│   ├── FormatError          a graph, plan or layout file breaks its format
│   ├── UnknownStrategyError no such strategy (suggests the nearest name)
│   ├── ParameterError       a strategy's parameter is outside its declared range
│   ├── OutputError          a result could not be written (nothing half-written is left)
│   └── DeviceError          the device asked for is not on this machine
├── CaptureError             the training step cannot be captured
│   └── DataDependentError   ... because it branches on tensor values
├── MismatchError            a plan meets a model, optimizer or batch it was not made for
├── JudgementError           an order or layout breaks a rule of the graph (a planner's bug, never the user's)
└── InfeasibleError          exit 1: the request is sound but cannot be met

RoamWarning (a UserWarning)  something was done another way than asked for, and why
"""

from __future__ import annotations


class RoamError(Exception):
    """Base of all: `str(error)` is one sentence fit for a command line or a notebook cell."""

    exit_status = 2


class InputError(RoamError):
    """A file, a name or a value given by the user is unusable."""


class FormatError(InputError):
    """A graph, plan or layout file breaks its format; the message names the op and the key."""


class UnknownStrategyError(InputError):
    """No strategy of that name in the registry; the message suggests the nearest."""


class ParameterError(InputError):
    """A strategy's parameter has the wrong type, is out of its range, or is not declared."""


class OutputError(InputError):
    """A result could not be written; whatever stood at the path before still stands there."""


class DeviceError(InputError):
    """The device asked for is not on this machine."""


class CaptureError(RoamError):
    """The training step cannot be captured; the message names the op and the user's source line."""


class PartedError(CaptureError):
    """The captured step runs another op than the eager step did."""


class FirstStepError(CaptureError):
    """The step makes state in its first run; it can be captured once that is there."""


class DataDependentError(CaptureError):
    """The step branches on the value of a tensor, so no single graph describes it."""


class MismatchError(RoamError):
    """A plan meets a model, an optimizer or a batch that it was not made for."""


class JudgementError(RoamError):
    """An order or a layout breaks a rule of the graph: it must not be used."""


class InfeasibleError(RoamError):
    """The request is sound but cannot be met; the message says the least that is known to do."""

    exit_status = 1


class RoamWarning(UserWarning):
    """Something was done another way than asked for; the message says what, and why."""
