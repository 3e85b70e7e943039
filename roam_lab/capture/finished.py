"""The finished graph held against the op log of the eager step, op by op, and every edge between them.

The guide leads the trace; what happens to the graph afterwards (passes that split, accumulate and drop ops) it does
not see. Here every node must still be the op of the log that it was traced from: same target, same numbers, reading
the same results, written to the same places. Known differences: multi-tensor ops split into one op a parameter,
gradients added in place where eager adds into a new tensor, ops that compute nothing, and those of roam-lab's own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.constants import in_sequence, name_of, plain
from roam_lab.capture.guide import UNTOLD, is_told, is_view, strides_that_matter, told_ops
from roam_lab.capture.host_values import READ
from roam_lab.capture.nodes import is_getitem, is_host, storage_key, tensors_of
from roam_lab.capture.provenance import LOG_KEY, META_KEY, OWN, PART_KEY
from roam_lab.errors import PartedError
from roam_lab.ir.op_log import LoggedOp, LoggedTensor, OpLog

_COPIES = frozenset({"aten.lift_fresh_copy.default"})
_SUMS = {"aten.add_.Tensor": "aten.add.Tensor"}


def compare_with_log(module: GraphModule, log: OpLog, checked: Collection[Node] = ()) -> None:
    """Raises PartedError, naming op and line, at the first node that is not the op of the log that it stands for, and
    where an op that writes, or draws random numbers, is missing.

    `module`: traced with this log as its guide, before or after the passes of capture. `checked`: the nodes whose
    numbers conditions look at: any other number that is read must be used.
    """
    _Comparison(told_ops(log), checked).run(module)


@dataclass(frozen=True, slots=True)
class _Whence:
    """Where an argument comes from: a result of a logged op, or an input (`root`)."""

    told: LoggedTensor | None = None
    root: Node | None = None


class _Comparison:
    """One walk through the nodes. `_serial`: storage of a fake tensor -> its number in the log."""

    def __init__(self, ops: list[LoggedOp], checked: Collection[Node]) -> None:
        self._ops, self._checked = ops, frozenset(checked)
        self._names: dict[Any, str] = {}
        self._seen: dict[int, int] = {}
        self._whence: dict[Node, _Whence] = {}
        self._there: dict[int, list[Node]] = {}  # storage of a fake tensor -> the nodes that lie in it
        self._serial: dict[int, int] = {}
        self._key: dict[int, int] = {}
        self._rebound: set[int] = set()
        self._numbers: dict[Node, Any] = {}
        self._lost: dict[Node, str] = {}
        self._last = -1

    def run(self, module: GraphModule) -> None:
        self._module = module
        for node in module.graph.nodes:
            if node.op == "call_function" and not is_host(node):
                self._visit(node)
        for index, op in enumerate(self._ops):
            if index not in self._seen and (op.accumulated or _has_effect(op.target)):
                raise _parted(op.source, index, f"{op.target} is missing in the captured step")

    def _visit(self, node: Node) -> None:
        if is_getitem(node):
            self._one_of_several(node)
            return
        label = self._label(node)
        position = node.meta.get(LOG_KEY)
        if position is None or position == OWN:
            if is_view(node.target):  # autograd shows a gradient's slice by other views while it is traced
                self._another_view(node)
                return
            if is_told(label) and not (position == OWN and label in _OWN_OPS):
                raise self._told(node, f"the captured step runs {label}, which the eager step does not")
            self._untold(node, label)
            return
        op = self._ops[position]
        accumulates = label != op.target and _SUMS.get(label) == op.target
        if label != op.target and not accumulates:
            raise self._told(node, f"the captured step runs {label}, the eager step {op.target}")
        self._in_sequence(node, position)
        self._arguments(node, op, swapped=accumulates)
        if node.target is READ and not node.users and node not in self._checked:
            raise self._told(node, "nothing looks at the number that is read here")
        self._results(node, op, accumulates)

    def _label(self, node: Node) -> str:
        label = self._names.get(node.target)
        if label is None:
            label = self._names[node.target] = str(node.target)
        return label

    def _in_sequence(self, node: Node, position: int) -> None:
        index, count = node.meta.get(PART_KEY, (0, 1))
        done = self._seen.get(position, 0)
        if position < self._last or done != index:
            raise self._told(node, f"{self._ops[position].target} does not run in the eager step's sequence")
        self._seen[position] = done + 1
        self._last = position
        following = node.next
        if index + 1 < count and (following.meta.get(LOG_KEY) != position):
            raise self._told(node, f"a part of {self._ops[position].target} is missing")

    def _arguments(self, node: Node, op: LoggedOp, swapped: bool) -> None:
        tensors, constants = iter(op.arguments), iter(op.constants)
        by_hand = op.target.startswith("aten._fused_")  # written as the user's Python gives them
        index, count = node.meta.get(PART_KEY, (0, 1))
        for given in in_sequence(node.target, node.args, node.kwargs):
            if count > 1 and isinstance(given, list | tuple) and len(given) == 1:  # one of each list
                [leaf] = given
                if _is_tensor(leaf):
                    self._reads(node, leaf, [next(tensors, None) for _ in range(count)][index])
                else:
                    of_all = [next(constants, _NOTHING) for _ in range(count)]
                    self._constant(node, leaf, of_all[index], loose=by_hand or isinstance(leaf, Node))
                continue
            for leaf in _leaves(given):
                if _is_tensor(leaf):
                    if not swapped:
                        self._reads(node, leaf, next(tensors, None))
                else:
                    self._constant(node, leaf, next(constants, _NOTHING), loose=by_hand or isinstance(leaf, Node))
        if swapped:
            self._sum(node, op)
        elif next(tensors, None) is not None or next(constants, None) is not None:
            raise self._told(node, f"{op.target} is given less than in the eager step")

    def _sum(self, node: Node, op: LoggedOp) -> None:
        """A sum of two gradients written into one of them, which nobody may read afterwards."""
        first, second = node.args
        told = op.arguments
        if self._is(first, told[1]) and not self._is(first, told[0]):
            first, second = second, first
        self._reads(node, first, told[0])
        self._reads(node, second, told[1])
        target = node.args[0]
        assert isinstance(target, Node)
        key = storage_key(tensors_of(target)[0])
        self._lost.update((older, op.target) for older in self._there.get(key, ()))

    def _is(self, node: Any, told: LoggedTensor) -> bool:
        whence = self._origin(node)
        return whence.told is not None and whence.told.storage == told.storage and whence.told.offset == told.offset

    def _reads(self, node: Node, given: Any, told: LoggedTensor | None) -> None:
        """The argument is the tensor that eager read."""
        if told is None:
            raise self._told(node, "it is given more tensors than in the eager step")
        if given in self._lost and given is not node:
            raise self._told(node, f"it reads {given}, over which {self._lost[given]} has written")
        whence = self._origin(given)
        if told.storage < 0:
            return
        fake = tensors_of(given)[0]
        key = storage_key(fake)
        if key in self._rebound:
            return  # eager's tensor lies in other memory since it was given another's
        if whence.told is not None:
            same = whence.told.storage == told.storage and whence.told.offset == told.offset
        else:
            same = self._serial.setdefault(key, told.storage) == told.storage
            same = same and (key in self._rebound or self._key.setdefault(told.storage, key) == key)
        shape = tuple(fake.shape)
        if told.shape != shape or strides_that_matter(shape, fake.stride()) != strides_that_matter(shape, told.stride):
            same = same and not fake.numel() and shape == told.shape
        if not same or name_of(fake.dtype) != told.dtype:
            raise self._told(
                node, f"{self._label(node)} is given {given} where the eager step reads another tensor ({told.text()})"
            )

    def _constant(self, node: Node, given: Any, told: Any, loose: bool) -> None:
        value = self._number(given) if isinstance(given, Node) else plain(given)
        if told is _NOTHING or not _same(value, told, loose):
            shown = "nothing" if told is _NOTHING else repr(told)
            raise self._told(node, f"{self._label(node)} is given {value!r}, in the eager step {shown}")

    def _results(self, node: Node, op: LoggedOp, accumulates: bool) -> None:
        index, count = node.meta.get(PART_KEY, (0, 1))
        made = tensors_of(node)
        told = op.results[index : index + 1] if count > 1 and op.results else op.results
        if len(made) != len(told) and made:
            raise self._told(node, f"{op.target} returns {len(made)} tensors, in the eager step {len(told)}")
        if len(made) == 1 and not isinstance(node.meta.get("val"), list | tuple):
            self._stands(node, _Whence(told[0]))
        for tensor, logged in zip(made, told, strict=False):
            if logged.storage < 0 or not tensor.numel():
                continue
            shape = tuple(tensor.shape)
            same = shape == logged.shape and name_of(tensor.dtype) == logged.dtype
            same = same and strides_that_matter(shape, tensor.stride()) == strides_that_matter(shape, logged.stride)
            key = storage_key(tensor)
            if op.accumulated and not accumulates:  # eager has written over what stands there; so nobody reads it
                self._lost.update((older, op.target) for older in self._there.get(self._key.get(logged.storage, 0), ()))
                self._lost.pop(node, None)
            if accumulates or op.accumulated:
                self._serial[key], self._key[logged.storage] = logged.storage, key
            same = same and self._serial.setdefault(key, logged.storage) == logged.storage
            same = same and (key in self._rebound or self._key.setdefault(logged.storage, key) == key)
            if key not in self._rebound:
                same = same and tensor.storage_offset() == logged.offset
            if not same:
                raise self._told(
                    node,
                    f"{op.target} returns {name_of(tensor.dtype)}{list(shape)} with strides {list(tensor.stride())} at "
                    f"{tensor.storage_offset()}, in the eager step {logged.text()} with strides {list(logged.stride)} "
                    f"at {logged.offset}, or in another place",
                )

    def _one_of_several(self, node: Node) -> None:
        maker, index = node.args
        position = maker.meta.get(LOG_KEY) if isinstance(maker, Node) else None
        if position is None or position == OWN or not isinstance(index, int):
            raise self._told(node, f"{node} is no result of an op of the eager step")
        assert isinstance(maker, Node)
        values, part = maker.meta["val"], maker.meta.get(PART_KEY, (0, 1))
        before = sum(isinstance(value, torch.Tensor) for value in values[:index])
        told = self._ops[position].results[(part[0] if part[1] > 1 else 0) + before]
        own, there = node.meta.get("val"), values[index]
        if isinstance(own, torch.Tensor) and not _one_form(own, there):
            raise self._told(node, f"{node} is not result {index} of {self._label(maker)}")
        self._stands(node, _Whence(told))

    def _untold(self, node: Node, label: str) -> None:
        """An op that computes nothing, or of capture's own: its result is its argument, or a new constant."""
        source = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        if label == "aten.copy_.default":  # target.data = value
            self._rebind(node)
        if source is None or label in _COPIES or not _is_tensor(source):
            self._stands(node, _Whence(root=node))
            return
        whence = self._origin(source)
        self._stands(node, whence)
        if source in self._lost:
            self._lost[node] = self._lost[source]
        own, there = node.meta.get("val"), source.meta.get("val")
        if label in UNTOLD and isinstance(own, torch.Tensor) and whence.told and not _one_form(own, there):
            raise self._told(node, f"{node} is not {source}")

    def _another_view(self, node: Node) -> None:
        """A view that eager made another way, or did not need: whoever reads it must be given what eager reads."""
        [source] = [one for one in node.all_input_nodes if _is_tensor(one)]
        whence, [made] = self._origin(source), tensors_of(node)
        if whence.told is not None:
            whence = _Whence(replace(whence.told, offset=int(made.storage_offset())))
        self._stands(node, whence)
        if source in self._lost:
            self._lost[node] = self._lost[source]

    def _stands(self, node: Node, whence: _Whence) -> None:
        self._whence[node] = whence
        for tensor in tensors_of(node):
            self._there.setdefault(storage_key(tensor), []).append(node)

    def _rebind(self, node: Node) -> None:
        target, value = node.args[:2]
        assert isinstance(target, Node)
        assert isinstance(value, Node)
        whence = self._origin(value)
        key = storage_key(tensors_of(target)[0])
        serial = whence.told.storage if whence.told is not None else self._serial.get(storage_key(tensors_of(value)[0]))
        self._rebound.add(key)
        if serial is not None:
            self._serial[key] = serial

    def _origin(self, node: Any) -> _Whence:
        return self._whence.get(node) or _Whence(root=node)

    def _number(self, node: Node) -> Any:
        """What an argument that is a number is in the step that eager ran."""
        if node not in self._numbers:
            self._numbers[node] = self._evaluated(node)
        return self._numbers[node]

    def _evaluated(self, node: Node) -> Any:
        if is_host(node):
            given = [self._number(one) if isinstance(one, Node) else one for one in node.args]
            return node.target(*given, **node.kwargs)  # type: ignore[operator]
        if node.op == "get_attr":  # a torch.Generator
            return plain(getattr(self._module, str(node.target)))
        position = node.meta.get(LOG_KEY, OWN)
        if position != OWN:
            return self._ops[position].answer
        value = node.meta.get("val")
        inner = getattr(value, "node", None)
        return plain(value) if inner is None else inner.hint

    def _told(self, node: Node, text: str) -> PartedError:
        where = node.meta.get(META_KEY)
        return _parted(where.source if where else None, node.meta.get(LOG_KEY, OWN), text)


