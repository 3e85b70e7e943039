"""The arguments of `fit`: over which sizes, or for which memory."""

from __future__ import annotations

import argparse
from typing import Literal

from roam_lab.app.argument_types import FACTORY_HELP, counts, fraction, memory


def fit_arguments(parser: argparse.ArgumentParser, face: Literal["command", "magic"]) -> None:
    """Declare them."""
    if face == "command":
        parser.add_argument("factory", metavar="FILE.py:FACTORY", help=FACTORY_HELP)
        parser.add_argument("-o", "--output", metavar="FILE.json", help="write it here, for report --fit")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    else:
        parser.add_argument("profile", nargs="?", help="name of a profile (default: the last one made here)")
    parser.add_argument(
        "--batch-sizes",
        type=counts,
        metavar="N,N",
        help="sizes to capture (default: the batch's, 8 times as many, ...); sizes between lie on lines",
    )
    parser.add_argument("--sequence-lengths", type=counts, metavar="N,N", help="vary the length, and capture these")
    parser.add_argument(
        "--memory",
        type=memory,
        metavar="SIZE",
        help="such as 24GiB, or host for this machine's RAM: what fits into it, each answer captured",
    )
    parser.add_argument(
        "--extra-time",
        type=fraction,
        metavar="FRACTION",
        help="what plans may add to the step's time (default: 0.05, 0.1 and 0.25, each)",
    )
