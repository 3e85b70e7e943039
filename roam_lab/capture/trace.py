"""A traced training step: the fx graph, its inputs and outputs, and the conditions under which it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.conditions import Condition
from roam_lab.capture.gradients import HowItLies
from roam_lab.capture.inputs import Input
from roam_lab.capture.refusal import refuse_closure, refuse_wrapped
from roam_lab.capture.sources.output import Output
from roam_lab.capture.sources.places import Changing, Settled, ValuePlace
from roam_lab.capture.trained import parameter_names
from roam_lab.capture.training_step import TrainingStep
from roam_lab.distributed.sharding import refuse_unsharded


@dataclass(frozen=True)
class Trace:
    """A traced step. The placeholders of `module` are `inputs`, in order; it returns the tensors and numbers of
    `outputs`.

    What it relies on. `guards`: sympy conditions on settings (a weight decay that is not zero, ...), `symbols`: the
    symbol of each setting -> its input. `conditions`: on numbers that the step reads out of tensors. `batch_constants`:
    leaves of the batch that are constants of the trace (strings, and numbers that shapes depend on). `variables`: keys
    of the environment that the step reads. `held`: constants that are attributes of modules, as (module, name, tensor).
    `presumed`: plain values that a first step makes, and that the trace assumes to exist.

    Python values. `places`: of the Python numbers that are inputs. `filled`: an entry of each list that the step fills.
    `outputs`: what the step returns and does to Python objects; `changed`: the paths of all these. `unread`: paths of
    values that change from step to step and that the step does not read (a scheduler's counters). `carried`: of the
    tensors that the step reads and binds anew, which are inputs.

    Gradients, by parameters' names. `updated`: those that received one. `cleared`: those whose old gradient is cleared
    before one is added. `begun`: name -> how the old gradient lies that the step adds to or reads. `stays`: those whose
    gradient stays set after the step. `gradients_held`: until when eager keeps gradients alive (`Gradients.held`).

    `guided`: whether a log of the eager step led the trace; `skipped`, `loose`: see Guide. `scripted`: whether the step
    calls TorchScript.
    """

    module: GraphModule
    inputs: tuple[Input, ...]
    guards: tuple[Any, ...]
    symbols: Mapping[Any, Input]
    conditions: tuple[Condition, ...]
    updated: tuple[str, ...]
    held: tuple[tuple[torch.nn.Module, str, torch.Tensor], ...]
    guided: bool
    places: tuple[ValuePlace, ...] = ()
    filled: tuple[ValuePlace, ...] = ()
    outputs: tuple[Output, ...] = ()
    changed: frozenset[str] = frozenset()
    batch_constants: Mapping[int, Any] = field(default_factory=dict)
    cleared: frozenset[str] = frozenset()
    skipped: frozenset[int] = frozenset()
    loose: frozenset[int] = frozenset()
    presumed: tuple[Settled, ...] = ()
    variables: frozenset[Any] = frozenset()
    scripted: bool = False
    gradients_held: tuple[tuple[Node, tuple[int, ...]], ...] = ()
    begun: Mapping[str, HowItLies] = field(default_factory=dict)
    stays: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    carried: tuple[ValuePlace, ...] = ()

    @property
    def left(self) -> range:
        """The indices of those results of the module that are gradients which the step leaves."""
        start = 0
        for output in self.outputs:
            if output.how == "leave":
                return range(start, start + output.leaves)
            start += output.leaves
        return range(0)

    @property
    def changing(self) -> Changing:
        """What is known of the step's changes, so that another trace of it need not find that out."""
        return Changing(self.places, self.filled, self.carried)


def refuse_at_sight(training: TrainingStep) -> dict[int, str]:
    """Check all that can be checked without running or tracing the step. Raises CaptureError. Returns id(parameter) ->
    name."""
    names = parameter_names(training.model, training.optimizers)
    refuse_wrapped(training.model)
    for optimizer in training.optimizers:
        refuse_closure(optimizer)
    refuse_unsharded(training.model, training.optimizers)
    return names
