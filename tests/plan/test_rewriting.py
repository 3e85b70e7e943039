"""A rewritten graph keeps its order and its peak, and its arena is hardly more."""

import re
from dataclasses import replace
from itertools import accumulate

import pytest

from roam_lab import registry
from roam_lab.errors import FormatError, InfeasibleError, JudgementError, ParameterError
from roam_lab.ir import (
    Graph,
    Layout,
    Op,
    Origin,
    Rewritten,
    Storage,
    captured_order,
    check_layout,
    fingerprint,
    lifetimes,
    load_graph,
)
from roam_lab.ir.graph import Device
from roam_lab.ir.rewritten import untouched
from roam_lab.order.bound import lower_bound
from roam_lab.plan import make_plan, rewriting
from roam_lab.plan.plan import Rewrite
from roam_lab.plan.rewriting import CLOSE, Placing, place
from roam_lab.registry import Parameter, Strategy, find
from roam_lab.rewrite.frontier import frontier
from roam_lab.rewrite.kinds import KINDS
from roam_lab.rewrite.points import Found, Point
from tests.captured import DATA
from tests.rewrite.graphs import Writer, blocks, judged, random_step


def test_every_point_is_placed_in_the_order_that_it_was_planned_for():
    points = frontier(blocks(4), 4, effort=300)
    assert len(points) > 1
    for point in points:
        placed = place(point.rewritten(), alignment=1)
        assert placed.order == tuple(range(len(placed.rewritten.graph.ops)))
        assert placed.peak_bytes == point.peak_bytes <= placed.layout.arena_bytes
        check_layout(lifetimes(placed.rewritten.graph, placed.order), placed.layout)


@pytest.mark.parametrize("name", ["resnet50_batch32"])
def test_the_arena_is_hardly_more_than_the_peak(name):
    point = frontier(load_graph(DATA / "graphs2" / f"{name}.json.gz"), 1, strategy="free")[0]
    placed = place(point.rewritten())
    assert placed.layout.arena_bytes <= CLOSE * placed.peak_bytes


def test_a_layout_may_stop_at_an_arena_that_is_good_enough():
    given = []

    def stacked(lives, capacity=None):
        given.append(capacity)
        ends = list(accumulate(life.bytes for life in lives))
        return Layout({life.storage: end - life.bytes for life, end in zip(lives, ends, strict=True)}, ends[-1])

    rewritten = frontier(blocks(4), 4, effort=300)[-1].rewritten()
    capacity = Parameter("capacity", int, None, "bytes that are enough", low=0)
    for parameters, wanted in [((capacity,), int(CLOSE * place(rewritten).peak_bytes)), ((), None)]:
        strategy = Strategy("layout", "stacked", stacked, "Places by hand.", "this test", parameters)
        Placing(strategy, {}, alignment=1).place(rewritten)
        assert given.pop() == wanted


def test_an_extra_time_is_kept_and_the_judge_agrees():
    graph = blocks(6)
    plain, plan = make_plan(graph, alignment=1), make_plan(graph, extra_time=0.2, alignment=1)
    assert plan.arena_bytes < plain.arena_bytes
    assert 0 < plan.extra_time <= 0.2
    assert plan.captured_peak_bytes == plain.captured_peak_bytes
    assert {rewrite.kind for rewrite in plan.rewrites} == {"recompute"}
    assert judged(graph, plan.rewritten)[0] == plan.peak_bytes
    assert plan.graph_sha256 == fingerprint(graph)


def test_a_budget_counts_what_is_resident_and_is_met():
    graph = blocks(6)
    plain = make_plan(graph, alignment=1)
    whole = graph.resident_bytes + plain.arena_bytes
    assert make_plan(graph, budget=whole, alignment=1) == plain
    tight = make_plan(graph, budget=whole - 200, alignment=1)
    assert graph.resident_bytes + tight.arena_bytes <= whole - 200
    assert tight.extra_time > 0


