"""`roam-graph/2`: a graph to plain data and back, and its fingerprint; `roam-graph/1` is still read."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields
from typing import Any

from roam_lab.errors import FormatError
from roam_lab.ir.files import read_json, write_text
from roam_lab.ir.graph import MOST_BYTES, Device, Graph, Op, Storage

FORMAT = "roam-graph/2"
FIRST_FORMAT = "roam-graph/1"
MOST_RATE = 1e24
"""The most that a time, a count of FLOPs or a rate can be; far above any machine's."""
_OP_TEXT = ("phase", "module", "source")
_OP_OPTIONAL = (*_OP_TEXT, "flops", "time_us", "pointwise", "random", "call", "rows", "pure")


def graph_to_data(graph: Graph) -> dict[str, Any]:
    """Plain data of `roam-graph/2`; optional keys only where they say something."""
    data: dict[str, Any] = {"format": FORMAT, "name": graph.name}
    if graph.times is not None:
        data["times"] = graph.times
    if graph.device is not None:
        data["device"] = asdict(graph.device)
    if graph.unlisted_resident_bytes:
        data["resident_bytes"] = graph.unlisted_resident_bytes
    data["storages"] = [_storage_to_data(storage) for storage in graph.storages]
    data["ops"] = [_op_to_data(op) for op in graph.ops]
    if graph.environment:
        data["environment"] = dict(graph.environment)
    if graph.eager_peak_bytes is not None:
        data["eager_peak_bytes"] = graph.eager_peak_bytes
    return data


def _storage_to_data(storage: Storage) -> dict[str, Any]:
    data: dict[str, Any] = {"bytes": storage.bytes, "region": storage.region}
    if storage.output:
        data["output"] = True
    if storage.kind is not None:
        data["kind"] = storage.kind
    if storage.shape is not None:
        data["shape"] = list(storage.shape)
    if storage.dtype is not None:
        data["dtype"] = storage.dtype
    return data


def _op_to_data(op: Op) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": op.name,
        "target": op.target,
        "after": list(op.after),
        "creates": list(op.creates),
        "reads": list(op.reads),
        "writes": list(op.writes),
    }
    if op.reuse:
        data["reuse"] = [list(pair) for pair in op.reuse]
    for key in _OP_OPTIONAL:
        value = getattr(op, key)
        if value is not None:
            data[key] = value
    return data


def graph_from_data(data: dict[str, Any], where: str = "graph") -> Graph:
    """Graph of plain `roam-graph/2` or `/1` data. Raises FormatError naming `where`, the op and the key."""
    format_ = data.get("format")
    if format_ not in (FORMAT, FIRST_FORMAT):
        raise FormatError(f"{where}: format is {format_!r}, not {FORMAT!r}; give a captured graph")
    for key in ("storages", "ops"):
        if not isinstance(data.get(key), list):
            raise FormatError(f"{where}: {key} is missing or not a list; the file is not a whole {format_}")
    try:
        return Graph(
            name=str(data.get("name", "")),
            storages=tuple(_storage(entry, number) for number, entry in enumerate(data["storages"])),
            ops=tuple(_op(entry, index, format_) for index, entry in enumerate(data["ops"])),
            unlisted_resident_bytes=_integer(data.get("resident_bytes", 0), "resident_bytes"),
            times=None if data.get("times") is None else str(data["times"]),
            device=_device(data.get("device")),
            environment=_environment(data.get("environment", {})),
            eager_peak_bytes=_eager_peak(data.get("eager_peak_bytes")),
        )
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None


def _device(value: Any) -> Device | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise FormatError(f"device is {type(value).__name__} data, not an object; check the file's writer")
    given: dict[str, Any] = {}
    for field in fields(Device):
        number = value.get(field.name, 1.0 if field.name == "fused_share" else None)
        _check_number(number, f"device: {field.name}")
        if number == 0:
            raise FormatError(f"device: {field.name} is 0, not a number above 0; check the file's writer")
        given[field.name] = number
    return Device(**given)


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise FormatError(f"environment is {type(value).__name__} data, not an object; check the file's writer")
    if any(isinstance(entry, (dict, list)) for entry in value.values()):
        raise FormatError("environment holds more than texts; check the file's writer")
    return {key: str(entry) for key, entry in value.items()}


