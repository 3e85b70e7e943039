"""`roam-graph/1`: a graph to plain data and back, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from roam_lab.errors import FormatError
from roam_lab.ir.files import read_json, write_text
from roam_lab.ir.graph import Graph, Op, Storage

FORMAT = "roam-graph/1"
_OP_TEXT = ("phase", "module", "source")
_OP_OPTIONAL = (*_OP_TEXT, "flops", "time_us", "pointwise", "random", "call")


def graph_to_data(graph: Graph) -> dict[str, Any]:
    """Plain data of `roam-graph/1`; optional keys only where they say something."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "name": graph.name,
        "resident_bytes": graph.resident_bytes,
        "storages": [_storage_to_data(storage) for storage in graph.storages],
        "ops": [_op_to_data(op) for op in graph.ops],
    }
    if graph.environment:
        data["environment"] = dict(graph.environment)
    return data


def _storage_to_data(storage: Storage) -> dict[str, Any]:
    data: dict[str, Any] = {"bytes": storage.bytes}
    if storage.output:
        data["output"] = True
    if storage.external:
        data["external"] = True
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
        "touches": list(op.touches),
    }
    for key in _OP_OPTIONAL:
        value = getattr(op, key)
        if value is not None:
            data[key] = value
    return data


def graph_from_data(data: dict[str, Any], where: str = "graph") -> Graph:
    """Graph of plain `roam-graph/1` data. Raises FormatError naming `where`, the op and the key."""
    if data.get("format") != FORMAT:
        raise FormatError(f"{where}: format is {data.get('format')!r}, not {FORMAT!r}; give a captured graph")
    for key in ("storages", "ops"):
        if not isinstance(data.get(key), list):
            raise FormatError(f"{where}: {key} is missing or not a list; the file is not a whole {FORMAT}")
    try:
        return Graph(
            name=str(data.get("name", "")),
            resident_bytes=_integer(data.get("resident_bytes", 0), "resident_bytes"),
            storages=tuple(_storage(entry, number) for number, entry in enumerate(data["storages"])),
            ops=tuple(_op(entry, index) for index, entry in enumerate(data["ops"])),
            environment=_environment(data.get("environment", {})),
        )
    except FormatError as error:
        raise FormatError(f"{where}: {error}") from None


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise FormatError(f"environment is {type(value).__name__} data, not an object; check the file's writer")
    return {key: str(entry) for key, entry in value.items()}


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
        external=bool(entry.get("external", False)),
        kind=None if kind is None else str(kind),
        shape=None if shape is None else _integers(entry, "shape", what),
        dtype=None if dtype is None else str(dtype),
    )


def _op(entry: Any, index: int) -> Op:
    if not isinstance(entry, dict):
        raise FormatError(f"op {index}: is not an object; check the file's writer")
    name = str(entry.get("name", f"op_{index}"))
    what = f"op {index} ({name})"
    optional: dict[str, Any] = {key: entry.get(key) for key in _OP_OPTIONAL}
    for key in _OP_TEXT:
        if optional[key] is not None:
            optional[key] = str(optional[key])
    for key in ("flops", "time_us"):
        if optional[key] is not None and not isinstance(optional[key], (int, float)):
            raise FormatError(f"{what}: {key} is {optional[key]!r}, not a number; check the file's writer")
    if optional["call"] is not None:
        optional["call"] = _integer(optional["call"], f"{what}: call")
    return Op(
        name=name,
        target=str(entry.get("target", "")),
        after=_integers(entry, "after", what),
        creates=_integers(entry, "creates", what),
        touches=_integers(entry, "touches", what),
        **optional,
    )


def fingerprint(graph: Graph) -> str:
    """SHA-256 over what a plan depends on: targets, dependences, storages' bytes.

    Names, times, sources and the environment are free.
    """
    core = [
        [[op.target, sorted(op.after), sorted(op.creates), sorted(op.touches)] for op in graph.ops],
        [[storage.bytes, storage.output, storage.external] for storage in graph.storages],
    ]
    return hashlib.sha256(json.dumps(core, separators=(",", ":")).encode()).hexdigest()


def load_graph(path: str | os.PathLike[str]) -> Graph:
    """Read `roam-graph/1` from a JSON or gzipped JSON file."""
    return graph_from_data(read_json(path), str(path))


def save_graph(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write `roam-graph/1`; gzipped when the name ends in .gz."""
    write_text(path, json.dumps(graph_to_data(graph), separators=(",", ":")))