def test_what_cannot_be_met_says_the_least_that_is_known():
    graph = blocks(6)
    with pytest.raises(InfeasibleError, match=r"1 bytes are too few .* the least known to do is (\d+) bytes") as caught:
        make_plan(graph, budget=1, alignment=1)
    least = int(re.search(r"least known to do is (\d+)", str(caught.value))[1])
    assert make_plan(graph, budget=least, alignment=1).extra_time > 0
    with pytest.raises(InfeasibleError, match="or allow rewrites"):
        make_plan(graph, budget=least, rewrites=(), alignment=1)
    with pytest.raises(InfeasibleError, match=r"to fit .* more time, the least known; allow more than 0\.1%"):
        make_plan(graph, budget=least, extra_time=0.001, alignment=1)
    with pytest.raises(ParameterError, match="no rewriting of kind 'bogus'"):
        make_plan(graph, rewrites=("bogus",))
    with pytest.raises(ParameterError, match="extra_time is -1"):
        make_plan(graph, extra_time=-1)


def test_a_graph_of_the_first_version_is_refused_by_one_sentence():
    bare = replace(blocks(2), ops=tuple(replace(op, pure=None) for op in blocks(2).ops))
    with pytest.raises(FormatError, match="can only be ordered and laid out"):
        make_plan(bare, extra_time=0.1)
    with pytest.raises(InfeasibleError, match="too few for the whole step"):
        make_plan(bare, budget=1)


def freely() -> Graph:
    """An op that may write over what it reads, at the peak."""
    write = Writer()
    given, result, end = write.storage(100), write.storage(100), write.storage(10, output=True)
    write.op((given,), time_us=None)
    write.op((result,), (given,), reuse=((result, given),), time_us=None)
    write.op((end,), (result,), time_us=None)
    return write.graph("freely")


@pytest.mark.parametrize("order", ["auto", "captured", "list"])
def test_what_costs_nothing_is_rewritten_without_being_asked_for(order: str) -> None:
    graph = freely()
    plan = make_plan(graph, order=order, alignment=1, extra_time=None if order == "auto" else 0)
    assert (plan.captured_peak_bytes, plan.peak_bytes, plan.arena_bytes) == (200, 110, 110)
    assert plan.extra_time == 0
    assert {rewrite.kind for rewrite in plan.rewrites} == {"in_place"}
    assert plan.graph_sha256 == fingerprint(graph)
    plain = make_plan(graph, order=order, alignment=1, **({"rewrites": ()} if order == "auto" else {}))
    assert (plain.peak_bytes, plain.rewrites, plain.graph) == (200, (), graph)


def test_offload_is_a_kind_like_the_others() -> None:
    device = Device(1e12, 1e12, 0.0, 10**6, host_bytes_per_s=100e6)
    graph = replace(blocks(6), device=device)
    plain = make_plan(graph, extra_time=0.1, alignment=1)
    plan = make_plan(graph, extra_time=0.1, alignment=1, rewrites=KINDS)
    assert plan.arena_bytes < plain.arena_bytes
    assert plan.extra_time <= 0.1 + 1e-9
    assert "offload" in {rewrite.kind for rewrite in plan.rewrites}
    assert plan.rewritten is not None
    assert judged(graph, plan.rewritten)[0] == plan.peak_bytes
    assert sum(saving.bytes for saving in plan.savings) == plan.captured_peak_bytes - plan.peak_bytes
    on_cuda = make_plan(replace(graph, environment={"device": "cuda"}), extra_time=0.1, alignment=1)
    assert on_cuda.arena_bytes == plan.arena_bytes
    budget = graph.resident_bytes + plan.arena_bytes
    fitting = make_plan(graph, budget=budget, alignment=1, rewrites=KINDS)
    assert fitting.arena_bytes + graph.resident_bytes <= budget
    assert fitting.extra_time <= plan.extra_time


