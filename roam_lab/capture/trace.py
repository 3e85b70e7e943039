"""A traced training step: the fx graph, its inputs, and under what it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.conditions import Condition
from roam_lab.capture.gradients import HowItLies
from roam_lab.capture.inputs import Input, parameter_names
from roam_lab.capture.refusal import refuse_closure, refuse_wrapped
from roam_lab.capture.sources.output import Output
from roam_lab.capture.sources.places import Changing, Settled, ValuePlace
from roam_lab.capture.training_step import TrainingStep
from roam_lab.distributed.sharding import refuse_unsharded


@dataclass(frozen=True)
class Trace:
    """A traced step: `module`'s placeholders are `inputs`, in order.

    `guards`: sympy conditions on settings (a weight decay that is not zero, ...) under which the trace is right;
    `symbols` names each setting's symbol. `conditions`: those on numbers that the step reads out of tensors. `updated`:
    names of the parameters that received a gradient. `held`: the constants that are attributes of modules, as (module,
    name, tensor). `guided`: an op log of the eager step led the trace. `places`: of the Python numbers that are inputs;
    `filled`: entries of lists that it fills; `outputs`: what the step returns and does to Python objects,
    whose tensors and numbers the module returns; `changed`: the paths of all that. `batch_constants`: the leaves of the
    batch that are constants of the trace: strings, and numbers that shapes depend on. `cleared`: the names of the
    parameters whose gradient left from before is cleared before one is added. `skipped`, `loose`: where trace and log
    move data in other ways (`Guide`). `presumed`: plain values that a first step makes, which the trace takes for made.
    `variables`: keys of the environment that it reads. `scripted`: it calls TorchScript. `gradients_held`: until when
    eager holds gradients (`Gradients.held`). `begun`: name of a parameter -> how the gradient lies that the step begins
    with; the others have none, or it is cleared. `stays`: names of those whose gradient stays set after it. `unread`:
    paths of what changes from step to step and was seen not to be read (a scheduler's counters).
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

    @property
    def left(self) -> range:
        """Which of the module's results are the gradients that the step leaves."""
        start = 0
        for output in self.outputs:
            if output.how == "leave":
                return range(start, start + output.leaves)
            start += output.leaves
        return range(0)

    @property
    def changing(self) -> Changing:
        """What another trace of the step need not find out."""
        return Changing(self.places, self.filled)


def refuse_at_sight(training: TrainingStep) -> dict[int, str]:
    """id(parameter) -> name. Raises CaptureError for what can be told without running or tracing anything."""
    names = parameter_names(training.model, training.optimizers)
    refuse_wrapped(training.model)
    for optimizer in training.optimizers:
        refuse_closure(optimizer)
    refuse_unsharded(training.model, training.optimizers)
    return names