_NOTHING = object()
_OWN_OPS = frozenset({"aten.as_strided.default", "aten.copy_.default"})


def _parted(source: str | None, position: int, text: str) -> PartedError:
    where = f"{source}: " if source else ""
    at = "" if position < 0 else f" (op {position})"
    return PartedError(
        f"{where}{text}{at}, so the plan would not train as eager does; train this step eagerly, and report it with "
        "the model"
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Node) and (isinstance(value.meta.get("val"), torch.Tensor))


def _one_form(one: torch.Tensor, other: Any) -> bool:
    return (
        isinstance(other, torch.Tensor)
        and one.dtype == other.dtype
        and one.shape == other.shape
        and storage_key(one) == storage_key(other)
        and one.stride() == other.stride()
        and one.storage_offset() == other.storage_offset()
    )


def _same(value: Any, told: Any, loose: bool) -> bool:
    """Equal to the last bit. `loose`: a whole number may be a float."""
    if type(value) is not type(told) and not loose:
        return False
    if isinstance(value, float) and isinstance(told, float) and math.isnan(value):
        return math.isnan(told)
    if value != told:
        return False
    return not isinstance(value, float) or math.copysign(1, value) == math.copysign(1, told)


def _has_effect(target: str) -> bool:
    """Whether an op of this name writes, or draws random numbers."""
    parts = target.split(".")
    try:
        op = getattr(getattr(getattr(torch.ops, parts[0]), parts[1]), parts[2])
    except (AttributeError, IndexError):
        return False
    return bool(op._schema.is_mutable) or torch.Tag.nondeterministic_seeded in op.tags
