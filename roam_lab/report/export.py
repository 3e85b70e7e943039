"""Exporting a plan to a file that other programs read: a picture, a graph or a table, by the file's ending."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from roam_lab.errors import InputError, OutputError
from roam_lab.ir import Graph, Layout, lifetimes, save_graph, write_bytes, write_text
from roam_lab.ir.layout_csv import save_instance
from roam_lab.report.graphs import graph_of
from roam_lab.report.memory_viz import memory_viz_pickle
from roam_lab.report.pictures import plan_picture
from roam_lab.report.safe_text import printable
from roam_lab.report.trace_events import trace_events

if TYPE_CHECKING:
    from roam_lab.plan import Plan

Writer = Callable[["Plan", str], None]


def export(plan: Plan, path: str | os.PathLike[str], force: bool = False) -> None:
    """Write `plan` to `path` in the format of its ending (see WRITERS), whole or not at all.

    Raises InputError for an unknown ending or a bare plan, OutputError when it cannot be written, or when the file is
    there already and `force` is false.
    """
    path = os.fspath(path)
    writer = next((write for ending, write in WRITERS.items() if path.endswith(ending)), None)
    if writer is None:
        raise InputError(f"{path}: no export has this ending; choose one of {', '.join(WRITERS)}")
    check_free(path, force)
    writer(plan, path)


def check_free(path: str | os.PathLike[str], force: bool) -> None:
    """Raise OutputError if there is a file at `path` and `force` is false."""
    if not force and os.path.lexists(path):
        raise OutputError(f"{os.fspath(path)}: is there already; add --force to write over it, or choose another name")


def dependences(plan: Plan) -> Any:
    """The plan's graph as a networkx.DiGraph, with a node for each op that has its step and the bytes that it
    creates."""
    import networkx

    graph = graph_of(plan)
    drawn = networkx.DiGraph(name=printable(graph.name))
    step_of = {op: step for step, op in enumerate(plan.order)}
    for index, op in enumerate(graph.ops):
        created = sum(graph.storages[storage].bytes for storage in op.creates)
        known = {key: getattr(op, key) for key in ("name", "target", "phase", "module", "source")}
        attributes = {key: printable(value) for key, value in known.items() if value is not None}
        drawn.add_node(index, step=step_of[index], bytes=created, **attributes)
        drawn.add_edges_from((before, index) for before in op.after)
    return drawn


def _graphml(plan: Plan, path: str) -> None:
    import networkx

    text = io.BytesIO()
    networkx.write_graphml(dependences(plan), text)
    write_bytes(path, text.getvalue())


def _dot(plan: Plan, path: str) -> None:
    drawn = dependences(plan)
    lines = [f"digraph {_quoted(drawn.name or 'step')} {{", "  node [shape=box];"]
    for index, attributes in drawn.nodes(data=True):
        named = {"label": attributes["name"], **attributes}
        listed = ", ".join(f"{key}={_quoted(str(value))}" for key, value in named.items())
        lines.append(f"  {index} [{listed}];")
    lines += [f"  {before} -> {after};" for before, after in drawn.edges()]
    write_text(path, "\n".join([*lines, "}\n"]))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _csv(plan: Plan, path: str) -> None:
    lives = lifetimes(graph_of(plan), plan.order)
    names = [str(life.storage) for life in lives]
    save_instance(path, names, lives, Layout(plan.offsets, plan.arena_bytes))


def _graph(plan: Plan, path: str) -> None:
    graph: Graph = graph_of(plan)
    captured_with = {key: value for key, value in plan.environment.items() if key != "python"}  # the planner's
    save_graph(replace(graph, environment=captured_with), path)


def _png(plan: Plan, path: str) -> None:
    try:
        import resvg_py
    except ImportError:
        raise InputError(f"{path}: PNG needs resvg-py; run pip install resvg-py, or export .svg") from None
    write_bytes(path, bytes(resvg_py.svg_to_bytes(svg_string=plan_picture(plan), zoom=2)))


def _trace(plan: Plan, path: str) -> None:
    write_text(path, json.dumps(trace_events(plan), allow_nan=False, separators=(",", ":")))


WRITERS: dict[str, Writer] = {
    ".svg": lambda plan, path: write_text(path, plan_picture(plan)),
    ".png": _png,
    ".roam.json": lambda plan, path: plan.save(path),
    ".trace.json": _trace,
    ".json": _graph,
    ".json.gz": _graph,
    ".dot": _dot,
    ".graphml": _graphml,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".pickle": lambda plan, path: write_bytes(path, memory_viz_pickle(plan)),
}
