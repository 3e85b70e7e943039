"""The origins of a rewritten graph's ops as keys of the ops in `roam-plan/2`, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roam_lab.errors import FormatError
from roam_lab.ir import Origin


def add_origins(ops: Sequence[dict[str, Any]], origins: Sequence[Origin]) -> None:
    """Write each origin into its op's data."""
    for op, origin in zip(ops, origins, strict=True):
        if origin.copies is not None:
            op["copies"] = list(origin.copies)
            continue
        if len(origin.ops) == 1:
            op["origin"] = origin.ops[0]
        else:
            op["origin"] = list(origin.ops)
            op["reads_as"], op["writes_as"] = list(origin.reads), list(origin.writes)
        if origin.reads != tuple(op["reads"]):
            op["reads_as"] = list(origin.reads)
        if origin.writes != tuple(op["writes"]):
            op["writes_as"] = list(origin.writes)
        op["results"] = list(origin.results)


def read_origins(ops: Sequence[Any], where: str) -> tuple[Origin, ...]:
    """The origin of each op. Raises FormatError naming `where`, the op and the key."""
    return tuple(_origin(op, f"{where}: op {index}") for index, op in enumerate(ops))


def _origin(op: dict[str, Any], what: str) -> Origin:
    if "copies" in op:
        copies = _integers(op, "copies", what)
        if len(copies) != 2 or None in copies:
            raise FormatError(f"{what}: copies is not a pair of storages; check the file's writer")
        return Origin((), copies=(copies[0], copies[1]))  # type: ignore[arg-type]
    given = op.get("origin")
    ops = [given] if type(given) is int else given
    if not isinstance(ops, list) or not ops or any(type(one) is not int for one in ops):
        raise FormatError(f"{what}: origin is neither an op nor a list of ops; check the file's writer")
    reads = _integers(op, "reads_as" if "reads_as" in op else "reads", what)
    writes = _integers(op, "writes_as" if "writes_as" in op else "writes", what)
    return Origin(tuple(ops), reads, _integers(op, "results", what), writes)


def _integers(op: dict[str, Any], key: str, what: str) -> tuple[int | None, ...]:
    values = op.get(key, [])
    if not isinstance(values, list) or any(one is not None and type(one) is not int for one in values):
        raise FormatError(f"{what}: {key} is not a list of storages; check the file's writer")
    return tuple(values)