def _eager_peak(value: Any) -> int | None:
    if value is None:
        return None
    if not 0 <= _integer(value, "eager_peak_bytes") <= MOST_BYTES:
        raise FormatError(f"eager_peak_bytes is {value}, outside 0 to {MOST_BYTES}; check the file's writer")
    return int(value)


def _check_number(value: Any, what: str) -> None:
    """Raise FormatError for anything but a number from 0 to MOST_RATE; true and nan are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_RATE:
        raise FormatError(f"{what} is {value!r}, not a number from 0 to {MOST_RATE:g}; check the file's writer")


def _integer(value: Any, what: str) -> int:
    if type(value) is not int:
        raise FormatError(f"{what} is {value!r}, not an integer; check the file's writer")
    return value


def _integers(entry: dict[str, Any], key: str, what: str) -> tuple[int, ...]:
    values = entry.get(key, [])
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise FormatError(f"{what}: {key} is not a list of integers; check the file's writer")
    return tuple(values)


def _storage(entry: Any, number: int) -> Storage:
    what = f"storage {number}"
    if not isinstance(entry, dict) or "bytes" not in entry:
        raise FormatError(f"{what}: has no bytes; every storage needs its size")
    shape = entry.get("shape")
    kind, dtype = entry.get("kind"), entry.get("dtype")
    return Storage(
        bytes=_integer(entry["bytes"], f"{what}: bytes"),
        output=bool(entry.get("output", False)),
        region=entry.get("region", "op" if entry.get("external") else "arena"),
        kind=None if kind is None else str(kind),
        shape=None if shape is None else _integers(entry, "shape", what),
        dtype=None if dtype is None else str(dtype),
    )


def _op(entry: Any, index: int, format_: str) -> Op:
    if not isinstance(entry, dict):
        raise FormatError(f"op {index}: is not an object; check the file's writer")
    name = str(entry.get("name", f"op_{index}"))
    what = f"op {index} ({name})"
    optional: dict[str, Any] = {key: entry.get(key) for key in _OP_OPTIONAL}
    for key in _OP_TEXT:
        if optional[key] is not None:
            optional[key] = str(optional[key])
    for key in ("flops", "time_us"):
        if optional[key] is not None:
            _check_number(optional[key], f"{what}: {key}")
    for key in ("call", "rows"):
        if optional[key] is not None:
            optional[key] = _integer(optional[key], f"{what}: {key}")
            if not 0 <= optional[key] <= MOST_BYTES:
                raise FormatError(
                    f"{what}: {key} is {optional[key]}, outside 0 to {MOST_BYTES}; check the file's writer"
                )
    first = format_ == FIRST_FORMAT
    if optional["pure"] is not None and not isinstance(optional["pure"], bool):
        raise FormatError(f"{what}: pure is {optional['pure']!r}, not true or false; check the file's writer")
    reuse = entry.get("reuse", [])
    if not isinstance(reuse, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in reuse):
        raise FormatError(f"{what}: reuse is not a list of pairs; check the file's writer")
    return Op(
        name=name,
        target=str(entry.get("target", "")),
        after=_integers(entry, "after", what),
        creates=_integers(entry, "creates", what),
        reads=_integers(entry, "touches" if first else "reads", what),
        writes=() if first else _integers(entry, "writes", what),
        reuse=tuple(_integers({"reuse": pair}, "reuse", what) for pair in reuse),  # type: ignore[misc]
        **optional,
    )


def fingerprint(graph: Graph) -> str:
    """SHA-256 over what an order and a layout depend on: targets, dependences, storages' bytes.

    Names, times, sources, the environment and residents are left out, so a graph has the same fingerprint in
    `roam-graph/1` and `/2`. Whether rewrites fit a graph is checked op by op (`check_rewritten`).
    """
    planned = [not storage.always_there for storage in graph.storages]
    core = [
        [
            [op.target, sorted(op.after), sorted(op.creates), [one for one in op.touches if planned[one]]]
            for op in graph.ops
        ],
        [[storage.bytes, storage.output, storage.external] for storage in graph.storages if not storage.always_there],
    ]
    return hashlib.sha256(json.dumps(core, separators=(",", ":")).encode()).hexdigest()


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read `roam-graph/2` or `/1` from a JSON or gzipped JSON file. Raises InputError or FormatError."""
    return graph_from_data(read_json(path), str(path))


def save_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write `roam-graph/2`; gzipped when the name ends in .gz. Raises OutputError."""
    write_text(path, json.dumps(graph_to_data(graph), separators=(",", ":")))
