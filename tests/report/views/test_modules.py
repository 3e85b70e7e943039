"""The module tree: nothing is lost in it, repeated modules fold, and it folds whatever a graph leaves out."""

import pytest

from roam_lab.ir import Graph, Op, Storage, captured_order, live_peak
from roam_lab.report.views.folding import MOST_CELLS, cells, first_opened, rows, toggled
from roam_lab.report.views.modules import MOST_CHILDREN, MOST_DEPTH, OWN, module_tree
from roam_lab.report.views.places import places
from tests.plan.graphs import empty, random_graph
from tests.report.views.graphs import KIB, bare_of_places, blocks


def tree(graph):
    return module_tree(graph, captured_order(graph))


def named(found, label):
    return next(number for number, node in enumerate(found.nodes) if node.label == label)


@pytest.mark.parametrize(
    "graph",
    [
        blocks(1),
        blocks(12),
        blocks(40),
        bare_of_places(blocks(12)),
        empty(),
        *(random_graph(seed, 20) for seed in range(8)),
    ],
    ids=lambda graph: f"{graph.name}{len(graph.ops)}",
)
def test_sums_agree_with_the_graph(graph):
    found = tree(graph)
    created = {storage for op in graph.ops for storage in op.creates}
    assert sum(found.nodes[0].ops) == len(graph.ops)
    assert sum(found.nodes[0].bytes) == sum(graph.storages[storage].bytes for storage in created)
    assert sum(found.nodes[0].kept) == sum(kept.bytes for kept in found.kept)
    for node in found.nodes:
        for field in ("ops", "bytes", "kept", "held"):
            parts = [getattr(found.nodes[child], field) for child in node.children]
            if parts:
                assert getattr(node, field) == tuple(map(sum, zip(*parts, strict=True)))
    assert sum(found.nodes[0].held) == live_peak(graph, captured_order(graph)).bytes


def test_kept_bytes_are_those_that_a_later_phase_touches():
    graph = blocks(3, width=2)
    known = places(graph)
    expected = 0
    for storage, info in enumerate(graph.storages):
        phases = {known.phase[op] for op in graph.users[storage]}
        expected += info.bytes if len(phases) > 1 else 0
    assert sum(kept.bytes for kept in tree(graph).kept) == expected
    forward = [kept for kept in tree(graph).kept if (kept.from_phase, kept.to_phase) == (0, 1)]
    assert sum(kept.bytes for kept in forward) == 3 * (1 + 2) * KIB + 4  # each block's two, and the loss


def test_repeated_blocks_fold_into_one_node():
    found = tree(blocks(12))
    group = found.nodes[named(found, "net.h.0–11 ×12")]
    assert group.repeats == 12
    assert [found.nodes[child].label for child in group.children] == [f"h.{number}" for number in range(12)]
    assert group.ops == (48, 48, 12)


def test_long_runs_open_by_parts_and_no_node_has_too_many_children():
    found = tree(blocks(48))
    group = found.nodes[named(found, "net.h.0–47 ×48")]
    assert [found.nodes[child].label for child in group.children] == [
        "h.0–11 ×12",
        "h.12–23 ×12",
        "h.24–35 ×12",
        "h.36–47 ×12",
    ]
    assert max(len(node.children) for node in found.nodes) <= MOST_CHILDREN


@pytest.mark.parametrize("count", [17, 200, 1200])
def test_no_module_opens_into_more_than_a_screenful(count):
    alike = tree(blocks(count, width=2))
    ops = tuple(Op(f"op_{n}", "t", (), (), (), "forward", f"net.layer_{n}") for n in range(count))
    different = tree(Graph("different", (), ops))
    for found in (alike, different):
        assert max(len(node.children) for node in found.nodes) <= MOST_CHILDREN
    assert sum(not node.children for node in different.nodes) == count
    group = named(alike, f"net.h.0–{count - 1} ×{count}")
    assert alike.nodes[group].repeats == count


def test_modules_that_differ_do_not_fold():
    graph = blocks(3)
    odd = Op("odd", "t", (), (), (), "forward", "net.h.1.extra")
    found = tree(Graph("odd", graph.storages, (*graph.ops, odd)))
    assert not any("×" in node.label for node in found.nodes)


def test_numbered_layers_fold_only_if_they_run_the_same():
    ops = tuple(
        Op(f"op_{n}", target, (), (), (), "forward", f"net.{n}") for n, target in enumerate(("conv", "relu", "relu"))
    )
    found = tree(Graph("layers", (), ops))
    assert [found.nodes[child].label for child in found.nodes[0].children] == ["net.0", "net.1–2 ×2"]


def test_own_ops_stand_beside_the_children():
    ops = (Op("a", "t", (), (), (), "forward", "net"), Op("b", "t", (), (), (), "forward", "net.inner"))
    found = tree(Graph("own", (), ops))
    assert [found.nodes[child].label for child in found.nodes[0].children] == [f"net {OWN}", "inner"]


