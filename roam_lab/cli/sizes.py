"""What fits where, and memory against time, on the command line: `roam fit`, `roam frontier`."""

from __future__ import annotations

import argparse

from roam_lab.app.argument_values import fitting
from roam_lab.app.terminal import say, say_json
from roam_lab.errors import InputError
from roam_lab.progress import TerminalProgress


def frontier(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    """`roam frontier`."""
    from roam_lab.ir import load_graph
    from roam_lab.plan.frontier import make_frontier
    from roam_lab.report.frontier import frontier_text, write_frontier

    graph = load_graph(arguments.graph)
    progress("looking for rewrites")
    found = make_frontier(graph, arguments.points, strategy=arguments.rewrite)
    if arguments.output:
        write_frontier(found, arguments.output)
    if arguments.json:
        say_json(found.to_data())
    else:
        say(frontier_text(found))
    return 0


def fit(arguments: argparse.Namespace, progress: TerminalProgress) -> int:
    """`roam fit`. Raises InputError."""
    from roam_lab.app.fit_lengths import fit_over_lengths
    from roam_lab.app.workbench import Workbench
    from roam_lab.report.fit import fit_text, within_text

    if arguments.memory is not None and arguments.output:  # before what takes minutes
        raise InputError("-o writes the curve over sizes, which --memory does not draw; leave one of the two out")
    extra_times = fitting(arguments)
    bench = Workbench(progress)
    bench.capture_without_weights(arguments.factory)
    if arguments.memory is None:
        if arguments.sequence_lengths is None:
            curve = bench.fit(None, arguments.batch_sizes, extra_times)
        else:
            curve = fit_over_lengths(bench, None, arguments.sequence_lengths, extra_times)
        data, text = curve.to_data(), fit_text(curve)
        if arguments.output:
            curve.save(arguments.output)
    else:
        found = bench.within(arguments.memory, None, extra_times)
        data, text = found.to_data(), within_text(found)
    if arguments.json:
        say_json(data)
    else:
        say(text)
    return 0