def test_a_budget_is_met_wherever_anything_known_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the layouts of all that just meets it are too large."""
    lay_out = rewriting.lay_out

    def loose(*given):
        layout = lay_out(*given)
        return replace(layout, arena_bytes=layout.arena_bytes + layout.arena_bytes // 20)

    graph = blocks(6)
    monkeypatch.setattr(rewriting, "lay_out", loose)
    whole = graph.resident_bytes + make_plan(graph, alignment=1).arena_bytes
    with pytest.raises(InfeasibleError) as caught:
        make_plan(graph, budget=graph.resident_bytes + 300, alignment=1)
    least = int(re.search(r"least known to do is (\d+)", str(caught.value))[1])
    for budget in range(least, whole, 20):
        plan = make_plan(graph, budget=budget, alignment=1)
        assert graph.resident_bytes + plan.arena_bytes <= budget


def layers_with_updates(count: int) -> Graph:
    """Each layer: an activation of 100 bytes, a gradient of 50; an update makes 300 of its own. Updates come last."""
    write = Writer()
    weights = [write.storage(0, region="resident") for _ in range(count)]
    kept = [write.storage(100) for _ in range(count)]
    for layer in range(count):
        write.op((kept[layer],), (weights[layer], *kept[layer - 1 : layer]), phase="forward")
    state, gradients = write.storage(10), []
    write.op((state,), (kept[-1],), phase="backward")
    for layer in reversed(range(count)):
        gradients.append(write.storage(50))
        before, state = state, write.storage(10)
        write.op((gradients[-1], state), (kept[layer], before, weights[layer]), phase="backward")
    for layer, gradient in zip(reversed(range(count)), gradients, strict=True):
        temporary = write.storage(300)
        write.op((temporary,), (gradient,), phase="update")
        write.op((), (temporary,), (weights[layer],), phase="update")
    return write.graph("layers")


def test_gradients_do_not_stay_where_activations_are_made_again():
    """Late updates are best while all activations are kept; when they are not, gradients would be what is left."""
    graph = layers_with_updates(8)
    free = make_plan(graph, order="captured", rewrites=(), alignment=1)
    assert 800 < free.peak_bytes < 1000
    plan = make_plan(graph, order="captured", extra_time=2.0, alignment=1)
    assert plan.peak_bytes < 8 * 50 + 300
    assert judged(graph, plan.rewritten)[0] == plan.peak_bytes
    room = graph.resident_bytes + plan.arena_bytes
    assert make_plan(graph, order="captured", budget=room, alignment=1).arena_bytes <= plan.arena_bytes
    least_time = make_plan(graph, order="captured", extra_time=0.001, alignment=1)
    assert least_time.arena_bytes <= free.arena_bytes


def test_what_cannot_be_met_in_whole_sentences():
    graph = blocks(3)
    with pytest.raises(InfeasibleError) as caught:
        make_plan(graph, budget=1, alignment=1)
    least = frontier(graph, 1, strategy="auto")[-1]
    message = str(caught.value)
    found = re.fullmatch(
        r"blocks_3: 1 bytes are too few for the whole step: the least known to do is (\d+) bytes \(150 of them "
        r"resident\), at (\d+\.\d)% more time; raise the budget, or make the batch smaller",
        message,
    )
    assert found is not None
    assert int(found[1]) >= 150 + 400
    assert least.peak_bytes >= 400
    whole = make_plan(graph, budget=int(found[1]), alignment=1)
    assert whole.arena_bytes + 150 == int(found[1])
    with pytest.raises(InfeasibleError, match=f"least known to do is {found[1]} bytes"):
        make_plan(graph, budget=int(found[1]) - 1, alignment=1)
    for allowed, fits in ((whole.extra_time, True), (whole.extra_time - 1e-6, False)):
        if fits:
            assert make_plan(graph, budget=int(found[1]), extra_time=allowed, alignment=1).order == whole.order
            continue
        with pytest.raises(InfeasibleError) as caught:
            make_plan(graph, budget=int(found[1]), extra_time=allowed, alignment=1)
        assert str(caught.value) == (
            f"blocks_3: to fit {found[1]} bytes takes {whole.extra_time:.1%} more time, the least known; allow more "
            f"than {allowed:.1%}, or raise the budget"
        )


def test_every_field_of_a_rewritten_plan():
    graph = replace(blocks(3), eager_peak_bytes=1200)
    plain = make_plan(graph, alignment=1, rewrites=(), seed=5, environment={"device": "cpu"})
    plan = make_plan(graph, alignment=1, extra_time=0.2, seed=5, environment={"device": "cpu"})
    for kept in ("graph_sha256", "captured_peak_bytes", "eager_peak_bytes", "layout_strategy", "seed"):
        assert getattr(plan, kept) == getattr(plain, kept)
    assert plan.environment == {**plain.environment, "times": "of the graph", "fused_share": "1"}
    assert plan.order == captured_order(plan.graph)
    assert plan.certificate == lower_bound(plan.graph, plan.order)
    assert plan.lower_bound_bytes == plan.certificate.bytes <= plan.peak_bytes
    assert plan.optimal is (plan.peak_bytes == plan.lower_bound_bytes)
    assert plan.status == ("optimal" if plan.optimal else "feasible")
    assert plan.seconds > 0
    assert plan.tasks is None
    assert plan.rewrite_strategy == "auto"
    assert plan.rewrites == rewriting.rewrites_of(plan.rewritten)
    assert sum(one.extra_time for one in plan.savings) == pytest.approx(plan.extra_time)
    device = Device(1e12, 1e12, 0.0, 10**6, 1e9, fused_share=0.5)
    timed = make_plan(replace(graph, device=device, times="measured"), alignment=1, extra_time=0.2)
    assert (timed.environment["times"], timed.environment["fused_share"]) == ("measured", "0.5")
    free = make_plan(freely(), alignment=1)
    assert (free.rewrite_strategy, free.rewrite_bound, free.environment.keys()) == ("free", None, {"python"})


@pytest.mark.parametrize("order", ["auto", "captured"])
def test_rewriting_begins_with_its_own_order_unless_another_is_better(order):
    """Where both leave as much when what is free is done, it is rewriting's own, whatever order was asked for."""
    plan = make_plan(freely(), order=order, budget=150, alignment=1)
    assert (plan.order_strategy, plan.peak_bytes) == ("auto", 110)