def test_updates_belong_to_the_module_whose_gradient_they_take():
    graph = blocks(2)
    known = places(graph)
    updates = [known.module[index] for index, op in enumerate(graph.ops) if op.phase == "update"]
    assert updates == ["net.h.1.attn", "net.h.0.attn"]


def test_an_update_that_touches_nothing_belongs_with_the_op_that_needs_it():
    graph = blocks(1)
    gradient = next(index for index, op in enumerate(graph.ops) if op.phase == "update")
    count = len(graph.ops)
    root = Op("sqrt", "aten.sqrt.default", (), (len(graph.storages),), (), "update", "")
    use = Op("div", "aten.div.Tensor", (count, gradient), (), graph.ops[gradient].creates, "update", "")
    whole = Graph("root", (*graph.storages, Storage(KIB)), (*graph.ops, root, use))
    assert places(whole).module[-2:] == ("net.h.0.attn", "net.h.0.attn")


def test_an_op_of_two_modules_belongs_to_the_larger_storage():
    storages = (Storage(KIB), Storage(8 * KIB), Storage(KIB))
    ops = (
        Op("small", "t", (), (0,), (), "forward", "net.small"),
        Op("large", "t", (), (1,), (), "forward", "net.large"),
        Op("both", "t", (0, 1), (2,), (0, 1), "backward", ""),
    )
    assert places(Graph("two", storages, ops)).module[2] == "net.large"


def test_a_graph_without_places_is_cut_into_even_parts_and_says_so():
    graph = bare_of_places(blocks(40))
    known = places(graph)
    assert "guessed" in known.guessed
    assert "no modules" in known.guessed
    assert "inferred" in known.guessed
    assert [known.phase.count(phase) for phase in range(3)] == [161, 160, 40]
    assert places(blocks(40)).guessed == ""
    assert len(rows(tree(graph), first_opened(tree(graph)))) > 4


def test_deep_paths_end_somewhere():
    ops = tuple(Op(f"op_{n}", "t", (), (), (), "forward", ".".join(["a", "b"] * 5000 + [str(n)])) for n in range(2))
    other = Op("other", "t", (), (), (), "forward", "a.c")
    found = tree(Graph("deep", (), (*ops, other)))
    assert sum(found.nodes[0].ops) == 3
    assert max(node.path.count(".") for node in found.nodes) < MOST_DEPTH


def test_the_peak_stands_where_its_op_does():
    graph = blocks(4)
    order = captured_order(graph)
    found = module_tree(graph, order)
    op = order[live_peak(graph, order).step]
    assert found.peak == (int(found.leaf_of_op[op]), found.places.phase[op])


def test_the_storage_of_each_cell():
    graph = blocks(2)
    found = tree(graph)
    for storage, creator in enumerate(graph.creator):
        leaf, phase = divmod(int(found.cell_of_storage[storage]), 3)
        assert (leaf, phase) == (int(found.leaf_of_op[creator]), found.places.phase[creator])
    for number, node in enumerate(found.nodes):
        for phase in range(3):
            if node.largest[phase] >= 0 and not node.children:
                mine = [s for s in range(len(graph.storages)) if found.cell_of_storage[s] == 3 * number + phase]
                assert graph.storages[node.largest[phase]].bytes == max(graph.storages[s].bytes for s in mine)


@pytest.mark.parametrize("count", [12, 200, 1200])
def test_ten_thousand_ops_stay_within_eighty_cells(count):
    graph = blocks(count)
    found = tree(graph)
    assert cells(found, rows(found, first_opened(found))) <= MOST_CELLS
    opened = first_opened(found)
    for number, node in enumerate(found.nodes[:400]):
        if node.children:
            opened = toggled(found, opened, number)
            assert cells(found, rows(found, opened)) <= MOST_CELLS
    assert (len(graph.ops) > 10_000) == (count == 1200)


def test_opening_and_folding_again():
    found = tree(blocks(12))
    group = named(found, "net.h.0–11 ×12")
    assert group not in first_opened(found, most_rows=4)
    opened = toggled(found, (), group)
    assert len(rows(found, opened)) == 13
    block = found.nodes[group].children[3]
    deeper = toggled(found, opened, block)
    assert len(rows(found, deeper)) == 14
    assert toggled(found, deeper, group) == ()  # folds what is open inside, too
    leaf = found.nodes[block].children[0]
    assert toggled(found, deeper, leaf) == deeper


def test_what_was_opened_first_makes_room():
    found = tree(blocks(12))
    opened = (named(found, "net.h.0–11 ×12"),)
    for child in found.nodes[opened[0]].children:
        opened = toggled(found, opened, child, most_cells=42)
    assert opened[0] == named(found, "net.h.0–11 ×12")
    assert len(opened) < 13
    assert cells(found, rows(found, opened)) <= 42
