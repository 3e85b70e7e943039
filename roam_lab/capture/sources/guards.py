"""Guards: checks that everything that a captured step relies on, besides its inputs, is as it was."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any

import torch

from roam_lab.capture.sources.containers import MISSING, Container
from roam_lab.capture.sources.flags import Flags
from roam_lab.capture.sources.places import OptimizerPlace, ValuePlace
from roam_lab.capture.sources.python_state import Change
from roam_lab.capture.sources.reachable import Reachable, reach
from roam_lab.capture.sources.stateful import content_bytes
from roam_lab.capture.sources.values import is_plain
from roam_lab.capture.sources.watch import Watch

MOST_ARRAY_BYTES = 1 << 16
"""Of a larger array only entries of so many bytes, spread over all of it, are compared (see `Guards.not_guarded`)."""

_HOOKS = {
    "_forward_hooks": "forward hook",
    "_forward_pre_hooks": "forward pre-hook",
    "_backward_hooks": "backward hook",
    "_backward_pre_hooks": "backward pre-hook",
    "_optimizer_step_pre_hooks": "step pre-hook",
    "_optimizer_step_post_hooks": "step post-hook",
    "_post_accumulate_grad_hooks": "hook after its gradient is accumulated",
}
NO_MATTER = (
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
    "_non_persistent_buffers_set", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs", "_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks",
)  # fmt: skip
"""Ends of the paths of what no step reads: hooks of checkpoints, and notes on others. Their keys are numbers of the
whole process."""
_requires_grad = attrgetter("requires_grad")


@dataclass(frozen=True)
class Differing:
    """An entry of a container that has changed. `whole`: entries were added or removed, so the whole container counts
    as changed."""

    container: Container
    key: Any
    path: str
    whole: bool


class Guards:
    """Guards of everything reachable (modules, parameters, optimizers, Python values, flags) except `left_out`.

    `left_out`: paths that may change, with everything below them: what the step itself changes (see `changed_paths`)
    and what is read in each step, such as a learning rate. Contents of tensors, generators and iterators are never
    guarded. Containers are kept alive, tensors are not. `beside`: further containers to guard. `places`: of numbers
    that are read in each step; the containers that hold them must stay the same objects. `not_guarded`: paths whose
    changes would not be noticed: containers that are too long, large arrays.
    """

    def __init__(
        self,
        reachable: Reachable,
        left_out: Iterable[str] = (),
        beside: Collection[Container] = (),
        places: Collection[ValuePlace] = (),
    ) -> None:
        self._roots, self._beside = dict(reachable.roots), tuple(beside)
        self._left_out = set(left_out)
        self._places = tuple(places)
        self._build(reachable)

    def check(self) -> str | None:
        """A sentence on the first change since construction that is found; None if nothing has changed."""
        flag = self._flags.check()
        if flag:
            return flag
        if (
            self._watch.unchanged()
            and all(map(_requires_grad, self._trained))
            and not any(map(_requires_grad, self._frozen))
            and (
                not self._arrays
                or all(content_bytes(array, MOST_ARRAY_BYTES) == before for _, array, before in self._arrays)
            )
        ):
            return None
        return self._find()

    def differing(self) -> tuple[Differing, ...]:
        """Every entry of a container that has changed."""
        found: dict[str, Differing] = {}
        for container, key, before, after in self._watch.differences():
            counts = container.kind in ("list", "deque", "set", "dict") and not container.dotted
            whole = counts and (container.kind == "set" or before is MISSING or after is MISSING)
            path = container.path if whole else container.place(key)
            if not self._is_out(container.place(key)):
                found.setdefault(path, Differing(container, key, path, whole))
        return tuple(found.values())

    def forget(self, path: str) -> None:
        """Stop guarding this path and everything below it; what other values are compared with stays the same."""
        self._left_out.add(path)
        self._watch.keep(*self._choose())
        self._split([entry for entry in self._needs if not self._is_out(entry[0])])

    def renew(self) -> None:
        """Take the present values of everything reachable as those to compare with."""
        self._build(reach(self._roots))

    def _build(self, reachable: Reachable) -> None:
        self._containers = [*reachable.containers, *reachable.code, *global_hooks(), *self._beside]
        self._modules = reachable.modules
        parameters: dict[int, torch.Tensor] = {
            id(p): p for _, module in reachable.modules for p in module.parameters(recurse=False)
        }
        for _, optimizer in reachable.optimizers:
            parameters.update((id(p), p) for group in optimizer.param_groups for p in group["params"])
        self._flags = Flags({p.device.type for p in parameters.values()})
        arrays = [(path, one, content_bytes(one, MOST_ARRAY_BYTES)) for path, one in reachable.stateful]
        self._all_arrays = [entry for entry in arrays if entry[2] is not None]
        large = [path for path, one, _ in arrays if getattr(one, "nbytes", 0) > MOST_ARRAY_BYTES]
        self.not_guarded = (*(path for path, _ in reachable.not_walked), *large)
        kept, ignored = self._choose()
        named = [(reachable.paths.get(key, "a parameter"), one) for key, one in parameters.items()]
        named = [(path, one) for path, one in named if not self._is_out(path)]
        self._watch = Watch(kept, ignored, [one for _, one in named])
        self._hooks = [(path, one, _hooks(one)) for path, one in named]
        self._split([(path, one, one.requires_grad) for path, one in named])

    def _choose(self) -> tuple[list[Container], dict[Container, frozenset[Any]]]:
        """The containers to be guarded, and for each the keys that are left out."""
        self._out = tuple(self._left_out)
        above = _prefixes(self._out)
        unhooked = {
            f"{path}._backward_hooks"
            for path, module in self._modules
            if vars(module).get("_is_full_backward_hook", 0) is None and not module._backward_hooks
        }
        kept: list[Container] = []
        ignored: dict[Container, frozenset[Any]] = {}
        for one in self._containers:
            if self._is_out(one.path) or one.path.endswith(NO_MATTER):
                continue
            if one.path in unhooked:
                continue  # the module's attribute `_is_full_backward_hook` changes when a hook is added
            kept.append(one)
            if one.path in above or not one.path:
                entries = one.read()
                keys = list(entries) if isinstance(entries, dict) else list(range(len(entries)))
                if one.kind == "names":
                    keys = list(one.names)
                out = frozenset(key for key in keys if self._is_out(one.place(key)))
                if out:
                    ignored[one] = out
        self._arrays = [entry for entry in self._all_arrays if not self._is_out(entry[0])]
        return kept, ignored

    def _split(self, needs: list[tuple[str, torch.Tensor, bool]]) -> None:
        self._needs = needs
        self._trained = [one for _, one, needed in needs if needed]
        self._frozen = [one for _, one, needed in needs if not needed]

    def _is_out(self, path: str) -> bool:
        if not path.startswith(self._out):
            return False
        return any(path.startswith(out) and path[len(out) : len(out) + 1] in ("", ".", "[") for out in self._out)

    def _find(self) -> str | None:
        """The slow check: a sentence on the first entry whose value differs. None where all values are equal, and then
        the present objects are compared with from now on."""
        for container, key, before, after in self._watch.differences():
            if not self._is_out(container.place(key)):
                return _sentence(container, key, before, after)
        for path, parameter, needs in self._needs:
            if parameter.requires_grad != needs:
                return f"{path}.requires_grad was {needs} and is {parameter.requires_grad} now"
        for path, parameter, hooks in self._hooks:
            for name, before in hooks.items():
                if list(getattr(parameter, name) or ()) != before:
                    return f"a {_HOOKS[name] if name != '_backward_hooks' else 'hook'} of {path} was added or removed"
        for path, array, content in self._arrays:
            if content_bytes(array, MOST_ARRAY_BYTES) != content:
                return f"the contents of the array {path} have changed"
        if self._watch.moved():
            now = reach(self._roots)
            held = {id(one.held) for one in now.containers} | {id(one.owner) for one in now.containers}
            for place in self._places:
                if not isinstance(place, OptimizerPlace) and id(place.container) not in held:
                    return f"{place.path} is another number, in an object that was replaced"
            self._build(now)
        else:
            self._watch.renew()
        return None


def changed_paths(changes: Collection[Change]) -> set[str]:
    """The paths to leave out because the step changes them: those of `changes`, and for lists, deques and sets that it
    fills the path of the whole container."""
    return {
        one.container_path
        if one.kind in ("grown", "shrunk") and not isinstance(one.container, dict) and not isinstance(one.key, str)
        else one.path.removesuffix(".data")
        for one in changes
    }


def _hooks(parameter: torch.Tensor) -> dict[str, list[Any]]:
    return {name: list(getattr(parameter, name) or ()) for name in ("_backward_hooks", "_post_accumulate_grad_hooks")}


def global_hooks() -> Iterator[Container]:
    """The hooks that are registered for all modules and for all optimizers, as containers."""
    for home in map(import_module, ("torch.nn.modules.module", "torch.optim.optimizer")):
        for name, value in vars(home).items():
            if name.startswith("_global_") and name.endswith("_hooks") and isinstance(value, dict):
                yield Container("dict", value, f"{home.__name__}.{name}")


def _prefixes(paths: Iterable[str]) -> set[str]:
    """All proper prefixes of these paths: of "a.b['c']" these are "a" and "a.b"."""
    return {path[:index] for path in paths for index, sign in enumerate(path) if sign in ".[" and index}


def _sentence(container: Container, key: Any, before: Any, after: Any) -> str:
    owner, _, last = container.path.rpartition(".")
    hook = _HOOKS.get(last.removeprefix("_global"))
    if hook:
        whom = owner if not last.startswith("_global_") else "every module" if "forward" in last else "all"
        verb = "added" if before is MISSING else "removed" if after is MISSING else "replaced"
        return f"a {hook} of {whom} was {verb}"
    path = container.place(key)
    if key == "_is_full_backward_hook":
        return f"a backward hook of {container.path} was added"
    if key == "__class__":
        return f"{path.removesuffix('.__class__')} was a {before.__name__} and is a {after.__name__} now"
    if container.kind == "set":
        return (
            f"the set {path} has {_text(after)} now"
            if before is MISSING
            else f"the set {path} has lost {_text(before)}"
        )
    if before is MISSING:
        return f"{path} was added: {_text(after)}"
    if after is MISSING:
        return f"{path} was taken away"
    if isinstance(after, torch.Tensor):
        return f"{path} is another tensor"
    if is_plain(before) and is_plain(after):
        return f"{path} was {before!r} and is {after!r} now"
    if type(before) is type(after):
        return f"{path} is another {type(after).__name__}"
    return f"{path} was {_text(before)} and is {_text(after)} now"


def _text(value: Any) -> str:
    if is_plain(value):
        return repr(value)
    return f"a {type(value).__name__}"
