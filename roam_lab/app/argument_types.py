"""What stands behind an option, read from its text: sizes, counts, seconds, settings of strategies."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roam_lab.errors import ParameterError
from roam_lab.registry import Room
from roam_lab.rewrite.kinds import checked_kinds
from roam_lab.sizes import bytes_of

FACTORY_HELP = "a function that returns a dict of model, optimizer, batch and, optionally, loss or step"

ROOMS: tuple[Room, ...] = ("order", "layout", "rewrite")
LARGEST = 2**62
"""The largest whole number that a plan's file holds, and so an option."""


def size(text: str) -> int:
    """Bytes, or with a binary unit, as `bytes_of`."""
    try:
        return bytes_of(text)
    except ParameterError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def memory(text: str) -> int:
    """A size above 0; "host": the RAM of this machine."""
    from roam_lab.plan.devices import machine_bytes  # with the planner, which no other option needs

    value = machine_bytes() if text == "host" else size(text)
    if value is None:
        raise argparse.ArgumentTypeError("this system does not tell how much RAM it has; give such as 24GiB")
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no memory; give such as 24GiB")
    return value


def _number(text: str) -> float:
    """What `text` stands for; NaN, which lies in no range, where that is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def fraction(text: str) -> float:
    """A number of 0 or more: "0.1"."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction; give such as 0.1 for a tenth more")
    return value


def kinds(text: str) -> tuple[str, ...]:
    """Kinds of rewriting, "in_place,recompute"; "none": none."""
    chosen = () if text == "none" else tuple(part for part in text.split(",") if part)
    try:
        return tuple(sorted(checked_kinds(chosen)))
    except ParameterError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text) if text.isdecimal() and len(text) < 20 else 0
    if not 1 <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def alignment(text: str) -> int:
    """Bytes: a power of two."""
    value = count(text)
    if value & (value - 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a power of two; give such as 64 or 512, in bytes")
    return value


def seed(text: str) -> int:
    """A whole number, as a plan's file can hold it: at most LARGEST from 0."""
    try:
        value = int(text)
    except ValueError:
        value = LARGEST + 1
    if abs(value) > LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at most 2^62; give such as 0")
    return value


def seconds(text: str) -> float:
    """A positive number of seconds."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def price(text: str) -> tuple[str, float]:
    """GPU=PRICE: (its name, or the beginning of it, what it costs an hour)."""
    name, equals, value = text.rpartition("=")
    paid = _number(value)
    if not equals or not name.strip() or not 0 <= paid < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no price of a GPU; give such as h100=3.10")
    return name.strip(), paid


def setting(text: str) -> tuple[Room, str, str]:
    """ROOM.NAME=VALUE: one parameter of a strategy, as (room, name, value)."""
    where, equals, value = text.partition("=")
    for room in ROOMS:
        name = where.removeprefix(f"{room}.")
        if equals and name and name != where:
            return room, name, value
    raise argparse.ArgumentTypeError(f"{text!r} is not ROOM.NAME=VALUE, such as order.node_limit=64")


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers of at least 1 with commas between them: "1,8,32"."""
    return tuple(count(part.strip()) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them: "auto,roam"."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing; give names with commas between them")
    return found


class PlanAndFile(argparse.Action):
    """`output` is the file, and where two words are given, the first is the `plan`. With an ending as `const`, a word
    alone that ends otherwise is the plan, and the file is named after it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option: str | None = None,
    ) -> None:
        words = list(values or ())
        if len(words) > 2:
            parser.error(f"{' '.join(words)}: give one plan and one file; put names with spaces in quotes")
        ending = str(self.const or "")
        if len(words) == 1 and ending and not Path(words[0]).suffix:
            words.append(re.sub(r"[^\w.+-]+", "_", words[0]) + ending)
        namespace.output = words[-1] if words else None
        if len(words) == 2:
            namespace.plan = words[0]
