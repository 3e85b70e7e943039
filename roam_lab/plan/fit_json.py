"""The file of a fit, as `Fit.save` and `roam fit -o` write it."""

from __future__ import annotations

import os

from roam_lab.errors import FormatError
from roam_lab.ir import read_json
from roam_lab.plan.devices import Device
from roam_lab.plan.fit import FORMAT, Axis, Fit
from roam_lab.plan.runs import Point, Run
from roam_lab.plan.values_read import Values

AXES: tuple[Axis, ...] = ("batch size", "sequence length")


def load_fit(path: str | os.PathLike[str]) -> Fit:
    """Read a file that `Fit.save` wrote. Raises InputError where it cannot be read, FormatError (naming file, place and
    what to do) where it is no fit."""
    data = Values(read_json(path), os.fspath(path), "fit", "roam fit -o")
    if data.data.get("format") != FORMAT:
        raise FormatError(f"{data.where}: its format is not {FORMAT!r}; give a file that roam fit -o wrote")
    axis = next((one for one in AXES if one == data.data.get("axis")), None)
    if axis is None:
        raise data.wrong("axis")
    points, devices = map(_point, data.objects("points")), map(_device, data.objects("devices"))
    fixed = None if data.missing("fixed") else data.size("fixed")
    try:
        return Fit(data.text("name"), tuple(points), tuple(devices), axis, fixed)
    except ValueError as error:
        raise FormatError(f"{data.where}: {error}; make the file again with roam fit -o") from None


def _point(data: Values) -> Point:
    resident = data.size("resident_bytes")
    rewritten: dict[float, int] = {}
    reserved: dict[Run, int] = {"planned": data.size("planned_least_bytes") - resident}
    added: dict[Run, float] = {"planned": data.number("planned_added")}
    for one in data.objects("rewritten"):
        allowed = one.number("extra_time")
        rewritten[allowed] = one.size("bytes") - resident
        reserved[allowed], added[allowed] = one.size("least_bytes") - resident, one.number("added")
    eager, planned, least = (data.size(f"{key}_bytes") - resident for key in ("eager", "planned", "eager_least"))
    seconds = data.numbers("seconds")
    return Point(data.size("batch"), resident, eager, planned, least, rewritten, reserved, added, seconds)


def _device(data: Values) -> Device:
    return Device(
        data.text("name"),
        data.size("memory_bytes"),
        data.size("overhead_bytes"),
        None if data.missing("price_per_hour") else data.number("price_per_hour"),
        None if data.missing("rates") else data.text("rates"),
    )
