"""Plain JSON data, value by value: for tests that change each of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from roam_lab.errors import RoamError

Place = tuple[Any, ...]
"""Keys and numbers that lead to a value, from outside inwards."""
WRONG = {int: "much", float: "much", str: 7, bool: "yes", list: {"a": 1}, dict: [1]}
"""Type -> a value of another type."""


def leaves(data: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value of plain JSON data that is no object and no list, with its place."""
    if isinstance(data, dict | list) and data:
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(value, (*place, key))
    else:
        yield place, data


def put(data: Any, place: Place, value: Any) -> Any:
    """`data` with another value at that place."""
    made = copy.deepcopy(data)
    inside = made
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return made


def another(value: Any) -> Any:
    """A value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [0] if isinstance(value, list) else {"colour": 1} if isinstance(value, dict) else f"{value}!"


def without(data: dict[str, Any], *keys: str) -> dict[str, Any]:
    """`data` but for those keys."""
    return {key: value for key, value in data.items() if key not in keys}


def result_or_sentence(read: Callable[..., Any], *given: Any) -> Any:
    """What `read` returns, or the sentence of the error that it raises."""
    try:
        return read(*given)
    except RoamError as error:
        return str(error)
