"""The arguments of `report` beside the plan and the file: what else is known of the step, and what GPUs cost."""

from __future__ import annotations

import argparse
from typing import Literal

from roam_lab.app.argument_types import count, price, seconds


def report_arguments(parser: argparse.ArgumentParser, face: Literal["command", "magic"]) -> None:
    """Declare them."""
    if face == "command":
        about = "what frontier -o wrote of the same step: the page then shows memory against extra time"
        parser.add_argument("--frontier", metavar="FILE.json", help=about)
        about = "what fit -o wrote of the same step: the page then shows memory over its sizes"
        parser.add_argument("--fit", metavar="FILE.json", help=about)
    about = "what a GPU costs an hour, by its name or the beginning of it, such as h100=3.10; may be repeated"
    parser.add_argument("--price", type=price, action="append", default=[], metavar="GPU=PRICE", help=about)
    about = "of the prices (default USD, which the examples are in; with another, only prices that you give are shown)"
    parser.add_argument("--currency", metavar="TEXT", help=about)
    parser.add_argument("--gpus", type=count, default=1, metavar="N", help="how many you run (default 1)")
    about = "how long each of them runs in a month (default 300)"
    parser.add_argument("--hours", type=seconds, default=300.0, metavar="N", help=about)
