"""Ops that read and set the random state, so that a step may do so (activation checkpointing does).

They are in the sequence of ops that draw random numbers, so the random numbers stay those of eager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.capture.replaced import Replacement, replaced

_library = torch.library.Library("roam_lab", "DEF")
_TAGS = (torch.Tag.nondeterministic_seeded,)
_library.define("get_rng_state() -> Tensor", tags=_TAGS)
_library.define("set_rng_state(Tensor state) -> ()", tags=_TAGS)
_library.define("manual_seed(SymInt seed) -> ()", tags=_TAGS)
_library.define("get_cuda_rng_state(int device) -> Tensor", tags=_TAGS)
_library.define("set_cuda_rng_state(Tensor state, int device) -> ()", tags=_TAGS)

_get, _set, _seed = torch.get_rng_state, torch.set_rng_state, torch.manual_seed
_get_cuda, _set_cuda = torch.cuda.get_rng_state, torch.cuda.set_rng_state
_CPU_STATE_BYTES = _get().numel()
_CUDA_STATE_BYTES = 16

_library.impl("get_rng_state", lambda: _get(), "CompositeExplicitAutograd")
_library.impl("set_rng_state", lambda state: _set(_alone(state)), "CompositeExplicitAutograd")
_library.impl("manual_seed", lambda seed: _manual_seed(seed), "CompositeExplicitAutograd")
_library.impl("get_cuda_rng_state", lambda device: _get_cuda(device), "CompositeExplicitAutograd")
_library.impl("set_cuda_rng_state", lambda state, device: _set_cuda(_alone(state), device), "CompositeExplicitAutograd")


def _alone(state: torch.Tensor) -> torch.Tensor:
    """The state in a storage of its own: a generator reads from the start of the storage, whatever the tensor's
    offset."""
    return state.clone() if state.storage_offset() else state


def _manual_seed(seed: int) -> None:
    _seed(int(seed))


def _fake_seed(seed: int) -> None:
    return None


def _fake_get() -> torch.Tensor:
    return torch.empty(_CPU_STATE_BYTES, dtype=torch.uint8)


def _fake_set(state: torch.Tensor) -> None:
    return None


def _fake_get_cuda(device: int) -> torch.Tensor:
    return torch.empty(_CUDA_STATE_BYTES, dtype=torch.uint8)


def _fake_set_cuda(state: torch.Tensor, device: int) -> None:
    return None


_FAKES: dict[str, Callable[..., Any]] = {
    "get_rng_state": _fake_get,
    "set_rng_state": _fake_set,
    "manual_seed": _fake_seed,
    "get_cuda_rng_state": _fake_get_cuda,
    "set_cuda_rng_state": _fake_set_cuda,
}
for _name, _fake in _FAKES.items():
    torch.library.register_fake(f"roam_lab::{_name}", _fake, lib=_library)


def _index(device: Any) -> int:
    found = torch.device("cuda" if device is None else device)
    return torch.cuda.current_device() if found.index is None else found.index


@contextmanager
def rng_as_ops() -> Iterator[None]:
    """A context for tracing a step, in which `torch.(cuda.)get_rng_state`, `set_rng_state` and `torch.manual_seed` are
    these ops."""
    ops = torch.ops.roam_lab

    def manual_seed(seed: Any) -> torch.Generator:
        ops.manual_seed(seed if isinstance(seed, torch.SymInt) else int(seed))
        return torch.default_generator

    patches: list[Replacement] = [
        (torch, "get_rng_state", lambda: ops.get_rng_state()),
        (torch, "set_rng_state", lambda new_state: ops.set_rng_state(new_state)),
        (torch, "manual_seed", manual_seed),
        (torch.random, "manual_seed", manual_seed),
        (torch.cuda, "get_rng_state", lambda device=None: ops.get_cuda_rng_state(_index(device))),
        (
            torch.cuda,
            "set_rng_state",
            lambda new_state, device=None: ops.set_cuda_rng_state(new_state, _index(device)),
        ),
    ]
    with replaced(patches):
        yield
