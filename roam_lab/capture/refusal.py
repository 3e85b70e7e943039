"""Errors that say in one sentence why a step cannot be captured, naming the user's line."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from traceback import walk_tb

import torch

from roam_lab.capture.provenance import META_KEY
from roam_lab.capture.torch_internals import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    GuardOnDataDependentSymNode,
    OptimizedModule,
    UnsupportedOperatorException,
    pytree,
)
from roam_lab.capture.user_lines import traceback_user_line
from roam_lab.distributed import is_replicated, refuse_unsupported
from roam_lab.distributed.wrapper import refuse_other_wrappers
from roam_lab.errors import CaptureError, DataDependentError, RoamError
from roam_lab.interrupt import held

_VALUES = (GuardOnDataDependentSymNode, DataDependentOutputException, DynamicOutputShapeException)


def explain(error: Exception, *, eager_runs: bool = False) -> RoamError:
    """The error to be raised in place of `error`, which was raised while tracing: what it means for the user.

    `eager_runs`: the eager step has run on this very batch without an error.
    """
    if isinstance(error, RoamError):
        return error
    line = traceback_user_line(error.__traceback__)
    where = f"{line}: " if line else ""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, _VALUES) or (isinstance(error, TypeError) and "FakeTensor" in first):
        return DataDependentError(
            f"{where}the step branches on the value or takes a shape from the contents of a tensor, so no single graph "
            "describes it; use torch.where, or keep that part outside the step"
        )
    if ".numpy() is not supported" in first:
        return CaptureError(
            f"{where}the step takes a tensor to NumPy, where its ops are not seen; use torch's ops, or do that part "
            "before the step"
        )
    if "data is not allocated yet" in first:
        if _goes_through(error, "ctc_loss"):
            return CaptureError(
                f"{where}ctc_loss is given lengths as Python numbers, which it takes past torch's ops; give them as "
                "tensors (torch.tensor(lengths)), with which the step is planned"
            )
        return CaptureError(
            f"{where}code that is no op of torch reads a tensor's memory, where it is not seen; make it an op "
            "(torch.library.custom_op), or do that part outside the step"
        )
    if "torch._C.Generator" in first:
        return CaptureError(
            f"{where}an op draws from a torch.Generator, which torch {torch.__version__} cannot trace; draw from "
            "torch's own, which a step may seed with torch.manual_seed, or use torch 2.13 or newer"
        )
    if isinstance(error, (UnsupportedOperatorException, NotImplementedError)) or "no fake impl" in first:
        return CaptureError(
            f"{where}an op cannot be captured ({first[:160]}); give it a fake (meta) implementation with "
            "torch.library.register_fake, or keep it outside the step"
        )
    if "__format__" in first and "Sym" in first:
        return CaptureError(
            f"{where}the step writes a number that it reads out of a tensor into a text (a print, a log), which a "
            "planned step would not do again; keep the number in a list, or print after the step"
        )
    if "SymInt" in first or "SymFloat" in first:
        return CaptureError(
            f"{where}a number that changes from step to step is given to what takes a plain number only "
            f"({first[:160]}); keep it fixed, or do that part outside the step"
        )
    if isinstance(error, torch.OutOfMemoryError):
        return CaptureError(f"{where}memory ran out while the step was captured; build the model on the meta device")
    if eager_runs:
        return CaptureError(
            f"{where}the step runs eagerly, but cannot be captured ({type(error).__name__}: {first[:200]}); keep that "
            "part outside the step, or train eagerly"
        )
    return CaptureError(
        f"{where}the model does not accept this batch, or the step fails ({type(error).__name__}: {first[:160]}); "
        "run one eager step to see it (loss= is called with model and batch, unless it is a module)"
    )


def _goes_through(error: Exception, function: str) -> bool:
    """Whether an error was raised while a Python function of this name ran."""
    return any(frame.f_code.co_name == function for frame, _ in walk_tb(error.__traceback__))


def refuse_sparse(module: torch.fx.GraphModule) -> None:
    """Raises CaptureError for a sparse tensor in a traced step: it has no storage that could be planned."""
    for node in module.graph.nodes:
        for value in pytree.tree_leaves(node.meta.get("val")):
            if isinstance(value, torch.Tensor) and value.layout is not torch.strided:
                where = node.meta.get(META_KEY)
                line = f"{where.source}: " if where and where.source else ""
                raise CaptureError(
                    f"{line}{node.target} makes a sparse tensor, which cannot be planned; make it dense "
                    "(sparse=False of an Embedding)"
                )


def refuse_own_generators(module: torch.fx.GraphModule, known: Collection[torch.Generator]) -> None:
    """Raises CaptureError for an op that draws from a torch.Generator that the step has made itself.

    `known`: the generators that were there before.
    """
    for node in module.graph.nodes:
        value = getattr(module, node.target, None) if node.op == "get_attr" else None
        if isinstance(value, torch.Generator) and not any(_is_same(value, one) for one in known):
            where = next(iter(node.users), node).meta.get(META_KEY)
            line = f"{where.source}: " if where and where.source else ""
            raise CaptureError(
                f"{line}the step draws from a torch.Generator that it makes itself, and a planned step would draw on "
                "from one; make it once and keep it outside the step, or seed with torch.manual_seed"
            )


def _is_same(generator: torch.Generator, other: torch.Generator) -> bool:
    """Whether two Python objects are the same generator (torch may make several for one): a seed that is given to one
    is then the other's, too."""
    if generator.device != other.device:
        return False
    state, seed = other.get_state(), (generator.initial_seed() + 1) % 2**31
    with held():
        try:
            other.manual_seed(seed)
            return generator.initial_seed() == seed
        finally:
            other.set_state(state)


def refuse_closure(optimizer: torch.optim.Optimizer) -> None:
    """Raises CaptureError for an optimizer that calls the forward pass itself (LBFGS)."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise CaptureError(
            f"{type(optimizer).__name__}.step needs a closure, which it calls as often as values ask for, so no single "
            "graph describes it; use another optimizer, or train eagerly"
        )


def refuse_wrapped(model: torch.nn.Module) -> None:
    """Raise CaptureError for a model whose ops cannot be seen: compiled, scripted, or spread over devices in a way that
    cannot be captured."""
    refuse_other_wrappers(model)
    refuse_unsupported(model)
    for module in model.modules():
        if isinstance(module, OptimizedModule) or module._compiled_call_impl is not None:
            raise CaptureError(
                f"{type(module).__name__} was compiled by torch.compile, which hides its ops; capture the plain model"
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise CaptureError(f"{type(module).__name__} is TorchScript, which hides its ops; capture the plain module")
        for name, parameter in module.named_parameters(recurse=False):
            if type(parameter).__module__.startswith("torch.distributed") or _is_distributed(parameter):
                raise CaptureError(
                    f"the parameter {name} of {type(module).__name__} is a {type(parameter.data).__name__}, which lies "
                    "on several processes and cannot be planned; give the plain model to roam.shard, or train eagerly"
                )
        if isinstance(module, torch.nn.DataParallel):
            raise CaptureError(f"the model is wrapped in {type(module).__name__}; capture its .module, on one device")
        if is_replicated(module) and module is not model:
            raise CaptureError(
                f"{type(model).__name__} holds a DistributedDataParallel; wrap the whole model that is trained"
            )


def _is_distributed(parameter: torch.nn.Parameter) -> bool:
    return type(parameter.data).__module__.startswith("torch.distributed")


@contextmanager
def unlogged() -> Iterator[None]:
    """A context in which torch does not log tracebacks; errors are raised as one sentence instead."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
