"""Everything that a step can reach from model, optimizers and its function, through attributes, containers, closures,
globals and the user's classes; each object with a path as a user would write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from roam_lab.capture.sources.containers import Container
from roam_lab.capture.sources.walk import MOST_ENTRIES, MOST_OBJECTS, Walk


@dataclass(frozen=True, eq=False)
class Reachable:
    """What `reach` found, in the order of its walk. It refers to all objects, so that their ids stay valid."""

    roots: Mapping[str, Any]
    containers: tuple[Container, ...]
    tensors: tuple[tuple[str, torch.Tensor], ...]
    modules: tuple[tuple[str, torch.nn.Module], ...]
    optimizers: tuple[tuple[str, torch.optim.Optimizer], ...]
    stateful: tuple[tuple[str, Any], ...]
    """Generators of random numbers, iterators, arrays, open files: state that no container shows."""
    not_walked: tuple[tuple[str, str], ...]
    """(path, reason) of what was left out: containers that are too long, and everything beyond the limit of objects."""
    paths: Mapping[int, str]
    """id of an object -> its path."""
    code: tuple[Container, ...] = ()
    """The user's functions in the step's code, and the names that they use of libraries. A step does not change these,
    but a user may between steps."""
    caches: tuple[Any, ...] = ()
    """Functions that keep their results (functools.lru_cache)."""
    _kept: tuple[Any, ...] = ()

    def path_of(self, thing: Any) -> str | None:
        """The path of an object that the walk met; None for any other."""
        return self.paths.get(id(thing))


def reach(roots: Mapping[str, Any], *, most_objects: int = MOST_OBJECTS, most_entries: int = MOST_ENTRIES) -> Reachable:
    """Walk everything that the named roots reach, breadth first, one root after the other.

    Not followed: modules, code and classes of torch, transformers, diffusers, NumPy and the standard library (objects
    of their classes are), tensors' contents, loggers, locks, threads, weak references. Properties are not called.
    """
    walk = Walk(most_objects, most_entries)
    for name, root in roots.items():
        walk.run(root, name)
    return Reachable(
        dict(roots),
        (*walk.containers, *walk.names.variables()),
        tuple(walk.tensors),
        tuple(walk.modules),
        tuple(walk.optimizers),
        tuple(walk.stateful),
        tuple(walk.not_walked),
        walk.paths,
        tuple(walk.names.code((one for _, one in walk.modules), (one for _, one in walk.optimizers))),
        tuple(walk.caches),
        tuple(walk.kept),
    )
