"""What is alive at a step, grouped; who needs a storage; phases on the axis; ticks that name real steps."""

from dataclasses import replace
from itertools import pairwise, zip_longest
from xml.etree import ElementTree

import numpy as np
import pytest

from roam_lab.ir import Graph, Op, Storage, captured_order, live_curve
from roam_lab.plan import make_plan
from roam_lab.report.views.alive import alive_view
from roam_lab.report.views.axis import axis
from roam_lab.report.views.details import details, text_of, time_text
from roam_lab.report.views.groups import grouped, operator_of, pattern_of
from roam_lab.report.views.icicle import EVERYTHING, THINNEST, icicle_view
from roam_lab.report.views.look import KINDS, SPARE, ink_on, pale
from roam_lab.report.views.needs import AGAIN, needs
from roam_lab.report.views.phases import CELLS, MIXED, phase_bands
from roam_lab.report.views.phases import THINNEST as THINNEST_BAND
from roam_lab.report.views.places import kinds, places
from tests.plan.graphs import empty, random_graph
from tests.report.figures.test_figures import contrast
from tests.report.graphs import branches
from tests.report.views.graphs import bare_of_places, blocks, scalars, stacked_plan
from tests.rewrite.graphs import blocks as rewritable


def test_patterns_and_operators():
    assert pattern_of("transformer.h.11.attn.c_proj") == "transformer.h.*.attn.c_proj"
    assert pattern_of("layer1.0.conv2") == "layer1.*.conv2"  # conv1 and conv2 stay apart
    assert pattern_of("0.linear1") == "*.linear1"
    assert [pattern_of(path) for path in ("0", "1", "3.1")] == ["0", "1", "3.1"]  # of a bare Sequential: "*" names none
    assert pattern_of("") == "loss and step"
    targets = {"aten.addmm.default": "addmm", "aten.mul.Tensor": "mul", "roam.copy": "copy", "step": "step"}
    for target, name in targets.items():
        assert operator_of(Op("x", target)) == name


def test_without_modules_the_same_operators_of_a_phase_are_one():
    graph = bare_of_places(blocks(100))
    known = places(graph)
    found = grouped(graph, known, kinds(graph, known))
    assert {group.pattern for group in found.groups} == {"forward", "backward", "update"}
    assert len(found.groups) < 10
    (side, _) = alive_view(make_plan(graph)).sides
    assert not any(bar.kind == "the rest" for bar in side.bars)  # no grey bar of nearly everything


def test_every_storage_is_in_the_group_of_what_made_it():
    graph = blocks(12)
    known = places(graph)
    found = grouped(graph, known, kinds(graph, known))
    attention = [group for group in found.groups if group.pattern == "net.h.*.attn"]
    assert {(group.op, group.kind) for group in attention} >= {("mm", "activation")}
    number = found.groups.index(next(group for group in attention if group.kind == "activation"))
    assert int((found.of_storage == number).sum()) == 24  # two a block


@pytest.mark.parametrize(
    "graph", [blocks(12), bare_of_places(blocks(3)), branches(), random_graph(4, 20)], ids=lambda graph: graph.name
)
def test_at_every_step_the_boxes_are_the_live_bytes(graph):
    plan = make_plan(graph)
    view = icicle_view(plan)
    assert view.step == view.peak_step == int(live_curve(graph, plan.order).argmax())
    for step, live in enumerate(live_curve(graph, plan.order).tolist()):
        boxes = view.at(step)
        assert boxes[0].bytes == live
        for box in boxes:
            if box.level < 3 and (box.level == 0 or box.node != EVERYTHING):
                below = [one for one in boxes if one.level == box.level + 1]
                inside = [one for one in below if box.left <= (one.left + one.right) / 2 <= box.right]
                assert sum(one.bytes for one in inside) == box.bytes
        assert all(0 <= box.left <= box.right <= 1 + 1e-9 for box in boxes)
        assert all(box.kind != "unknown" or "unknown" in view.kinds for box in boxes if box.count)


def test_boxes_do_not_jump_and_zoom_fills_the_width():
    plan = make_plan(blocks(12))
    view = icicle_view(plan)
    for step in range(len(plan.order)):
        nodes = [box.node for box in view.at(step) if box.level == 1 and box.node != EVERYTHING]
        assert nodes == sorted(nodes)
    at_peak = [box.bytes for box in view.boxes if box.level == 1 and box.node != EVERYTHING]
    assert at_peak == sorted(at_peak, reverse=True)
    group = next(box for box in view.boxes if box.level == 2)
    for focus in (0, group.node):
        shown = [box for box in view.at(view.step, focus) if box.level == (1 if focus == 0 else 2)]
        assert [(box.left, box.right) for box in shown] == [(0.0, 1.0)]


def test_a_large_step_has_few_boxes_and_none_is_too_narrow():
    view = icicle_view(stacked_plan(blocks(1200)))
    assert len(view.boxes) < 3 / THINNEST
    assert min(box.right - box.left for box in view.boxes if box.node != EVERYTHING) >= THINNEST * 0.999
    assert "smaller" in {word for box in view.boxes for word in box.label.split()}
    assert sum(row[4] for row in view.table.rows) == view.tensors.live_bytes[view.step]
    ElementTree.fromstring(view.table.html())
    assert "net.h.*.mlp" in view.alt


def test_no_ops_nothing_alive():
    view = icicle_view(make_plan(empty()))
    assert [box.level for box in view.boxes] == [0]
    assert "no ops" in view.alt
    assert view.table.rows == ()


