"""The arguments of every action, declared once: the `roam` command and the `%roam` magic both parse with these."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from roam_lab.app.argument_types import (
    FACTORY_HELP,
    PlanAndFile,
    alignment,
    count,
    fraction,
    kinds,
    names,
    seconds,
    seed,
    setting,
    size,
)
from roam_lab.app.fit_arguments import fit_arguments
from roam_lab.app.parser import Parser
from roam_lab.app.report_arguments import report_arguments
from roam_lab.app.sweep_arguments import sweep_arguments, what_if_arguments
from roam_lab.errors import InputError
from roam_lab.report.hook_code import LOOPS
from roam_lab.rewrite.kinds import KINDS

Face = Literal["command", "magic"]


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its name, its help line, and what declares its arguments for each face that offers it."""

    name: str
    help: str
    arguments: Callable[[Parser, Face], None]
    faces: tuple[Face, ...] = ("command",)


def _settings(parser: Parser, rooms: str, example: str) -> None:
    what = f"a parameter of the {rooms}, as `strategies` lists them, such as {example}; may be repeated"
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="ROOM.NAME=VALUE", dest="settings", help=what
    )


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _planning(parser: Parser) -> None:
    parser.add_argument("--order", default="auto", metavar="NAME", help="order strategy (see `strategies`)")
    parser.add_argument("--layout", default="auto", metavar="NAME", help="layout strategy (see `strategies`)")
    parser.add_argument("--node-limit", type=count, metavar="N", help="most ops a task that is solved exactly")
    parser.add_argument("--time-limit", type=seconds, metavar="SECONDS", help="stop searching after this long")
    parser.add_argument("--seed", type=seed, metavar="N", help="same seed, same plan (default 0)")
    meant = "offsets are multiples of it, a power of two (default: 64, CUDA 512)"
    parser.add_argument("--alignment", type=alignment, metavar="BYTES", help=meant)
    parser.add_argument(
        "--budget", type=size, metavar="SIZE", help="most bytes of the whole step, resident and arena; exit 1 above"
    )
    parser.add_argument(
        "--extra-time", type=fraction, metavar="FRACTION", help="how much more time rewrites may take, such as 0.1"
    )
    parser.add_argument(
        "--rewrites",
        type=kinds,
        metavar="none|KINDS",
        help=f"which may be made: some of {','.join(KINDS)} (default all; offload on CUDA only)",
    )
    parser.add_argument("--rewrite", default="auto", metavar="NAME", help="rewrite strategy (see `strategies`)")
    _settings(parser, "order, layout or rewrite", "order.node_limit=64")


def _profile(parser: Parser, face: Face) -> None:
    if face == "command":
        parser.add_argument("factory", metavar="FILE.py:FACTORY", help=FACTORY_HELP)
        parser.add_argument("-o", "--output", metavar="GRAPH.json.gz", help="write the graph here")
        _json(parser)
    else:
        parser.add_argument("model", help="name of the model, or an expression in quotes")
        parser.add_argument("batch", help="name of the batch: a dict, a tuple or a tensor")
        meant = "the optimizer, or several: A,B (default: AdamW over all parameters)"
        parser.add_argument("--optimizer", metavar="NAME", help=meant)
        parser.add_argument("--loss", metavar="NAME", help="loss(model, batch), or a criterion module")
        parser.add_argument("--step", metavar="NAME", help="your own train_step(model, optimizer, batch) -> loss")
    parser.add_argument("--name", metavar="TEXT", help="name of the graph")
    parser.add_argument("--fake", action="store_true", help="hold no weights and measure nothing: capture only")
    parser.add_argument("--timing", action="store_true", help="time every op, too")
    parser.add_argument("--times", metavar="GPU", help="what ops would take on a GPU, by its rates: a100, h100, ...")
    where = "where to capture it" if face == "command" else "where it lies; one on the meta device is captured for it"
    parser.add_argument("--device", metavar="DEVICE", help=f"cpu or cuda: {where}")


def _plan(parser: Parser, face: Face) -> None:
    if face == "command":
        parser.add_argument("graph", metavar="GRAPH", help="a roam-graph/2 file, .json or .json.gz")
        parser.add_argument("-o", "--output", metavar="PLAN.roam.json", help="write the plan here")
        parser.add_argument("--bare", action="store_true", help="leave the graph out of the plan's file")
        _json(parser)
    else:
        _chosen_profile(parser)
        parser.add_argument("--name", metavar="TEXT", help="name of the plan, for compare and export")
    _planning(parser)