def test_each_kind_of_rewrite_is_listed_at_its_op():
    storages = (Storage(8), Storage(8), Storage(8), Storage(8, region="host"))
    ops = (
        Op("first", "t", creates=(0,)),
        Op("both", "t", (0,), (1,), (0,)),
        Op("again", "t", (1,), (2,), (1,)),
        Op("out", "t", (2,), (3,), (2,)),
    )
    origins = (
        Origin((0,), (), (0,)),
        Origin((1, 2), (0,), (None, 0)),
        Origin((0,), (1,), (2,)),
        Origin((), copies=(2, 3)),
    )
    found = rewriting.rewrites_of(Rewritten(Graph("each", storages, ops), origins))
    assert found == (Rewrite("fuse", 1), Rewrite("in_place", 1), Rewrite("recompute", 2), Rewrite("offload", 3))


def test_offsets_are_multiples_of_64_unless_asked_otherwise():
    rewritten = frontier(blocks(4), 4, effort=300)[-1].rewritten()
    layout = find("layout", "auto")
    for placed in (Placing(layout, layout.accept({})).place(rewritten), place(rewritten)):
        assert all(offset % 64 == 0 for offset in placed.layout.offsets.values())
        assert any(placed.layout.offsets.values())
    assert any(offset % 64 for offset in place(rewritten, "best_fit", 4).layout.offsets.values())


WRONG = {
    "promises": (lambda graph: untouched(graph), "it promised a live peak of 1 bytes, and it is"),
    "forgets": (lambda graph: replace(untouched(graph), origins=()), "0 origins are given for"),
    "leaves out": (lambda graph: Rewritten(replace(graph, ops=()), ()), "is dropped, and it writes or draws random"),
    "mistakes": (lambda graph: graph, "its point makes Graph, not Rewritten"),
}


@pytest.mark.parametrize("limits", [{"extra_time": 0.1}, {"budget": random_step(5).resident_bytes + 1}], ids=str)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rewriting_is_an_error_that_names_its_strategy(monkeypatch, name, limits):
    """It was taken for one that gains nothing, and kept the free one from being taken."""
    make, message = WRONG[name]

    def wrong(graph, goals):
        return Found((Point(0.0, 1, lambda: make(graph), "wrong"),))

    mine = Strategy("rewrite", "wrong", wrong, "Wrong.", "a test")
    monkeypatch.setitem(registry._REGISTRY.entries, ("rewrite", "wrong"), mine)
    with pytest.raises(JudgementError, match=f"^rewrite 'wrong' broke a rule: .*{message}"):
        make_plan(random_step(5), rewrite="wrong", alignment=1, **limits)
