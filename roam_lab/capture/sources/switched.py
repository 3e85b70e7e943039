"""`requires_grad` of the user's tensors while a step is traced: a fake is switched in the tensor's place, and a planned
step leaves the tensor as the fake is left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import torch

from roam_lab.capture.torch_internals import FakeTensor, tensor_requires_grad


class Switched:
    """The switches of one trace. `made`: gives a real tensor's fake, or None where there is none."""

    def __init__(self, made: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
        self._made = made
        self._before: dict[int, tuple[torch.Tensor, bool]] = {}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A context for tracing a step, after which real tensors are as before. A model's tensor is switched with its
        fake: the step may hold either."""
        own, method = tensor_requires_grad, torch.Tensor.requires_grad_

        def write(tensor: torch.Tensor, needs: bool) -> None:
            if _is_users(tensor):
                self._before.setdefault(id(tensor), (tensor, own.__get__(tensor)))
                fake = self._made(tensor)
                if fake is not None:
                    own.__set__(fake, needs)
            own.__set__(tensor, needs)

        def switch(tensor: torch.Tensor, requires_grad: bool = True) -> torch.Tensor:
            if not _is_users(tensor):
                return method(tensor, requires_grad)
            write(tensor, requires_grad)
            return tensor

        torch.Tensor.requires_grad = property(own.__get__, write)  # type: ignore[assignment]
        torch.Tensor.requires_grad_ = switch  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            del torch.Tensor.requires_grad
            del torch.Tensor.requires_grad_
            for tensor, needs in self._before.values():
                own.__set__(tensor, needs)

    def left(self, but: Collection[torch.Tensor]) -> list[torch.Tensor]:
        """The real tensors that the step has switched, and leaves so, without those whose fakes are `but`. Called
        within the context."""
        known = set(map(id, but))
        changed = [one for one, needed in self._before.values() if one.requires_grad != needed]
        return [one for one in changed if id(self._made(one)) not in known]


def _is_users(tensor: torch.Tensor) -> bool:
    return not isinstance(tensor, FakeTensor) and type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.is_leaf
