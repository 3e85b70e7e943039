"""A trace as JSON and back: its graph, and what its inputs and results are among the objects that the step reaches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch.fx import Node

from roam_lab.capture.conditions import Condition, equals_constant, expression_holds
from roam_lab.capture.inputs import Input, batch_leaves, read_setting
from roam_lab.capture.sources.output import Output
from roam_lab.capture.sources.places import LeafPlace, OptimizerPlace, ValuePlace
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.sources.schedulers import stepping
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.stored.expressions import expression_from_data, expression_to_data, symbol_of
from roam_lab.capture.stored.graph import graph_from_data, graph_to_data
from roam_lab.capture.stored.places import Places
from roam_lab.capture.stored.values import value_from_data, value_to_data
from roam_lab.capture.torch_internals import pytree
from roam_lab.capture.trace import Trace
from roam_lab.capture.training_step import TrainingStep

_KINDS = ("parameter", "buffer", "gradient", "state", "setting", "batch", "python")


def trace_to_data(trace: Trace, training: TrainingStep, reachable: Reachable) -> dict[str, Any]:
    """`reachable`: from the step, as it is now. Raises NotStoredError, saying what cannot be kept."""
    _refuse(trace)
    objects = Places(training, reachable)
    nodes = {node: index for index, node in enumerate(trace.module.graph.nodes)}
    places = {found: index for index, found in enumerate(trace.inputs)}
    return {
        "graph": graph_to_data(trace.module, objects.path_of),
        "inputs": [_input_to_data(one) for one in trace.inputs],
        "symbols": [[expression_to_data(symbol), places[found]] for symbol, found in trace.symbols.items()],
        "guards": [expression_to_data(one) for one in trace.guards],
        "conditions": [_condition_to_data(one, nodes, places) for one in trace.conditions],
        "updated": list(trace.updated),
        "places": [objects.number_to_data(one) for one in trace.places],
        "filled": [objects.list_to_data(one) for one in trace.filled],
        "outputs": [_output_to_data(one, objects) for one in trace.outputs],
        "changed": sorted(trace.changed),
        "batch_constants": [[index, value_to_data(one)] for index, one in trace.batch_constants.items()],
        "cleared": sorted(trace.cleared),
        "skipped": sorted(trace.skipped),
        "loose": sorted(trace.loose),
        "stays": sorted(trace.stays),
        "unread": sorted(trace.unread),
        "begun": [[name, value_to_data(how)] for name, how in trace.begun.items()],
        "variables": sorted(map(os.fsdecode, trace.variables)),
    }


def _refuse(trace: Trace) -> None:
    """Raises NotStoredError for what is not kept yet."""
    if not trace.guided:
        raise NotStoredError("no eager step led its capture")
    if trace.scripted:
        raise NotStoredError("the step calls TorchScript")
    if trace.presumed:
        raise NotStoredError("the step makes values in its first run")
    bound = [*trace.carried, *(one for one in trace.places if isinstance(one, LeafPlace))]
    if bound:
        raise NotStoredError(f"the step reads {bound[0].path} and binds it anew")


def trace_from_data(data: Mapping[str, Any], training: TrainingStep, batch: Any, reachable: Reachable) -> Trace:
    """The trace that `trace_to_data` wrote, on the objects of this process.

    Raises NotStoredError, and what else Python raises for data of another form.
    """
    objects = Places(training, reachable)
    module = graph_from_data(data["graph"], objects.tensors.__getitem__)
    places = tuple(map(objects.number_at, data["places"]))
    nodes = list(module.graph.nodes)
    inputs = tuple(_input_from_data(one) for one in data["inputs"])
    placeholders = [node for node in nodes if node.op == "placeholder"]
    leaves = batch_leaves(batch)
    for node, found in zip(placeholders, inputs, strict=True):
        if node.meta["val"] is None:
            node.meta["val"] = _number(found, training, leaves, places)
    constants = [getattr(module, str(node.target)) for node in nodes if node.op == "get_attr"]
    own = {id(one) for one in constants}
    return Trace(
        module=module,
        inputs=inputs,
        guards=tuple(map(expression_from_data, data["guards"])),
        symbols={expression_from_data(symbol): inputs[place] for symbol, place in data["symbols"]},
        conditions=tuple(_condition_from_data(one, nodes, inputs) for one in data["conditions"]),
        updated=tuple(map(str, data["updated"])),
        held=tuple(
            (one, name, value)
            for one in training.model.modules()
            for name, value in vars(one).items()
            if id(value) in own
        ),
        guided=True,
        places=places,
        filled=tuple(map(objects.list_at, data["filled"])),
        outputs=tuple(_output_from_data(one, objects) for one in data["outputs"]),
        changed=frozenset(map(str, data["changed"])),
        batch_constants={int(index): value_from_data(one) for index, one in data["batch_constants"]},
        cleared=frozenset(map(str, data["cleared"])),
        skipped=frozenset(map(int, data["skipped"])),
        loose=frozenset(map(int, data["loose"])),
        stays=frozenset(map(str, data["stays"])),
        unread=frozenset(map(str, data["unread"])),
        begun={str(name): value_from_data(how) for name, how in data["begun"]},
        variables=frozenset(map(os.fsencode, data["variables"])),
    )


def _number(found: Input, training: TrainingStep, leaves: Sequence[Any], places: Sequence[ValuePlace]) -> Any:
    """The present value of an input that is a number."""
    if found.kind == "batch":
        return leaves[found.path[0]]
    if found.kind == "python":
        return places[found.path[0]].read()
    if found.kind == "setting":
        return float(read_setting(training.optimizers, found.path))
    raise NotStoredError(f"the input {found} in it is no tensor")


def _input_to_data(found: Input) -> list[Any]:
    return [found.kind, value_to_data(found.path)]


def _input_from_data(data: Any) -> Input:
    kind, path = data
    if kind not in _KINDS:
        raise NotStoredError(f"it holds an input that is a {kind}")
    return Input(kind, value_from_data(path))


def _condition_to_data(one: Condition, nodes: Mapping[Node, int], places: Mapping[Input, int]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "nodes": [nodes[node] for node in one.nodes],
        "settings": [places[found] for found in one.settings],
        "text": one.text,
        "source": one.source,
    }
    if one.expression is None:
        return {**data, "equals": value_to_data(one.constant)}
    return {**data, "holds": expression_to_data(one.expression), "symbols": [s.name for s in one.symbols]}


def _condition_from_data(data: Mapping[str, Any], nodes: Sequence[Node], inputs: Sequence[Input]) -> Condition:
    found = [nodes[index] for index in data["nodes"]], [inputs[place] for place in data["settings"]]
    if "equals" in data:
        constant = value_from_data(data["equals"])
        holds, how = equals_constant(constant), {"constant": constant}
    else:
        expression = expression_from_data(data["holds"])
        by_name = {symbol.name: symbol for symbol in expression.free_symbols}
        symbols = tuple(by_name.get(name) or symbol_of(name, integer=False) for name in data["symbols"])
        if len(symbols) != len(found[0]) + len(found[1]):
            raise NotStoredError("a condition in it is damaged")
        holds, how = expression_holds(expression, symbols), {"expression": expression, "symbols": symbols}
    source = None if data["source"] is None else str(data["source"])
    return Condition(tuple(found[0]), tuple(found[1]), holds, str(data["text"]), source, **how)


def _output_to_data(one: Output, objects: Places) -> dict[str, Any]:
    path: Any = one.place.path
    if one.how == "call" and path.removesuffix(".step") not in objects.schedulers:
        raise NotStoredError(f"each step does again what belongs to {path}")
    if one.how == "assign":
        numbers = isinstance(one.place, OptimizerPlace)
        path = objects.number_to_data(one.place) if numbers else objects.entry_to_data(one.place)
    elif one.how == "append":
        path = objects.list_to_data(one.place)
    of_batch = [[place, leaf] for place, leaf in one.of_batch.items()]
    return {"how": one.how, "path": path, "form": _form_to_data(one), "leaves": one.leaves, "of_batch": of_batch}


def _output_from_data(data: Mapping[str, Any], objects: Places) -> Output:
    how, path = data["how"], data["path"]
    function = None
    if how == "call":
        scheduler = objects.schedulers.get(str(path).removesuffix(".step"))
        if scheduler is None:
            raise NotStoredError(f"{path} is no scheduler's")
        place, function = ValuePlace(None, None, str(path)), stepping(scheduler)
    elif how == "assign":
        place = objects.entry_at(path) if isinstance(path, str) else objects.number_at(path)
    elif how == "append":
        place = objects.list_at(path)
    elif how in ("return", "leave", "switch"):
        place = ValuePlace(None, None, str(path))
    else:
        raise NotStoredError(f"it does {how}")
    leaves, spec = pytree.tree_flatten(_form_from_data(data["form"]))
    if len(leaves) != data["leaves"]:
        raise NotStoredError("a result in it is damaged")
    of_batch = {int(at): int(leaf) for at, leaf in data["of_batch"]}
    return Output(how, place, spec, len(leaves), function, of_batch)


def _form_to_data(one: Output) -> Any:
    """How a result's leaves are held: lists, tuples and dicts."""

    def form(value: Any) -> Any:
        if value is _LEAF:
            return "*"
        if type(value) in (list, tuple):
            return [type(value).__name__, [form(part) for part in value]]
        if type(value) is dict:
            return ["dict", [[value_to_data(key), form(part)] for key, part in value.items()]]
        raise NotStoredError(f"the step returns a {type(value).__name__}")

    return form(pytree.tree_unflatten([_LEAF] * one.leaves, one.spec))


_LEAF = object()


def _form_from_data(data: Any) -> Any:
    if data == "*":
        return _LEAF
    kind, parts = data
    if kind == "dict":
        return {value_from_data(key): _form_from_data(part) for key, part in parts}
    if kind not in ("list", "tuple"):
        raise NotStoredError("a result in it is damaged")
    inner = [_form_from_data(part) for part in parts]
    return inner if kind == "list" else tuple(inner)
