"""The file of a frontier, as `Frontier.save` and `roam frontier -o` write it."""

from __future__ import annotations

import os

from roam_lab.errors import FormatError
from roam_lab.ir import read_json
from roam_lab.plan.alternatives import Alternative
from roam_lab.plan.frontier import Frontier, LaidOutPoint
from roam_lab.plan.values_read import Values
from roam_lab.rewrite.bound import RewriteBound


def load_frontier(path: str | os.PathLike[str]) -> Frontier:
    """Read a file that `Frontier.save` or `roam frontier -o` wrote; older files lack the keys after `checkpointed`.
    Raises InputError when it cannot be read, FormatError (naming file, place and what to do) when it is no frontier."""
    data = Values(read_json(path), os.fspath(path), "frontier", "roam frontier -o")
    if not isinstance(data.data.get("points"), list) or not data.data["points"]:
        raise FormatError(f"{data.where}: points is no list of points; give a file that roam frontier -o wrote")
    checkpointed = (
        None if data.missing("checkpointed") else _point(data.inner(data.data["checkpointed"], "checkpointed"))
    )
    return Frontier(
        data.text("name"),
        data.size("resident_bytes"),
        data.size("captured_peak_bytes"),
        tuple(map(_point, data.objects("points"))),
        data.text("times"),
        "auto" if data.missing("strategy") else data.text("strategy"),
        checkpointed,
        "" if data.missing("graph_sha256") else data.text("graph_sha256"),
        None if data.missing("eager_bytes") else data.size("eager_bytes"),
        () if data.missing("alternatives") else tuple(map(_alternative, data.objects("alternatives"))),
        () if data.missing("bounds") else tuple(map(_bound, data.objects("bounds"))),
        None if data.missing("eager_peak_bytes") else data.size("eager_peak_bytes"),
    )


def _point(data: Values) -> LaidOutPoint:
    keys = ("arena_bytes", "peak_bytes", "recomputed", "offloaded_bytes")
    return LaidOutPoint(data.number("extra_time"), *map(data.size, keys))


def _alternative(data: Values) -> Alternative:
    return Alternative(
        data.text("name"),
        data.whole("saved_bytes"),
        None if data.missing("extra_time") else data.number("extra_time"),
        data.numbers("seconds"),
        data.data.get("same_bits") is True,
        data.text("how"),
    )


def _bound(data: Values) -> RewriteBound:
    return RewriteBound(data.size("peak_bytes"), data.number("extra_time"))
