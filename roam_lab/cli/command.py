"""The `roam` command: parse, let the session do it, show the result. Exit status 0, 1 or 2 as in errors.py."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

from roam_lab.app.argument_values import parameters, plan_notes, planning, prices
from roam_lab.app.arguments import parse, parser_of
from roam_lab.app.terminal import BROKEN_PIPE, INTERRUPTED, remark, say, say_json
from roam_lab.errors import InputError, RoamError
from roam_lab.progress import TerminalProgress
from roam_lab.registry import one_line_warnings

Handler = Callable[[argparse.Namespace, TerminalProgress], int]


def main(words: Sequence[str] | None = None) -> int:
    """Run one action; returns the exit status. Whatever goes wrong is one line on standard error."""
    try:
        with one_line_warnings(remark):
            return _act(sys.argv[1:] if words is None else words)
    except SystemExit as over:  # --help has printed
        return int(over.code or 0)
    except RoamError as error:
        if os.environ.get("ROAM_DEBUG"):
            traceback.print_exc()
        return _refuse(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _refuse("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader, such as head, has what it wanted
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("ROAM_DEBUG"):
            traceback.print_exc()
        return _refuse(
            f"unexpected {type(error).__name__}: {error}; this is a bug in roam-lab: please report it with the "
            "traceback that ROAM_DEBUG=1 shows",
            2,
        )


def _act(words: Sequence[str]) -> int:
    arguments = parse("command", words)
    if arguments.version:
        import roam_lab

        say(f"roam {roam_lab.__version__}")
        return 0
    if arguments.face_action is None:
        say(parser_of("command")[0].format_help())
        return 0
    with TerminalProgress() as progress:
        return HANDLERS[arguments.face_action](arguments, progress)


def _refuse(sentence: str, status: int) -> int:
    remark(sentence)
    return status


def _profile(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.app.session import Session
    from roam_lab.report.text import profile_text

    made = Session(progress).capture_factory(
        arguments.factory,
        fake=arguments.fake,
        timing=arguments.timing,
        times=arguments.times,
        device=arguments.device,
        name=arguments.name,
    )
    if arguments.output:
        made.save(arguments.output)
    if arguments.json:
        from roam_lab.report.rows import profile_data

        say_json(profile_data(made))
    else:
        say(profile_text(made))
    return 0


def _plan(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.app.session import Session
    from roam_lab.ir import load_graph
    from roam_lab.report.text import plan_text

    settings = planning(arguments)
    if arguments.bare and (settings["budget"], settings["extra_time"], settings["rewrites"]) == (None, None, None):
        settings["rewrites"] = ()  # what is rewritten is in the graph
    progress(f"reading {arguments.graph}")
    plan = Session(progress).plan_graph(load_graph(arguments.graph), **settings)
    if arguments.output:
        plan.save(arguments.output, bare=arguments.bare)
    if arguments.json:
        from roam_lab.report.explanation import explain
        from roam_lab.report.rows import plan_data

        say_json({**plan_data(plan), "explanation": explain(plan).to_data()})
    else:
        say(plan_text(plan))
    for note in plan_notes(arguments, plan):
        remark(note)
    return 0


def _layout(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.app.session import Session

    settings = parameters(arguments, "layout")
    if any(room == "order" for room, _, _ in arguments.settings):
        raise InputError("--set order.NAME=VALUE: `roam layout` orders nothing; set layout.NAME=VALUE")
    placed = Session(progress).lay_out(
        arguments.instance, arguments.layout, arguments.capacity, arguments.time_limit, settings
    )
    if arguments.output:
        placed.save(arguments.output)
    if arguments.json:
        say_json(placed.to_data())
    else:
        say(placed.text())
    return 0


def _run(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.app.session import Session

    session = Session(progress)
    steps = []
    for step in session.run(arguments.factory, arguments.plan, arguments.steps):
        steps.append({"loss": step.loss, "seconds": step.seconds})
        if not arguments.json:
            say(f"step {len(steps)}: loss {step.loss:.6g}, {step.seconds:.3f} s")
    if arguments.json:
        say_json({"factory": arguments.factory, "steps": [_finite(step) for step in steps]})
    return 0


def _finite(numbers: dict[str, float]) -> dict[str, float | None]:
    """A loss that is not a number is null: JSON has no word for it."""
    return {key: value if abs(value) < float("inf") else None for key, value in numbers.items()}


def _verify(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.app.session import Session

    if arguments.note and arguments.plan is None:
        raise InputError("--note writes into a plan's file; name it with --plan")
    result = Session(progress).verify(arguments.factory, arguments.plan, arguments.steps, arguments.device)
    noted = arguments.note and result.identical
    if noted:
        from roam_lab.runtime.this_environment import note_verified

        note_verified(arguments.plan, arguments.device)
    if arguments.json:
        say_json(result.to_data())
    else:
        say("\n".join([*result.lines(), *([f"noted in {arguments.plan}"] if noted else [])]))
    return 0 if result.identical else 1


def _export(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.plan import load_plan
    from roam_lab.report.export import export

    progress(f"reading {arguments.plan}")
    if arguments.hook is None:
        export(load_plan(arguments.plan), arguments.output, arguments.force)
        return 0
    from roam_lab.app.workbench.hooked import write_factory_script

    if arguments.factory is None:
        raise InputError("a script needs what it trains; name it with --factory FILE.py:FACTORY")
    write_factory_script(arguments.plan, arguments.factory, arguments.hook, arguments.output, arguments.force)
    return 0


def _report(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.plan import load_plan
    from roam_lab.report.brief import write_brief

    progress(f"reading {arguments.plan}")
    frontier = None
    if arguments.frontier:
        from roam_lab.plan.frontier_json import load_frontier

        frontier = load_frontier(arguments.frontier)
    fit = None
    if arguments.fit:
        from roam_lab.plan.fit_json import load_fit

        fit = load_fit(arguments.fit)
    plan, paid = load_plan(arguments.plan), prices(arguments)
    write_brief(arguments.output, plan, force=arguments.force, frontier=frontier, fit=fit, prices=paid)
    return 0


def _compare(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.plan import load_plan
    from roam_lab.report.whatifs import WhatIfs

    rows = WhatIfs()
    for path in arguments.plans:
        progress(f"reading {path}")
        rows.add(load_plan(path), path)
    if len(rows) > 1:
        rows.pin(arguments.plans[0])
    if arguments.json:
        say_json({"plans": rows.to_data()})
    else:
        say(rows.text())
    return 0


def _bench(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.app.bench import bench, bench_text
    from roam_lab.ir import load_graph

    graphs = [load_graph(path) for path in arguments.graphs]
    limits = (arguments.orders, arguments.layouts, arguments.time_limit)
    rows = [row for graph in graphs for row in bench(graph, *limits, progress)]
    if arguments.json:
        say_json({"rows": rows})
    else:
        say(bench_text(rows))
    return 0


def _doctor(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.app.doctor import doctor_data, doctor_text

    if arguments.json:
        say_json(doctor_data())
    else:
        say(doctor_text())
    return 0


def _demo(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.demo.first_minute import demonstrate

    return 0 if demonstrate(arguments.output, progress) else 1


def _explain(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.plan import load_plan
    from roam_lab.report.explanation import explain

    progress(f"reading {arguments.plan}")
    explanation = explain(load_plan(arguments.plan))
    if arguments.json:
        say_json(explanation.to_data(arguments.limit))
    else:
        say(explanation.text(arguments.limit))
    return 0


def _strategies(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    from roam_lab.registry import strategies
    from roam_lab.report.text import strategies_text

    if arguments.json:
        say_json({"strategies": [strategy.describe() for strategy in strategies()]})
    else:
        say(strategies_text(strategies()))
    return 0


def _in(module: str, name: str) -> Handler:
    """A handler of a module of its own, which is imported when the action is asked for."""
    return lambda arguments, progress: int(getattr(import_module(f"roam_lab.cli.{module}"), name)(arguments, progress))


HANDLERS: dict[str, Handler] = {
    "profile": _profile,
    "plan": _plan,
    "layout": _layout,
    "run": _run,
    "verify": _verify,
    "explain": _explain,
    "export": _export,
    "report": _report,
    "compare": _compare,
    "fit": _in("sizes", "fit"),
    "sweep": _in("sweep", "sweep_or_show"),
    "whatif": _in("sweep", "what_ifs"),
    "frontier": _in("sizes", "frontier"),
    "bench": _bench,
    "demo": _demo,
    "doctor": _doctor,
    "strategies": _strategies,
}
