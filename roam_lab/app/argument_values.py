"""What was parsed, as the planner, `fit` and `report` take it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from roam_lab.app.argument_types import ROOMS
from roam_lab.errors import InputError
from roam_lab.registry import Room, find

if TYPE_CHECKING:
    from roam_lab.plan import Plan
    from roam_lab.report.brief import Prices


def planning(arguments: argparse.Namespace) -> dict[str, Any]:
    """The planner's settings among what was parsed, as its keyword arguments; `--set` values are read and checked."""
    keys = ("order", "layout", "node_limit", "time_limit", "alignment", "budget", "extra_time", "rewrites", "rewrite")
    chosen = {key: getattr(arguments, key) for key in keys}
    own = {f"{room}_parameters": parameters(arguments, room) for room in ROOMS}
    return {**chosen, "seed": arguments.seed or 0, **own}


def parameters(arguments: argparse.Namespace, room: Room) -> dict[str, Any]:
    """What `--set ROOM.NAME=VALUE` gives the chosen strategy of `room`; the last of the same name counts.

    Raises UnknownStrategyError, and ParameterError for a name or a value that the strategy does not take.
    """
    strategy = find(room, getattr(arguments, room))
    given = {name: text for asked, name, text in arguments.settings if asked == room}
    return {name: strategy.parameter(name).read(strategy.name, text) for name, text in given.items()}


def fitting(arguments: argparse.Namespace) -> tuple[float, ...] | None:
    """What plans of `fit` may add to the step's time; None: not said.

    Raises InputError for options that exclude each other.
    """
    if arguments.memory is not None and arguments.batch_sizes is not None:
        raise InputError("--memory looks for the sizes to capture itself; give it, or --batch-sizes")
    if arguments.sequence_lengths is not None and (arguments.memory, arguments.batch_sizes) != (None, None):
        raise InputError("--sequence-lengths varies the length alone; leave --memory and --batch-sizes out")
    return None if arguments.extra_time is None else (arguments.extra_time,)


def prices(arguments: argparse.Namespace) -> Prices:
    """What `report` was told of prices."""
    from roam_lab.report.brief import Prices

    return Prices(dict(arguments.price), arguments.currency, arguments.gpus, arguments.hours)


def plan_notes(arguments: argparse.Namespace, plan: Plan) -> list[str]:
    """Sentences on what of the command `plan` came to nothing: another order is kept, or an option is of no use."""
    from roam_lab.report.sentences import kept_order_sentence  # which imports NumPy: not before there is a plan

    return [note for note in (kept_order_sentence(plan, arguments.order), unused(arguments)) if note]


def unused(arguments: argparse.Namespace) -> str | None:
    """A sentence on the options of `plan` that neither chosen strategy takes, None where each is of use."""
    chosen = [find(room, getattr(arguments, room)) for room in ("order", "layout")]
    taken = {parameter.name for strategy in chosen for parameter in strategy.parameters}
    idle = [key for key in ("node_limit", "seed") if getattr(arguments, key) is not None and key not in taken]
    if not idle:
        return None
    options = " and ".join(f"--{key.replace('_', '-')}" for key in idle)
    names = " and ".join(f"{strategy.room} {strategy.name!r}" for strategy in chosen)
    return f"note: {names} take no {options}; the plan is the same without"
