"""Single operators, called as training calls them, and tensors at addresses of a chosen alignment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from roam_lab.capture.torch_internals import pytree

Call = Callable[[], Any]


def calls(scale: int) -> dict[str, Call]:
    """Name -> a call of some operators on inputs made beforehand; `scale` 0: small ones."""
    rows, width = (1024, 768) if scale else (16, 32)
    torch.manual_seed(0)
    with torch.device("cuda"):
        a, b = torch.randn(rows, width), torch.randn(width, 4 * width)
        bias, gain = torch.randn(4 * width), torch.randn(width)
        heads = [torch.randn(2, 4, rows // 4, 64, requires_grad=True) for _ in range(3)]
        half = [head.detach().bfloat16().requires_grad_() for head in heads]
        indices = torch.randint(0, 100, (rows,))
        images, kernel = torch.randn(4, 8, 32, 32, requires_grad=True), torch.randn(16, 8, 3, 3, requires_grad=True)

    def attention(given: list[torch.Tensor], dropout: float = 0.0) -> Any:
        out = functional.scaled_dot_product_attention(*given, dropout_p=dropout, is_causal=True)
        return torch.autograd.grad(out.sum(), given)

    return {
        "mm": lambda: a @ b,
        "addmm": lambda: torch.addmm(bias, a, b),
        "sdpa": lambda: attention(heads),
        "sdpa_bf16": lambda: attention(half),
        "sdpa_dropout": lambda: attention(heads, 0.1),
        "dropout": lambda: torch.ops.aten.native_dropout(a, 0.1, True),
        "layer_norm": lambda: torch.ops.aten.native_layer_norm(a, [width], gain, gain, 1e-5),
        "embedding_backward": lambda: torch.ops.aten.embedding_dense_backward(a, indices, 100, -1, False),
        "convolution": lambda: torch.autograd.grad(torch.conv2d(images, kernel).sum(), [images, kernel]),
        "adamw_foreach": lambda: (_updated(rows, foreach=False), _updated(rows, foreach=True)),
        "adamw_fused": lambda: (_updated(rows, fused=True, apart=True), _updated(rows, fused=True)),
        "foreach_of_one": lambda: (
            [torch._foreach_mul([one], 0.3)[0] for one in (a, b, bias)],
            torch._foreach_mul([a, b, bias], 0.3),
        ),
    }


PAIRS = {"adamw_foreach": False, "adamw_fused": True, "foreach_of_one": True}
"""Calls that give two results, of one tensor at a time and of all in one call: whether plans need them to be equal."""


def _updated(size: int, apart: bool = False, **settings: Any) -> list[torch.Tensor]:
    """Parameters after two steps of AdamW; `apart`: an optimizer for each."""
    draw = torch.Generator("cuda").manual_seed(0)
    shapes = [(size, 64), (size,), (7, 3)]
    params = [torch.randn(shape, device="cuda", generator=draw).requires_grad_() for shape in shapes]
    grads = [torch.randn(shape, device="cuda", generator=draw) for shape in shapes]
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad
    groups = [[param] for param in params] if apart else [params]
    optimizers = [torch.optim.AdamW(group, lr=0.01, **settings) for group in groups]
    for _ in range(2):
        for one in optimizers:
            one.step()
    return [param.detach() for param in params]


class Recorded(TorchDispatchMode):
    """Every operator that runs inside, with what it was given; `ops`: (operator, args, kwargs, result)."""

    of_planned_steps = True

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.ops.append((func, args, kwargs or {}, result))
        return result


def placed(values: Any, alignment: int) -> Any:
    """Every strided tensor in `values` copied to an address that is a multiple of `alignment` bytes, and
    not of twice as many; its strides are kept."""
    return pytree.tree_map(lambda one: _placed(one, alignment) if isinstance(one, torch.Tensor) else one, values)


def _placed(tensor: torch.Tensor, alignment: int) -> torch.Tensor:
    if tensor.layout is not torch.strided or not tensor.numel():
        return tensor
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    count = 1 + sum((length - 1) * stride for length, stride in steps)
    size = count * tensor.itemsize
    arena = torch.empty(size + 4 * alignment, dtype=torch.uint8, device=tensor.device)
    begin = alignment - arena.data_ptr() % (2 * alignment)
    begin += 2 * alignment if begin < 0 else 0
    place = arena[begin : begin + size].view(tensor.dtype)
    place.copy_(tensor.detach().as_strided((count,), (1,), tensor.storage_offset()))  # gaps and repeated entries, too
    return place.as_strided(tensor.shape, tensor.stride(), place.storage_offset())