def _layout(parser: Parser, face: Face) -> None:
    parser.add_argument("instance", metavar="INSTANCE.csv", help="id,lower,upper,size; it lives in [lower, upper)")
    parser.add_argument("-o", "--output", metavar="OUT.csv", help="write the buffers with their offsets here")
    parser.add_argument("--layout", default="auto", metavar="NAME", help="layout strategy (see `strategies`)")
    parser.add_argument("--capacity", type=size, metavar="N", help="most bytes there are; exit 1 if they do not do")
    parser.add_argument("--time-limit", type=seconds, metavar="SECONDS", help="stop searching after this long")
    _settings(parser, "layout", "layout.tries=500")
    _json(parser)


def _steps(parser: Parser, face: Face) -> None:
    if face == "command":
        parser.add_argument("factory", metavar="FILE.py:FACTORY", help=FACTORY_HELP)
        parser.add_argument("--plan", metavar="PLAN.roam.json", help="the plan to run (default: make one)")
        _json(parser)
    else:
        _chosen_plan(parser)
    parser.add_argument("--steps", type=count, default=4, metavar="N", help="how many steps (default 4)")


def _verify(parser: Parser, face: Face) -> None:
    _steps(parser, face)
    if face == "command":
        parser.add_argument("--device", default="cpu", metavar="DEVICE", help="cpu or cuda (default cpu)")
        about = "write into the plan's file that it was verified here: a hook then need not check its first step again"
        parser.add_argument("--note", action="store_true", help=about)


def _chosen_profile(parser: Parser) -> None:
    parser.add_argument("profile", nargs="?", help="name of a profile (default: the last one made here)")


def _chosen_plan(parser: Parser) -> None:
    parser.add_argument("plan", nargs="?", help="name of a plan (default: the last one made here)")


def _written(parser: Parser, face: Face, what: str, target: str, ending: str = "") -> None:
    if face == "command":
        parser.add_argument("plan", metavar="PLAN.roam.json", help="a plan with its graph in it")
        parser.add_argument("-o", "--output", metavar=target, required=True, help=what)
    else:
        about = f"{what}; before it, or with --plan, the name of a plan (default: the last one made here)"
        parser.add_argument(
            "output", nargs="*" if target == "OUT" else "+", action=PlanAndFile, const=ending,
            metavar=f"[PLAN] {target}", help=about,
        )  # fmt: skip
        parser.add_argument("--plan", metavar="NAME", help="name of a plan")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _export(parser: Parser, face: Face) -> None:
    endings = (
        "by its ending: .roam.json the plan; .svg or .png memory over time; .json or .json.gz the graph; .dot or "
        ".graphml the graph to draw; .csv the buffers with lifetimes and offsets; .pickle a snapshot for PyTorch's "
        "memory_viz; .trace.json a trace for Perfetto"
    )
    _written(parser, face, endings, "OUT")
    where = "OUT.py or a new cell" if face == "magic" else "OUT.py, of what --factory makes"
    about = f"code that trains by the plan, in {where}: one of {', '.join(LOOPS)}"
    parser.add_argument("--hook", choices=LOOPS, metavar="LOOP", help=about)
    if face == "command":
        parser.add_argument("--factory", metavar="FILE.py:FACTORY", help=FACTORY_HELP)


def _report(parser: Parser, face: Face) -> None:
    _written(parser, face, "one HTML page that needs no network", "OUT.html", ".html")
    report_arguments(parser, face)


def _compare(parser: Parser, face: Face) -> None:
    if face == "command":
        parser.add_argument("plans", nargs="+", metavar="PLAN.roam.json", help="plans; the first is the baseline")
        _json(parser)
    else:
        parser.add_argument("plans", nargs="*", metavar="NAME", help="names of plans, baseline first (default: all)")


def _frontier(parser: Parser, face: Face) -> None:
    if face == "command":
        parser.add_argument("graph", metavar="GRAPH", help="a roam-graph/2 file, .json or .json.gz")
        about = ".json: the points (JupyterLab shows .frontier.json); .svg: the figure"
        parser.add_argument("-o", "--output", metavar="FILE", help=about)
        _json(parser)
    else:
        _chosen_profile(parser)
    parser.add_argument("--points", type=count, default=12, metavar="N", help="at most so many points (default 12)")
    parser.add_argument("--rewrite", default="auto", metavar="NAME", help="rewrite strategy (see `strategies`)")


