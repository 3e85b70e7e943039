"""The lines of a program: the source of ops and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.host_values import READ
from roam_lab.capture.moves import is_check
from roam_lab.capture.multi_tensor import joined
from roam_lab.capture.nodes import is_getitem, tensors_of
from roam_lab.capture.provenance import META_KEY
from roam_lab.capture.repeatable import SIDE_ARGUMENTS, updates_on_the_side
from roam_lab.capture.writers import Writer, find_writer
from roam_lab.runtime.program import OtherWayError, raising_other_way
from roam_lab.runtime.program_values import ProgramValues, plain_name


@dataclass
class ProgramLines(ProgramValues):
    """Adds methods that append the lines of ops."""

    def op(self, node: Node) -> None:
        """Append the line(s) of one op."""
        target = self.function(node.target)
        if not tensors_of(node):  # .item(), or a list written in place
            if is_check(node.target):
                otherwise = f"{self.constant(raising_other_way)}({target}, {len(self.otherwise)})"
                self.otherwise.append(f"{node.target} raises at {_line(node)}")
                self.lines.append(self.call(otherwise, node.args, dict(node.kwargs)))
                self.last_check = len(self.lines)
                return
            if node.target is READ and not node.users and node not in self.read_by_checks:
                return  # a number that is known before the step, or that no op needs: the host need not wait for it
            call = self.call(target, node.args, dict(node.kwargs))
            if node.users or node in self.read_by_checks:
                self.names[self.key(node)] = f"h{len(self.lines)}_{plain_name(node)}"
                call = f"{self.names[self.key(node)]} = {call}"
            self.lines.append(call)
            self.check(node)
            return
        mutable = node.target._schema.is_mutable  # type: ignore[union-attr]
        created = bool(self.creates[node])
        writer = find_writer(node) if created else None
        if mutable and not created:
            call = self.call(target, node.args, dict(node.kwargs))
            if self.is_static(node):
                self.lines.append(call)
            else:
                self.names[self.key(node)] = self.assign(node, call)
        elif writer is None:
            self.external(node, self.call(target, self.arguments(node), dict(node.kwargs)))
        else:
            self.written(node, writer)
        self.ran.add(node)

    def arguments(self, node: Node) -> Sequence[Any]:
        """The arguments of an op that allocates its results; an op that runs again must not update running
        statistics."""
        if node not in self.ran or not updates_on_the_side(node):
            return node.args
        names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
        return [None if name in SIDE_ARGUMENTS else given for name, given in zip(names, node.args, strict=False)]

    def call_of(self, nodes: Sequence[Node]) -> None:
        """Append one line that calls a multi-tensor op in place of these parts of it."""
        args, kwargs = joined(nodes)
        target = self.function(nodes[0].target)
        writer = find_writer(nodes[0]) if self.creates[nodes[0]] else None
        if nodes[0].target._schema.is_mutable:  # type: ignore[union-attr]
            self.lines.append(self.call(target, args, kwargs))
        elif writer is not None:
            outs = ", ".join(self.out(node, 0) for node in nodes)
            function = self.function(writer.function)
            self.lines.append(self.call(function, args, kwargs, first=f"({outs},)"))
        else:
            names = [f"v{len(self.lines)}_{index}_{plain_name(node)}" for index, node in enumerate(nodes)]
            self.lines.append(f"{', '.join(names)}, = {self.call(target, args, kwargs)}")
            for node, name in zip(nodes, names, strict=True):
                self.results(node, [name])

    def check(self, node: Node) -> None:
        """Append the checks of those conditions inside the step whose last number, in captured order, this op reads."""
        for index, condition in enumerate(self.inside):
            if condition.nodes[-1] is not node:
                continue
            values = [self.names[self.key(read)] for read in condition.nodes]
            values += [self.names[self.key(self.node_of[found])] for found in condition.settings]
            holds = f"{self.constant(condition.holds)}({', '.join(values)})"
            self.lines.append(f"if not {holds}: raise {self.constant(OtherWayError)}({index})")
            self.last_check = len(self.lines)

    def external(self, node: Node, call: str) -> None:
        """Append an op that allocates its results; each gets a variable, which can be deleted at its own end."""
        if not isinstance(node.meta["val"], (list, tuple)):
            self.names[self.key(node)] = self.assign(node, call)
            return
        names = [f"v{len(self.lines)}_{index}_{plain_name(node)}" for index in range(len(node.meta["val"]))]
        self.lines.append(f"{', '.join(names)}{',' if len(names) == 1 else ''} = {call}")
        self.results(node, names)

    def results(self, node: Node, names: Sequence[str]) -> None:
        """Note the variables of an op's results, so that each can be deleted with its storage."""
        storages = iter(self.storage_of[node])
        for index, value in enumerate(node.meta["val"]):
            storage = self.where(next(storages)) if isinstance(value, torch.Tensor) else None
            if storage is not None:
                self.locals_of.setdefault(storage, []).append(names[index])
            for user in node.users:
                if is_getitem(user) and user.args[1] == index:
                    self.names[self.key(user)] = names[index]

    def written(self, node: Node, writer: Writer) -> None:
        """Append an op that writes its results into their places."""
        if writer.function is None:
            return
        value = node.meta["val"]
        made = value if isinstance(value, (list, tuple)) else [value]
        outs = ["None" if one is None else self.out(node, index) for index, one in enumerate(made)]
        if writer.names:
            named = [f"{name}={out}" for name, out in zip(writer.names, outs, strict=True)]
            self.lines.append(
                self.call(self.function(writer.function), self.arguments(node), dict(node.kwargs), *named)
            )
        else:
            function = self.function(writer.function)
            self.lines.append(
                self.call(function, self.arguments(node), dict(node.kwargs), first=f"({', '.join(outs)},)")
            )


def _line(node: Node) -> str:
    where = node.meta.get(META_KEY)
    return (where.source if where else None) or "its code"
