"""Tracing fused optimizers with settings (such as the learning rate) as inputs: their ops take C++ doubles, into which
torch would write a symbol's present value."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from roam_lab.capture.provenance import LOG_KEY, META_KEY, ProvenanceMode
from roam_lab.capture.torch_internals import fetch_sym_proxy, get_proxy_mode, get_proxy_slot, pytree

_FUSED = {
    getattr(torch, name): getattr(torch.ops.aten, name)
    for name in ("_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_fused_adagrad_")
    if hasattr(torch, name)
}


class FusedOptimizerMode(TorchFunctionMode):
    """Writes a node for each call of a fused optimizer op into the traced graph, with symbols as arguments.

    The op only works in place, so for fake tensors there is nothing to compute.
    """

    def __init__(self, provenance: ProvenanceMode) -> None:
        super().__init__()
        self.provenance = provenance

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        mode = get_proxy_mode() if func in _FUSED else None
        if mode is None:
            return func(*args, **kwargs)
        tracer = mode.tracer
        symbol = fetch_sym_proxy(tracer)

        def proxy(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                slot: Any = get_proxy_slot(value, tracer)
                return slot.proxy
            return symbol(value) if isinstance(value, torch.SymFloat) else value

        packet = _FUSED[func]
        overload = packet.tensor_lr if isinstance(kwargs.get("lr"), torch.Tensor) else packet.default
        proxied_args, proxied_kwargs = pytree.tree_map(proxy, (tuple(args), dict(kwargs)))
        here = self.provenance.current()
        guide = self.provenance.guide
        if guide is not None:
            guide.begin(overload, args, kwargs, here.source)
        made = tracer.create_proxy("call_function", overload, proxied_args, proxied_kwargs)
        made.node.meta[META_KEY] = here
        if guide is not None:
            made.node.meta[LOG_KEY] = guide.position
        return None