def test_repeated_modules_are_one_bar():
    planned = alive_view(make_plan(blocks(20)), shown=2).sides[-1]
    assert planned.bars[0].label == "mm ×40 · net.h.*.mlp"
    assert planned.bars[0].count == len(planned.bars[0].members) == 40
    assert planned.bars[0].bytes == sum(1024 * (1 + part) for part in (2, 3)) * 20
    assert planned.bars[-1].storage == -1


def made(**message):
    """An op that makes storage 1 of storage 0, then one that reads it, then one that writes into 0 and reads 1."""
    storages = (Storage(64), Storage(64, output=message.pop("output", False)), Storage(64))
    ops = [
        Op("first", "a.b.c", (), (0,), pure=True),
        Op("maker", "a.b.c", (0,), (1,), (0,), **{"pure": True, "time_us": 250.0, **message}),
        Op("reader", "a.b.c", (1,), (2,), (1,), pure=True, time_us=750.0),
        Op("writer", "a.b.c", (2,), (), (0,), writes=(0,), pure=False),
        Op("last", "a.b.c", (3,), (), (1, 2), pure=True),
    ]
    return Graph("again", storages, tuple(ops))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({}, "what it is made of is changed in place before it is needed last"),
        ({"pure": None}, "does not say whether"),
        ({"pure": False}, "its op changes what other ops see"),
        ({"random": True}, "draws random numbers"),
        ({"output": True}, "leaves the step"),
    ],
)
def test_why_a_storage_cannot_be_made_again(message, why):
    graph = made(**message)
    found = needs(graph, captured_order(graph))
    assert why in AGAIN[found.again[1]]


def test_who_needs_a_storage_and_what_it_costs_to_free_it():
    graph = made()
    ops = [op if op.name != "writer" else replace(op, reads=(), writes=()) for op in graph.ops]
    ops = [replace(op, module="net") for op in ops]
    graph = replace(graph, ops=tuple(ops), times="measured")
    known = icicle_view(make_plan(graph, order="captured")).tensors
    assert known.needs.after(1, 1) == [2, 4]
    rows = dict(details(known, 1, 2))
    assert "code" not in rows
    assert dict(details(known, 1, 2, lambda source: f"code at {source}"))["code"] == f"code at {known.source(1)}"
    assert rows["needed by"] == "1 op: last (net, forward) at step 5"
    assert rows["if freed"] == "can be made again from its 1 input: 250.0 µs, 25.00 % of the step, measured"
    assert rows["lives"] == "steps 2 to 5 of 5; alive at step 3"
    assert dict(details(known, 1, 0))["needed by"].startswith("2 ops: next reader (net, forward) at step 3, last last")
    assert dict(details(known, 0, 4))["needed by"] == "no op any more"
    assert text_of(details(known, -1, 0)).startswith("Nothing selected")
    assert time_text(1250) == "1.25 ms"


def halves(graph, late):
    """Backward and update of an order."""
    return [[index for index in late if graph.ops[index].phase == phase] for phase in ("backward", "update")]


def test_phases_lie_behind_the_whole_axis():
    graph = blocks(12)
    order = captured_order(graph)
    bands = phase_bands(places(graph), order, axis(graph, order))
    assert [band.phase for band in bands] == ["forward", "backward", "update"]
    assert bands[0].left == 0
    assert bands[-1].right == axis(graph, order).end
    assert all(one.right == other.left for one, other in pairwise(bands))
    late = [index for index in order if graph.ops[index].phase != "forward"]
    turns = [
        *order[: len(order) - len(late)],
        *(one for pair in zip_longest(*halves(graph, late)) for one in pair if one is not None),
    ]
    found = phase_bands(places(graph), turns, axis(graph, turns))
    assert [band.phase for band in found][:2] == ["forward", "backward and update"]
    assert found[1].main == "backward"
    mixed = np.random.default_rng(0).permutation(len(order)).tolist()  # no legal order: phases only
    fence = phase_bands(places(graph), mixed, axis(graph, mixed))
    assert len(fence) <= CELLS / THINNEST_BAND
    assert phase_bands(places(empty()), (), axis(empty(), ())) == ()


def test_turns_of_backward_with_and_without_updates_are_one_band():
    """Both have one colour; a band of each turn had its name over the next one's."""
    graph = rewritable(40)
    begin = next(index for index, op in enumerate(graph.ops) if op.phase != "forward") + 1
    of_block = [range(begin + 4 * number, begin + 4 * number + 4) for number in range(40)]  # an update is the last
    order = list(range(begin))
    for at in range(0, 40, 10):
        ten = of_block[at : at + 10]
        order += [op for block in ten[:5] for op in block[:3]]
        pairs = zip_longest([op for block in ten[5:] for op in block[:3]], [block[3] for block in ten])
        order += [op for pair in pairs for op in pair if op is not None]
    bands = phase_bands(places(graph), order, axis(graph, order, "steps"))
    assert [band.phase for band in bands] == ["forward", MIXED]


def test_ticks_are_real_steps_where_they_begin():
    graph = scalars(398)
    order = captured_order(graph)
    folded = axis(graph, order)
    assert folded.counts_steps
    assert folded.ticks(8) == [(1.0, "50")]  # the first is at the left edge, all others stand where this one does
    assert [folded.step_at(x) for x in (0.5, 1.5)] == [0, 399]
    even = axis(graph, order, "steps")
    assert [text for _, text in even.ticks(8)] == ["50", "100", "150", "200", "250", "300", "350", "400"]
    assert [x for x, _ in even.ticks(8)] == [step - 1 for step in range(50, 401, 50)]
    assert not axis(graph, order, "bytes").counts_steps


def test_words_on_every_kind_are_read():
    for look in (*KINDS.values(), *SPARE):
        for fill in (look.light, pale(look)):
            assert contrast(fill, ink_on(fill)) >= 4.5, look
