"""What a graph can be rewritten into: memory against time, laid out."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from roam_lab.errors import FormatError
from roam_lab.ir import Graph, captured_order, live_peak, read_json
from roam_lab.ir.files import write_text
from roam_lab.plan.planner import ALIGNMENTS
from roam_lab.plan.rewriting import Placing, costed
from roam_lab.registry import find
from roam_lab.rewrite.checkpoint import every_block
from roam_lab.rewrite.frontier import frontier
from roam_lab.rewrite.points import Point


@dataclass(frozen=True, slots=True)
class LaidOutPoint:
    """One rewriting: the time that it adds, as a fraction of the ops' time before; bytes of its arena and live peak;
    how many ops run again, and the bytes that are moved to the host."""

    extra_time: float
    arena_bytes: int
    peak_bytes: int
    recomputed: int
    offloaded_bytes: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """Points of the graph `name` by ascending extra time, none dominated. `times`: what ops were costed by.

    `strategy`: the rewrite strategy that was asked. `checkpointed`: every block recomputed, as `torch.utils.checkpoint`
    does, nothing else rewritten; None where the graph has no repeated blocks.
    """

    name: str
    resident_bytes: int
    captured_peak_bytes: int
    points: tuple[LaidOutPoint, ...]
    times: str
    strategy: str = "auto"
    checkpointed: LaidOutPoint | None = None

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, as `roam frontier --json` prints it."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_data` as JSON, whole or not at all. Raises OutputError."""
        write_text(path, json.dumps(self.to_data()))


def make_frontier(
    graph: Graph,
    points: int = 12,
    *,
    strategy: str = "auto",
    kinds: Collection[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Frontier:
    """At most `points` points, from what is free to the least memory that the rewrite strategy knows with these kinds
    of rewriting, laid out by `auto`. `parameters`: the strategy's own.

    Ops without times are costed by the rates of UNTIMED. Raises FormatError for a roam-graph/1, UnknownStrategyError,
    ParameterError.
    """
    timed = costed(graph)
    device = "cuda" if graph.environment.get("device", "").startswith("cuda") else "cpu"
    layout = find("layout", "auto")
    placing = Placing(layout, layout.accept({}), ALIGNMENTS[device], device)
    laid_out: list[LaidOutPoint] = []
    for point in frontier(timed, points, kinds=kinds, strategy=strategy, **(parameters or {})):
        found = _laid_out(point, placing)
        if not laid_out or found.arena_bytes < laid_out[-1].arena_bytes:
            laid_out.append(found)
    checkpointed = every_block(timed)
    return Frontier(
        graph.name,
        graph.resident_bytes,
        live_peak(graph, captured_order(graph)).bytes,
        tuple(laid_out),
        timed.times or "of the graph",
        strategy,
        None if checkpointed is None else _laid_out(checkpointed, placing),
    )


def _laid_out(point: Point, placing: Placing) -> LaidOutPoint:
    placed = placing.place(point.rewritten())
    return LaidOutPoint(
        point.extra_time,
        placed.layout.arena_bytes,
        placed.peak_bytes,
        placed.rewritten.recomputed,
        placed.rewritten.offloaded_bytes,
    )


def load_frontier(path: str | os.PathLike[str]) -> Frontier:
    """What `Frontier.save` or `roam frontier -o` wrote. Raises InputError when it cannot be read, FormatError (file,
    place, what to do) when it is no frontier."""
    data, where = read_json(path), os.fspath(path)
    points = data.get("points")
    if not isinstance(points, list) or not points:
        raise FormatError(f"{where}: points is no list of points; give a file that roam frontier -o wrote")
    checkpointed = data.get("checkpointed")
    return Frontier(
        _text(data, "name", where),
        _size(data, "resident_bytes", where),
        _size(data, "captured_peak_bytes", where),
        tuple(_point(one, f"{where}: points {number}") for number, one in enumerate(points)),
        _text(data, "times", where),
        _text(data, "strategy", where) if "strategy" in data else "auto",
        None if checkpointed is None else _point(checkpointed, f"{where}: checkpointed"),
    )


def _point(data: Any, where: str) -> LaidOutPoint:
    table = data if isinstance(data, dict) else {}
    extra = table.get("extra_time")
    if isinstance(extra, bool) or not isinstance(extra, int | float) or not math.isfinite(extra):
        raise _wrong(table, "extra_time", where)
    keys = ("arena_bytes", "peak_bytes", "recomputed", "offloaded_bytes")
    return LaidOutPoint(float(extra), *(_size(table, key, where) for key in keys))


def _size(data: dict[str, Any], key: str, where: str) -> int:
    value = data.get(key)
    if type(value) is not int or not 0 <= value <= 2**62:
        raise _wrong(data, key, where)
    return value


def _text(data: dict[str, Any], key: str, where: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise _wrong(data, key, where)
    return value


def _wrong(data: dict[str, Any], key: str, where: str) -> FormatError:
    found = f"{repr(data[key])[:40]} there" if key in data else "missing"
    return FormatError(f"{where}: {key} is {found}, which no frontier has; make the file again with roam frontier -o")