def _bench(parser: Parser, face: Face) -> None:
    parser.add_argument("graphs", nargs="+", metavar="GRAPH", help="roam-graph/2 files, .json or .json.gz")
    parser.add_argument("--orders", type=names, metavar="A,B", help="order strategies (default: all), with layout auto")
    parser.add_argument(
        "--layouts", type=names, metavar="A,B", help="layout strategies (default: all), with order auto"
    )
    parser.add_argument("--time-limit", type=seconds, default=10.0, metavar="SECONDS", help="each plan's (default 10)")
    _json(parser)


def _lab(parser: Parser, face: Face) -> None:
    _chosen_profile(parser)


def _view(parser: Parser, face: Face) -> None:
    _chosen_plan(parser)


def _explain(parser: Parser, face: Face) -> None:
    if face == "command":
        parser.add_argument("plan", metavar="PLAN.roam.json", help="a plan with its graph in it")
        _json(parser)
    else:
        _chosen_plan(parser)
    parser.add_argument("--limit", type=count, default=8, metavar="N", help="list the N largest storages (default 8)")


def _demo(parser: Parser, face: Face) -> None:
    about = "the folder for graph, plan and picture (default roam_demo)"
    parser.add_argument("-o", "--output", metavar="FOLDER", default="roam_demo", help=about)


def _strategies(parser: Parser, face: Face) -> None:
    if face == "command":
        _json(parser)


def _help(parser: Parser, face: Face) -> None:
    parser.add_argument("action", nargs="?", choices=[a.name for a in ACTIONS if face in a.faces], metavar="ACTION")


BOTH: tuple[Face, ...] = ("command", "magic")
MAGIC: tuple[Face, ...] = ("magic",)
ACTIONS = (
    Action("profile", "capture one training step, measure it, show what it needs", _profile, BOTH),
    Action("plan", "find an order and a layout that need the least memory, with a proof", _plan, BOTH),
    Action("lab", "the panel: try strategies, see the figures, compare what-ifs", _lab, MAGIC),
    Action("compare", "plans side by side against the first", _compare, BOTH),
    Action("whatif", "other sizes, dtypes, goals, strategies of one step, side by side", what_if_arguments, BOTH),
    Action("view", "one plan in JupyterLab's own viewer", _view, MAGIC),
    Action("layout", "place the buffers of a CSV instance", _layout),
    Action("run", "run some steps by a plan; in a notebook on copies, to measure them", _steps, BOTH),
    Action("verify", "eager against planned: same bits, memory, time", _verify, BOTH),
    Action("explain", "what is alive at a plan's peak, and why no order is lower or what might win", _explain, BOTH),
    Action("frontier", "memory against time: what rewriting the graph can do", _frontier, BOTH),
    Action("fit", "the largest batch of each GPU, or of a given memory, eager and planned", fit_arguments, BOTH),
    Action("sweep", "many points (sizes, dtypes, goals, strategies) into one resumable table", sweep_arguments, BOTH),
    Action("export", "a plan as file for other tools", _export, BOTH),
    Action("report", "a plan as one HTML page for those who decide", _report, BOTH),
    Action("bench", "every strategy on some graphs", _bench),
    Action("strategies", "list every order, layout and rewrite strategy with its parameters", _strategies, BOTH),
    Action("demo", "GPT-2 captured, planned and drawn in a minute, run and compared with eager in three", _demo),
    Action("doctor", "what is installed here, what is missing, and what to do", _strategies, BOTH),
    Action("help", "show the help of an action", _help, MAGIC),
)
PROGRAMS: dict[Face, str] = {"command": "roam", "magic": "%roam"}


def parser_of(face: Face) -> tuple[Parser, dict[str, Parser]]:
    """The whole parser of a face, and the parser of each of its actions by name."""
    parser = Parser(prog=PROGRAMS[face], description="Profile and optimize the memory of PyTorch training.")
    if face == "command":
        parser.add_argument("--version", action="store_true", help="print the version and exit")
    group = parser.add_subparsers(dest="face_action", metavar="ACTION", parser_class=Parser)
    parsers: dict[str, Parser] = {}
    for action in ACTIONS:
        if face in action.faces:
            parsers[action.name] = group.add_parser(action.name, help=action.help, description=action.help)
            action.arguments(parsers[action.name], face)
    return parser, parsers


def parse(face: Face, words: Sequence[str]) -> argparse.Namespace:
    """`words` as a namespace whose `face_action` names the action (None: only a global option was given).

    Raises InputError of one line for wrong usage, SystemExit(0) after --help has printed.
    """
    parser, parsers = parser_of(face)
    if words and not words[0].startswith("-") and words[0] not in parsers:
        near = difflib.get_close_matches(words[0], parsers, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(parsers)}"
        raise InputError(f"there is no action {words[0]!r}; {hint}")
    return parser.parse_args(words)
