"""The arguments of `sweep` and `whatif`: lists of values, every combination of which is a point."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TypeVar

from roam_lab.app.argument_types import count, counts, fraction, kinds, names, seconds, seed, size

T = TypeVar("T")


def sweep_arguments(parser: argparse.ArgumentParser, face: str) -> None:
    """Declare them; the command can also print JSON."""
    factory = "functions that return a dict of model, optimizer, batch and, optionally, loss or step"
    parser.add_argument("factories", nargs="*", metavar="FILE.py:FACTORY", help=factory)
    about = "a row for each point, written as it comes; what is in the file already is not run again"
    parser.add_argument("-o", "--output", metavar="TABLE.jsonl", help=about)
    parser.add_argument("--show", metavar="TABLE.jsonl", help="show the table of an earlier sweep, and run nothing")
    axes_arguments(parser, "the factory's")
    parser.add_argument("--jobs", type=_jobs, metavar="N", help="processes (default 1; -1: one a core)")
    if face == "command":
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def what_if_arguments(parser: argparse.ArgumentParser, face: str) -> None:
    """Declare those of `whatif`: the same axes over one model."""
    if face == "command":
        about = "a function that returns a dict of model, optimizer, batch and, optionally, loss or step"
        parser.add_argument("profile", nargs="?", metavar="FILE.py:FACTORY", help=about)
    else:
        parser.add_argument("profile", nargs="?", help="name of a profile (default: the last one made here)")
    about = "rows of a sweep, made here or on another machine, beside the others"
    parser.add_argument("--from", dest="table", metavar="TABLE.jsonl", help=about)
    axes_arguments(parser, "the profile's")
    if face == "command":
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def axes_arguments(parser: argparse.ArgumentParser, whose: str) -> None:
    """Lists of values, every combination of which is a point, and the settings that all points share."""
    parser.add_argument("--batch", type=counts, metavar="N,N", help=f"batch sizes (default: {whose})")
    parser.add_argument("--sequence", type=counts, metavar="N,N", help=f"sequence lengths (default: {whose})")
    about = "float32, bfloat16, ...: of the floating-point numbers of model and batch"
    parser.add_argument("--dtype", type=names, metavar="A,B", help=about)
    about = "classes of torch.optim over the same parameters, such as AdamW,SGD(momentum=0.9)"
    parser.add_argument("--optimizer", type=calls, metavar="A,B", help=about)
    parser.add_argument("--budget", type=_list(size), metavar="SIZE,SIZE", help="of the whole step; each a goal")
    parser.add_argument("--extra-time", type=_list(fraction), metavar="F,F", help="of plans; each a goal")
    for room in ("order", "layout", "rewrite"):
        parser.add_argument(f"--{room}", type=names, default=("auto",), metavar="A,B", help=f"{room} strategies")
    parser.add_argument("--node-limit", type=counts, metavar="N,N", help="most ops a task that is solved exactly")
    about = "which may be made, at every point (as in plan)"
    parser.add_argument("--rewrites", type=kinds, metavar="none|KINDS", help=about)
    parser.add_argument("--times", type=names, metavar="GPU,GPU", help="what ops take, by these GPUs' rates: a100, ...")
    parser.add_argument("--time-limit", type=seconds, metavar="SECONDS", help="each plan's")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same plans (default 0)")


def calls(text: str) -> tuple[str, ...]:
    """Names with commas between them, where those in parentheses part nothing: "AdamW,SGD(lr=0.1,momentum=0.9)"."""
    return names(text) if "(" not in text else tuple(part.strip() for part in re.split(r",(?![^(]*\))", text) if part)


def _list(one: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Values with commas between them."""

    def several(text: str) -> tuple[T, ...]:
        return tuple(one(part.strip()) for part in text.split(","))

    return several


def _jobs(text: str) -> int:
    if text.startswith("-") and text[1:].isdecimal() and int(text[1:]):
        return int(text)
    return count(text)
