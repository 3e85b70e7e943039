"""The globals, module attributes and functions that a step's code names, as containers with paths that a user knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import CellType, FunctionType
from typing import Any

import torch

from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.library import is_notebook_name, is_user_code
from roam_lab.capture.sources.names_used import globals_used, modules_used


class NamesWatched:
    """The names in all functions that a walk has met. The first variable of a name has the bare name as its path;
    further ones of the same name are written with their module."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str], tuple[dict[str, Any], dict[str, None]]] = {}
        self._functions: list[Container] = []
        self._libraries: dict[str, tuple[dict[str, Any], set[str]]] = {}
        self._taken: dict[str, int] = {}  # a bare name -> id of the cell or of the globals that it stands for

    def of_function(self, function: FunctionType, path: str) -> Iterator[tuple[Any, str]]:
        """Yields (value, path) of everything that a function of the user's names."""
        self._functions.append(Container("function", function, path))
        yield from self.of_module(function.__globals__, "", globals_used(function))
        for module, names in modules_used(function):
            if is_user_code(module.__name__):
                yield from self.of_module(vars(module), module.__name__.rpartition(".")[2], names)
            else:
                self._libraries.setdefault(module.__name__, (vars(module), set()))[1].update(names)

    def of_module(self, held: dict[str, Any], path: str, names: Iterable[str]) -> Iterator[tuple[Any, str]]:
        """Yields (value, path) of these variables of a module, whose globals are `held`."""
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
        """One container for each module of which globals were named."""
        for (_, path), (held, names) in self._names.items():
            yield Container("names", held, path, names=tuple(names))

    def code(
        self, parts: Iterable[torch.nn.Module], optimizers: Iterable[torch.optim.Optimizer] = ()
    ) -> Iterator[Container]:
        """Containers for the step's code: the user's functions, the names that they use of library modules, and the
        classes of the model's `parts` and of `optimizers`."""
        yield from self._functions
        for path, (held, names) in self._libraries.items():
            yield Container("names", held, path, names=tuple(sorted(names)))
        for kind in dict.fromkeys(base for one in (*parts, *optimizers) for base in type(one).__mro__):
            if issubclass(kind, torch.nn.Module | torch.optim.Optimizer) and not is_user_code(kind.__module__):
                yield Container("class", kind, kind.__name__)
