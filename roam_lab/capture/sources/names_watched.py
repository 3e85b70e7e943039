"""Globals, attributes of modules and functions that the code of a step names, as containers under a user's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CellType, FunctionType
from typing import Any

import torch

from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.library import is_notebook_name, is_user_code
from roam_lab.capture.sources.names_used import globals_used, modules_used


class NamesWatched:
    """Of all functions that a walk has met. A bare name stands for one variable; others are told with their home."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str], tuple[dict[str, Any], dict[str, None]]] = {}
        self._functions: list[Container] = []
        self._libraries: dict[str, tuple[dict[str, Any], set[str]]] = {}
        self._taken: dict[str, int] = {}  # a bare name -> id of the cell or of the globals that it stands for

    def of_function(self, function: FunctionType, path: str) -> Iterator[tuple[Any, str]]:
        """What a function of the user's names, with its path."""
        self._functions.append(Container("function", function, path))
        yield from self.of_module(function.__globals__, "", globals_used(function))
        for module, names in modules_used(function):
            if is_user_code(module.__name__):
                yield from self.of_module(vars(module), module.__name__.rpartition(".")[2], names)
            else:
                self._libraries.setdefault(module.__name__, (vars(module), set()))[1].update(names)

    def of_module(self, held: dict[str, Any], path: str, names: Iterable[str]) -> Iterator[tuple[Any, str]]:
        """These variables of a module, with their paths."""
        for name in names:
            if is_notebook_name(name) or (name.startswith("__") and name.endswith("__")):
                continue
            prefix = path
            if not path and self._taken.setdefault(name, id(held)) != id(held):
                prefix = str(held.get("__name__")).rpartition(".")[2]
            self._names.setdefault((id(held), prefix), (held, {}))[1][name] = None
            if name in held:
                yield held[name], f"{prefix}.{name}" if prefix else name

    def of_cell(self, name: str, cell: CellType, function: FunctionType) -> str:
        """The path of a variable that a function closes over."""
        bare = self._taken.setdefault(name, id(cell)) == id(cell)
        return name if bare else f"{name} of {function.__qualname__}"

    def variables(self) -> Iterator[Container]:
        """The globals that were named, by module."""
        for (_, path), (held, names) in self._names.items():
            yield Container("names", held, path, names=tuple(names))

    def code(self, parts: Iterable[torch.nn.Module]) -> Iterator[Container]:
        """What the step's code is: the user's functions, and what they use of libraries: names of their modules, and
        classes of the model's parts."""
        yield from self._functions
        for path, (held, names) in self._libraries.items():
            yield Container("names", held, path, names=tuple(sorted(names)))
        for kind in dict.fromkeys(base for module in parts for base in type(module).__mro__):
            if issubclass(kind, torch.nn.Module) and not is_user_code(kind.__module__):
                yield Container("class", kind, kind.__name__)
