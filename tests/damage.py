"""Ways to damage a traced step, one function each: every one makes a program that is not the eager step.

Each takes the Trace, changes it in place (or returns another), and raises LookupError where the trace has nothing of
the kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy
import torch
from torch.fx import Node

from roam_lab.capture.trace import Trace

aten = torch.ops.aten
Damage = Callable[[Trace], Trace | None]


def program_of(trace: Trace) -> str:
    """The trace as text, numbers to the last bit: two that differ are two programs."""
    lines = [f"{n.name} = {n.op} {n.target}{n.args!r}{n.kwargs!r} {_form(n)}" for n in trace.module.graph.nodes]
    return "\n".join([*lines, *(f"condition {c.text} {c.holds}" for c in trace.conditions)])


def _form(node: Node) -> str:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return ""
    return f"{tuple(value.shape)} {value.stride()} {value.storage_offset()} {value.dtype}"


def nodes_of(trace: Trace, target: Any, phase: str | None = None) -> list[Node]:
    found = [n for n in trace.module.graph.nodes if n.target is target and phase in (None, n.meta["roam"].phase)]
    if not found:
        raise LookupError(f"the trace has no {target} in {phase}")
    return found


def input_of(trace: Trace, kind: str, *path: Any) -> Node:
    placeholders = [node for node in trace.module.graph.nodes if node.op == "placeholder"]
    for node, found in zip(placeholders, trace.inputs, strict=True):
        if found.kind == kind and found.path[-len(path) :] == path:
            return node
    raise LookupError(f"the trace has no {kind} {path}")


def drop(trace: Trace, node: Node, instead: Any = None) -> None:
    if node.users:
        node.replace_all_uses_with(node.args[0] if instead is None else instead)
    trace.module.graph.erase_node(node)


def swap(node: Node, i: int = 0, j: int = 1) -> None:
    args = list(node.args)
    args[i], args[j] = args[j], args[i]
    node.args = tuple(args)


def argument(node: Node, index: int, value: Any) -> None:
    node.args = (*node.args[:index], value, *node.args[index + 1 :])


# Constants


def float_constant_in_its_last_bit(trace):
    node = next(n for n in nodes_of(trace, aten.mul.Tensor, "forward") if isinstance(n.args[1], float))
    argument(node, 1, float(numpy.nextafter(numpy.float32(node.args[1]), numpy.float32(9))))


def a_dim(trace):
    argument(nodes_of(trace, aten._log_softmax.default)[0], 1, 0)


def a_dtype(trace):
    node = nodes_of(trace, aten._to_copy.default)[0]
    node.kwargs = {**node.kwargs, "dtype": torch.bfloat16}
    with node.meta["val"].fake_mode:
        node.meta["val"] = node.meta["val"].to(torch.bfloat16)


def an_alpha(trace):
    node = nodes_of(trace, aten.sub.Tensor, "forward")[0]
    node.kwargs = {"alpha": 2}


def weight_decay_dropped(trace):
    for node in nodes_of(trace, aten.mul_.Tensor, "update"):
        if node.args[0] is input_of(trace, "parameter", "one.weight"):
            drop(trace, node)
            return
    raise LookupError("no weight decay")


def batch_norm_momentum(trace):
    argument(nodes_of(trace, aten.native_batch_norm.default)[0], 6, 0.2)


def dropout_rate(trace):
    argument(nodes_of(trace, aten.bernoulli_.float)[0], 1, 0.25)


def learning_rate_frozen(trace):
    node = input_of(trace, "setting", "lr", None)
    value = node.meta["val"].node.hint
    for user in list(node.users):
        user.args = torch.fx.map_arg(user.args, lambda one: value if one is node else one)
        user.kwargs = torch.fx.map_arg(user.kwargs, lambda one: value if one is node else one)


# Places


def a_stride(trace):
    node = nodes_of(trace, aten.gelu.default)[0]
    like = node.meta["val"]
    with like.fake_mode:
        node.meta["val"] = torch.empty_strided(like.shape, like.stride()[::-1])


def a_view_at_another_offset(trace):
    node = nodes_of(trace, aten.slice.Tensor)[0]
    node.args = (*node.args[:2], node.args[2] - 1, node.args[3] - 1)
    a_place_at_another_offset(trace)


def a_place_at_another_offset(trace):
    node = nodes_of(trace, aten.slice.Tensor)[0]
    like = node.meta["val"]
    with like.fake_mode:
        moved = torch.empty(0).set_(like.untyped_storage(), like.storage_offset() - 1, like.shape, like.stride())
    node.meta["val"] = moved


# Writes


def running_mean_not_written(trace):
    node = nodes_of(trace, aten.native_batch_norm.default)[0]
    mean, variance = node.args[3:5]
    with trace.module.graph.inserting_before(node):
        for index, one in ((3, mean), (4, variance)):
            copy = trace.module.graph.call_function(aten.clone.default, (one,))
            with one.meta["val"].fake_mode:
                copy.meta |= {**node.meta, "val": one.meta["val"].clone()}
            argument(node, index, copy)


def a_counter_not_counted(trace):
    place = input_of(trace, "buffer", "norm.num_batches_tracked")
    drop(trace, next(n for n in nodes_of(trace, aten.add_.Tensor) if n.args[0] is place))


def a_parameter_not_updated(trace):
    place = input_of(trace, "parameter", "one.bias")
    drop(trace, next(n for n in _writes(trace) if n.target is not aten.mul_.Tensor and _root(n) is place))


def optimizer_state_not_written(trace):
    place = input_of(trace, "state", "one.weight", "exp_avg_sq")
    drop(trace, next(n for n in _writes(trace) if _root(n) is place))


def two_updates_swapped(trace):
    one, other = (input_of(trace, "parameter", name) for name in ("one.weight", "two.weight"))
    for node in _writes(trace):
        if node.target is aten.addcdiv_.default:
            root = _root(node)
            if root in (one, other):
                argument(node, 0, other if root is one else one)


def _writes(trace):
    return [
        n
        for n in trace.module.graph.nodes
        if isinstance(n.target, torch._ops.OpOverload)
        and n.target._schema.is_mutable
        and n.meta["roam"].phase == "update"
    ]


def _root(node):
    while node.op == "call_function" and node.args and isinstance(node.args[0], Node):
        node = node.args[0]
    return node


# Inputs


def operands_of_sub_swapped(trace):
    swap(nodes_of(trace, aten.sub.Tensor, "forward")[0])


def operands_of_div_swapped(trace):
    swap(nodes_of(trace, aten.div.Tensor, "forward")[0])


def operands_of_matmul_swapped(trace):
    swap(nodes_of(trace, aten.mm.default, "forward")[0])


def operands_of_addcdiv_swapped(trace):
    swap(_addcdiv(trace), 1, 2)


def _addcdiv(trace):
    return next(n for n in _writes(trace) if str(n.target).startswith("aten.addcdiv_"))


def another_parameter(trace):
    one, other = (input_of(trace, "parameter", name) for name in ("one.weight", "two.weight"))
    for user in list(one.users):
        if user.target is aten.t.default and user.meta["roam"].phase == "forward":
            argument(user, 0, other)
            with other.meta["val"].fake_mode:
                user.meta["val"] = other.meta["val"].detach().t()
            return
    raise LookupError("no use")


def results_of_one_op_swapped(trace):
    node = nodes_of(trace, aten.native_batch_norm.default)[0]
    second, third = sorted((u for u in node.users if u.args[1] in (1, 2)), key=lambda u: u.args[1])
    second.args, third.args = (node, 2), (node, 1)


# Kernels


def gelu_by_tanh(trace):
    for target in (aten.gelu.default, aten.gelu_backward.default):
        for node in nodes_of(trace, target):
            node.kwargs = {"approximate": "tanh"}


def add_for_sub(trace):
    nodes_of(trace, aten.sub.Tensor, "forward")[0].target = aten.add.Tensor


def reciprocal_square_root_in_two(trace):
    node = nodes_of(trace, aten.rsqrt.default, "forward")[0]
    with trace.module.graph.inserting_before(node):
        root = trace.module.graph.call_function(aten.sqrt.default, node.args)
        with node.meta["val"].fake_mode:
            root.meta |= {**node.meta, "val": torch.empty_like(node.meta["val"])}
    node.target, node.args = aten.reciprocal.default, (root,)


def silu_in_two(trace):
    node = nodes_of(trace, aten.silu.default)[0]
    with trace.module.graph.inserting_before(node):
        gate = trace.module.graph.call_function(aten.sigmoid.default, node.args)
        with node.meta["val"].fake_mode:
            gate.meta |= {**node.meta, "val": torch.empty_like(node.meta["val"])}
    node.target, node.args = aten.mul.Tensor, (gate, node.args[0])


def attention_is_causal(trace):
    node = nodes_of(trace, aten._scaled_dot_product_flash_attention_for_cpu.default)[0]
    argument(node, 4, False)


def batch_norm_by_running_statistics(trace):
    argument(nodes_of(trace, aten.native_batch_norm.default)[0], 5, False)


# Random numbers


def a_random_op_dropped(trace):
    node = nodes_of(trace, aten.bernoulli_.float)[0]
    drop(trace, node)


def a_random_op_too_many(trace):
    node = nodes_of(trace, aten.bernoulli_.float)[0]
    with trace.module.graph.inserting_after(node):
        more = trace.module.graph.call_function(aten.bernoulli_.float, node.args)
        more.meta |= node.meta


# Gradients


def the_loss_scaled(trace):
    node = nodes_of(trace, aten.nll_loss_backward.default)[0]
    grad = node.args[0]
    with trace.module.graph.inserting_before(node):
        more = trace.module.graph.call_function(aten.mul.Tensor, (grad, 2.0))
        with grad.meta["val"].fake_mode:
            more.meta |= {**node.meta, "val": torch.empty_like(grad.meta["val"])}
    argument(node, 0, more)


def a_gradient_cut(trace):
    node = nodes_of(trace, aten.gelu_backward.default)[0]
    with trace.module.graph.inserting_after(node):
        none = trace.module.graph.call_function(aten.zeros_like.default, (node,))
        with node.meta["val"].fake_mode:
            none.meta |= {**node.meta, "val": torch.empty_like(node.meta["val"])}
    node.replace_all_uses_with(none, delete_user_cb=lambda user: user is not none)


def accumulation_dropped(trace):
    drop(trace, nodes_of(trace, aten.add.Tensor, "backward")[0])


def gradients_clipped_by_another_norm(trace):
    node = nodes_of(trace, aten.linalg_vector_norm.default)[0]
    node.args = (node.args[0], 1)


# What Python sees


def a_condition_dropped(trace):
    if not trace.conditions:
        raise LookupError("no condition")
    return dataclasses.replace(trace, conditions=())


def a_condition_inverted(trace):
    first = trace.conditions[0]
    return dataclasses.replace(
        trace, conditions=(dataclasses.replace(first, holds=lambda *given: not first.holds(*given)),)
    )


def an_output_to_python_dropped(trace):
    output = next(node for node in trace.module.graph.nodes if node.op == "output")
    if len(output.args[0]) < 2:
        raise LookupError("nothing is given to Python")
    output.args = ((output.args[0][0], *(0.0 for _ in output.args[0][1:])),)


def another_loss(trace):
    output = next(node for node in trace.module.graph.nodes if node.op == "output")
    with trace.module.graph.inserting_before(output):
        mean = nodes_of(trace, aten.mean.default)[0]
        twice = trace.module.graph.call_function(aten.alias.default, (mean,))
        twice.meta["val"] = mean.meta["val"]
    output.args = ((twice, *output.args[0][1:]),)


CLASSIFIER: tuple[Damage, ...] = (
    float_constant_in_its_last_bit, a_dim, a_dtype, an_alpha, weight_decay_dropped, batch_norm_momentum, dropout_rate,
    a_stride, a_view_at_another_offset, a_place_at_another_offset, running_mean_not_written, a_counter_not_counted,
    a_parameter_not_updated, optimizer_state_not_written, two_updates_swapped, operands_of_sub_swapped,
    operands_of_div_swapped, operands_of_matmul_swapped, operands_of_addcdiv_swapped, another_parameter,
    results_of_one_op_swapped, gelu_by_tanh, add_for_sub, reciprocal_square_root_in_two, silu_in_two,
    attention_is_causal, batch_norm_by_running_statistics, a_random_op_dropped, a_random_op_too_many, the_loss_scaled,
    a_gradient_cut, accumulation_dropped, gradients_clipped_by_another_norm, a_condition_dropped,
    a_condition_inverted, an_output_to_python_dropped, another_loss,
)  # fmt: skip
FORM_ONLY = frozenset({"a_stride", "a_place_at_another_offset"})
"""What may leave the same bits: the log alone finds it."""
LATER = frozenset({"a_condition_dropped", "optimizer_state_not_written"})
"""What the first step does not show: the log alone finds it."""
