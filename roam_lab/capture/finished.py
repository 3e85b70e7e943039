"""Compares the finished graph with the op log of the eager step, op by op and tensor by tensor.

The guide checks the trace; it does not see the passes that split, accumulate and drop ops afterwards. Here every node
must still be its op of the log: same target, same numbers, reading the same results, writing the same storages. Allowed
differences: multi-tensor ops split into one a parameter, gradients added in place where eager adds into a new tensor,
ops that compute nothing or only move data (`moves`), and ops that capture adds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from roam_lab.capture.constants import in_sequence, name_of, plain
from roam_lab.capture.guide import NOT_COMPARED, compared_ops, is_compared
from roam_lab.capture.host_values import READ
from roam_lab.capture.logged_storages import LoggedStorages, Whence
from roam_lab.capture.moves import MOVED, has_effect, is_view, writes
from roam_lab.capture.nodes import is_getitem, is_host, storage_key, tensors_of
from roam_lab.capture.provenance import LOG_KEY, META_KEY, OWN, PART_KEY
from roam_lab.errors import PartedError
from roam_lab.ir.op_log import LoggedOp, LoggedTensor, OpLog

_COPIES = frozenset({"aten.lift_fresh_copy.default"})
_SUMS = {"aten.add_.Tensor": "aten.add.Tensor"}


def compare_with_log(
    module: GraphModule,
    log: OpLog,
    checked: Collection[Node] = (),
    skipped: Collection[int] = (),
    loose: Collection[int] = (),
) -> LoggedStorages:
    """Returns which storage of the log each storage of the graph is. Raises PartedError, naming op and the user's line,
    at the first node that differs from its op, and where an op that writes tensors or draws random numbers is missing.

    `module`: traced with this log as its guide, before or after the passes of capture. `checked`: the nodes whose
    numbers are in conditions; any other number that is read must be used by a node. `skipped`, `loose`: see Guide.
    """
    return _Comparison(compared_ops(log), checked, skipped, loose).run(module)


class _Comparison:
    """One walk through the nodes of a graph, along the log."""

    def __init__(
        self, ops: list[LoggedOp], checked: Collection[Node], skipped: Collection[int], loose: Collection[int]
    ) -> None:
        self._ops, self._checked = ops, frozenset(checked)
        self._skipped, self._loose = frozenset(skipped), frozenset(loose)
        self._names: dict[Any, str] = {}
        self._seen: dict[int, int] = {}
        self._storages = LoggedStorages()
        self._numbers: dict[Node, Any] = {}
        self._last = -1

    def run(self, module: GraphModule) -> LoggedStorages:
        self._module = module
        for node in module.graph.nodes:
            if node.op == "call_function" and not is_host(node):
                self._visit(node)
        for index, op in enumerate(self._ops):
            if index not in self._seen and index not in self._skipped and (op.accumulated or has_effect(op.target)):
                raise _parted(op.source, index, f"{op.target} is missing in the captured step")
        return self._storages

    def _visit(self, node: Node) -> None:
        if is_getitem(node):
            self._one_of_several(node)
            return
        label = self._label(node)
        position = node.meta.get(LOG_KEY)
        if position == MOVED:
            self._moved(node, label)
            return
        if position is None or position == OWN:
            if is_compared(label) and not (position == OWN and label in _OWN_OPS):
                raise self._error(node, f"the captured step runs {label}, which the eager step does not")
            self._uncompared(node, label)
            return
        op = self._ops[position]
        accumulates = label != op.target and _SUMS.get(label) == op.target
        if label != op.target and not accumulates:
            raise self._error(node, f"the captured step runs {label}, the eager step {op.target}")
        self._in_sequence(node, position)
        self._arguments(node, op, swapped=accumulates)
        if node.target is READ and not node.users and node not in self._checked:
            raise self._error(node, "nothing looks at the number that is read here")
        self._results(node, op, accumulates)

    def _moved(self, node: Node, label: str) -> None:
        """Check an op that only moves data and that eager did not run: its result must hold what eager reads."""
        sources = [one for one in node.all_input_nodes if _is_tensor(one)]
        if is_view(node.target):
            self._storages.stands_as_view(node, sources[0])
        elif writes(label):
            if self._storages.origin(sources[0]).logged is not None:
                raise self._error(node, f"the captured step runs {label}, which the eager step does not")
            self._storages.stands_as(node, sources[0])
        else:
            self._storages.stands(node, Whence(root=node))

    def _label(self, node: Node) -> str:
        label = self._names.get(node.target)
        if label is None:
            label = self._names[node.target] = str(node.target)
        return label

    def _in_sequence(self, node: Node, position: int) -> None:
        index, count = node.meta.get(PART_KEY, (0, 1))
        done = self._seen.get(position, 0)
        if position < self._last or done != index:
            raise self._error(node, f"{self._ops[position].target} does not run in the eager step's sequence")
        self._seen[position] = done + 1
        self._last = position
        following = node.next
        if index + 1 < count and (following.meta.get(LOG_KEY) != position):
            raise self._error(node, f"a part of {self._ops[position].target} is missing")

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
            raise self._error(node, f"{op.target} is given less than in the eager step")

    def _sum(self, node: Node, op: LoggedOp) -> None:
        """Check a sum of two gradients that is written into one of them, which no later node may read."""
        first, second = node.args
        read = op.arguments
        if self._storages.is_result(first, read[1]) and not self._storages.is_result(first, read[0]):
            first, second = second, first
        self._reads(node, first, read[0])
        self._reads(node, second, read[1])
        target = node.args[0]
        assert isinstance(target, Node)
        self._storages.overwrite(storage_key(tensors_of(target)[0]), op.target)

    def _reads(self, node: Node, given: Any, logged: LoggedTensor | None) -> None:
        """Check that the argument is the tensor that eager read."""
        if logged is None:
            raise self._error(node, "it is given more tensors than in the eager step")
        lost = self._storages.lost
        if given in lost and given is not node:
            raise self._error(node, f"it reads {given}, over which {lost[given]} has written")
        if node.meta.get(LOG_KEY) not in self._loose and not self._storages.agrees(given, logged):
            other = f"where the eager step reads another tensor ({logged.text()})"
            raise self._error(node, f"{self._label(node)} is given {given} {other}")

    def _constant(self, node: Node, given: Any, logged: Any, loose: bool) -> None:
        value = self._number(given) if isinstance(given, Node) else plain(given)
        if logged is _NOTHING or not _same(value, logged, loose):
            shown = "nothing" if logged is _NOTHING else repr(logged)
            raise self._error(node, f"{self._label(node)} is given {value!r}, in the eager step {shown}")

    def _results(self, node: Node, op: LoggedOp, accumulates: bool) -> None:
        index, count = node.meta.get(PART_KEY, (0, 1))
        made = tensors_of(node)
        expected = op.results[index : index + 1] if count > 1 and op.results else op.results
        if len(made) != len(expected) and made:
            raise self._error(node, f"{op.target} returns {len(made)} tensors, in the eager step {len(expected)}")
        if len(made) == 1 and not isinstance(node.meta.get("val"), list | tuple):
            self._storages.stands(node, Whence(expected[0]))
        for tensor, logged in zip(made, expected, strict=False):
            if logged.storage < 0 or not tensor.numel():
                continue
            if op.accumulated and not accumulates:  # eager has overwritten that tensor, so no later op of it reads it
                self._storages.overwrite_logged(logged, op.target)
                self._storages.lost.pop(node, None)
            if not self._storages.agrees_as_result(tensor, logged, moved=accumulates or op.accumulated):
                raise self._error(
                    node,
                    f"{op.target} returns {name_of(tensor.dtype)}{list(tensor.shape)} with strides "
                    f"{list(tensor.stride())} at {tensor.storage_offset()}, in the eager step {logged.text()} with "
                    f"strides {list(logged.stride)} at {logged.offset}, or in another place",
                )

    def _one_of_several(self, node: Node) -> None:
        maker, index = node.args
        position = maker.meta.get(LOG_KEY) if isinstance(maker, Node) else None
        if position is None or position == OWN or not isinstance(index, int):
            raise self._error(node, f"{node} is no result of an op of the eager step")
        assert isinstance(maker, Node)
        values, part = maker.meta["val"], maker.meta.get(PART_KEY, (0, 1))
        before = sum(isinstance(value, torch.Tensor) for value in values[:index])
        logged = self._ops[position].results[(part[0] if part[1] > 1 else 0) + before]
        own, there = node.meta.get("val"), values[index]
        if isinstance(own, torch.Tensor) and not _one_form(own, there):
            raise self._error(node, f"{node} is not result {index} of {self._label(maker)}")
        self._storages.stands(node, Whence(logged))

    def _uncompared(self, node: Node, label: str) -> None:
        """Check an op that computes nothing, or that capture added: its result is its argument, or a new constant."""
        source = node.args[0] if node.args and isinstance(node.args[0], Node) else None
        if label == "aten.copy_.default":  # target.data = value
            target, value = node.args[:2]
            assert isinstance(target, Node)
            assert isinstance(value, Node)
            self._storages.rebind(target, value)
        if source is None or label in _COPIES or not _is_tensor(source):
            self._storages.stands(node, Whence(root=node))
            return
        self._storages.stands_as(node, source)
        own, there = node.meta.get("val"), source.meta.get("val")
        known = self._storages.origin(source).logged is not None
        if label in NOT_COMPARED and isinstance(own, torch.Tensor) and known and not _one_form(own, there):
            raise self._error(node, f"{node} is not {source}")

    def _number(self, node: Node) -> Any:
        """The value in the eager step of a number given as argument."""
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

    def _error(self, node: Node, text: str) -> PartedError:
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


def _same(value: Any, logged: Any, loose: bool) -> bool:
    """Whether two numbers are equal to the last bit. `loose`: a float may stand for an equal whole number."""
    if type(value) is not type(logged) and not loose:
        return False
    if isinstance(value, float) and isinstance(logged, float) and math.isnan(value):
        return math.isnan(logged)
    if value != logged:
        return False
    return not isinstance(value, float) or math.copysign(1, value) == math.copysign(1, logged)
