"""The figures and sentences of reports; drawing them is tested in test_text."""

import dataclasses

import pytest

from roam_lab.errors import InputError
from roam_lab.ir import captured_order
from roam_lab.ir.measured import MeasuredCurve
from roam_lab.ir.training_run import TrainingRun
from roam_lab.plan import Certificate, Profile, make_plan
from roam_lab.report.graphs import captured_name, graph_of
from roam_lab.report.headline import verdict_sentence
from roam_lab.report.reservations import reservation
from roam_lab.report.rows import Alive, alive_at_peak, plan_rows, profile_data, profile_rows, short_rows
from roam_lab.report.sentences import captured_sentence, certificate_sentence, peak_sentence, unseen_text
from roam_lab.report.units import bytes_text
from tests.report.graphs import KIB, branches, chain, eager_branches
from tests.rewrite.graphs import blocks as rewritable


def by_label(rows):
    return {row.label: row for row in rows}


def test_plan_rows_hold_every_figure():
    plan = make_plan(branches())
    profile = Profile(graph=branches(), resident={"parameter": 8 * KIB, "batch": 2 * KIB})
    found = by_label(plan_rows(plan, profile))
    assert found["resident"].size_bytes == 10 * KIB
    assert (found["parameter"].size_bytes, found["parameter"].level) == (8 * KIB, 1)
    assert found["captured peak"].size_bytes == 204 * KIB
    assert found["planned peak"].size_bytes == 105 * KIB
    assert found["lower bound"].size_bytes == 105 * KIB
    assert found["lower bound"].note == "of any order; met: optimal"
    assert found["arena"].size_bytes == plan.arena_bytes
    assert found["whole step, eager"].size_bytes == 214 * KIB
    assert found["whole step, planned"].size_bytes == 10 * KIB + plan.arena_bytes
    assert found["whole step, planned"].note == "resident + arena; -46.3 % against eager"
    assert "eager peak" not in found  # it is the captured one
    # all come from one segment of 2 MiB for small requests: 4 KiB, both of 100 KiB, and what is resident
    assert found["eager reservation"].size_bytes == 2 * 2**20 - 10 * KIB
    assert "cuBLAS workspaces" not in found


def test_workspaces_are_told_apart():
    graph = dataclasses.replace(
        branches(), ops=tuple(dataclasses.replace(op, target="aten.mm.default") for op in branches().ops)
    )
    run = TrainingRun(graph, {"parameter": (8 * KIB,)}, workspace_bytes=32 * 2**20)
    profile = Profile(graph=graph, resident={"parameter": 8 * KIB}, eager_run=run)
    found = by_label(profile_rows(profile))
    threads = len({op.phase == "backward" for op in graph.ops})
    assert found["cuBLAS workspaces"].size_bytes == threads * 32 * 2**20
    assert found["eager reservation"].size_bytes == 2 * 2**20 - 8 * KIB
    data = profile_data(profile)
    assert data["cublas_workspace_bytes"] == threads * 32 * 2**20
    assert data["eager_reservation_bytes"] == 2 * 2**20 - 8 * KIB


def test_the_users_allocator_settings_decide(monkeypatch):
    profile = Profile(graph=branches(), resident={"parameter": 8 * KIB})
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True,backend:cudaMallocAsync")
    row = by_label(profile_rows(profile))["eager reservation"]
    assert row.note.endswith(
        "The allocator's setting backend:cudaMallocAsync is not simulated; take it out to compare."
    )
    big = dataclasses.replace(branches(), unlisted_resident_bytes=11 * 2**20)
    assert reservation(make_plan(big)).reserved == 22 * 2**20  # a page of 20 MiB, one of 2 MiB
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF")
    assert reservation(make_plan(big)).reserved == 14 * 2**20


def test_eager_and_captured_are_told_apart():
    """The planned graph in eager's order is "captured"; the step as eager runs it is "eager"."""
    plan, profile = make_plan(branches()), Profile(graph=branches(), eager_graph=eager_branches())
    assert by_label(profile_rows(profile))["eager peak"].size_bytes == 254 * KIB
    assert "captured peak" not in by_label(profile_rows(profile))
    found = by_label(plan_rows(plan, profile))
    assert found["captured peak"].size_bytes == 204 * KIB
    assert found["captured peak"].note == "above resident, planned graph in eager's order"
    assert "eager reservation" in found
    assert "captured reservation" in by_label(plan_rows(plan))  # of the planned graph: eager's is not known
    assert captured_sentence(plan, profile) == (
        "Eager itself peaks at 254.0 KiB: the planned graph, whose captured peak is 204.0 KiB, adds gradients in place "
        "and counts what ops take for themselves."
    )
    assert captured_sentence(plan, None) == captured_sentence(plan, Profile(graph=branches())) == ""
    assert (captured_name(profile), captured_name(None)) == ("eager", "captured")


def test_a_bare_plan_is_shown_without_what_needs_its_graph():
    plan = make_plan(branches())
    bare = type(plan)(**{**{key: getattr(plan, key) for key in plan.__dataclass_fields__}, "graph": None})
    assert "resident" not in by_label(plan_rows(bare))
    assert "planned peak" in by_label(plan_rows(bare))
    with pytest.raises(InputError, match=r"bare .* plan without --bare"):
        graph_of(bare)


def test_alive_at_peak_names_where_it_comes_from():
    graph = branches()
    alive = alive_at_peak(graph, captured_order(graph))
    assert [row.storage for row in alive] == [1, 2, 0]
    assert alive[0] == Alive(1, 100 * KIB, "activation", "wide_a", "block.0", "train.py:10", "forward")
    assert alive_at_peak(graph, captured_order(graph), limit=1) == alive[:1]


def test_sentences():
    graph = branches()
    plan = make_plan(graph)
    assert verdict_sentence(plan) == (
        "214.0 -> 115.0 KiB, -46.3 %, predicted; fits 16 GB with 14.00 GiB to spare; proven, order only."
    )
    assert peak_sentence(graph, captured_order(graph), "captured") == (
        "The captured peak of 204.0 KiB is at step 3 of 6, op 2 (wide_b), forward, <b>&, train.py:11."
    )
    assert certificate_sentence(plan).startswith("Proven optimal: every legal order holds at least 105.0 KiB")


def proven(plan, kind, later=(), earlier=(), optimal=True):
    proof = Certificate(2, (0, 2, 3), 105 * KIB, kind, later, earlier)
    return dataclasses.replace(plan, certificate=proof, optimal=optimal)


def test_each_kind_of_proof_has_its_own_wording():
    plan = make_plan(branches())
    message = certificate_sentence
    assert message(proven(plan, "forced")) == (
        "Proven optimal: every legal order holds at least 105.0 KiB while op 2 (wide_b) runs, in 3 storages: "
        "each made by it or before it and needed by it or after it, whatever the order."
    )
    assert message(proven(plan, "minimum cut", optimal=False)) == (
        "Bound: every legal order holds at least 105.0 KiB while op 2 (wide_b) runs: of all states in which it can "
        "run, the cheapest holds 3 storages (a minimum cut)."
    )
    assert message(proven(plan, "minimum cut", later=(4,))) == (
        "Proven optimal: every legal order holds at least 105.0 KiB at some time: with 1 op still to come, the "
        "cheapest state in which op 2 (wide_b) can run holds 3 storages (a minimum cut), and an order that does "
        "otherwise holds as much when one of those ops runs."
    )
    assert "with 1 op still to come and 2 ops already run, the" in message(proven(plan, "minimum cut", (4,), (1, 3)))
    assert "at some time: with 1 op already run, the" in message(proven(plan, "minimum cut", earlier=(1,)))
    assert message(proven(plan, "search")) == (
        "Proven optimal: no legal order has a lower peak: an exhaustive search ruled out every one."
    )
    bare = dataclasses.replace(proven(plan, "forced"), graph=None)
    assert "while op 2 runs" in message(bare)
    assert message(dataclasses.replace(plan, certificate=None, optimal=False)) == (
        "Bound: no legal order needs less than 105.0 KiB."
    )


def test_an_order_that_gains_nothing_says_so():
    text = verdict_sentence(make_plan(chain(5)))
    assert "; proven, order gains nothing. What is alive at the peak decides;" in text
    assert "smaller batch" in text


def test_a_bound_that_is_not_met_says_how_far_it_is():
    plan = make_plan(branches())
    values = {key: getattr(plan, key) for key in plan.__dataclass_fields__}
    loose = type(plan)(
        **{**values, "optimal": False, "lower_bound_bytes": 84 * KIB, "captured_peak_bytes": 105 * KIB,
           "certificate": Certificate(1, (0, 1), 84 * KIB, "minimum cut"), "status": "feasible"}
    )  # fmt: skip
    bound = by_label(plan_rows(loose))["lower bound"]
    assert bound.note == "of any order; the peak is at most 25.00 % above the best"
    assert "no other order could gain more than 20.00 % on it" in verdict_sentence(loose)
    opening = "Bound: every legal order holds at least 84.0 KiB while op 1 (wide_a)"
    assert certificate_sentence(loose).startswith(opening)


def test_profile_rows_and_data():
    graph = branches()
    measured = MeasuredCurve(("aten.mul.Tensor",), (200 * KIB,), "a tracker", "cpu")
    profile = Profile(graph=graph, resident={"parameter": 10 * KIB}, measured=measured, differences=("They differ.",))
    found = by_label(profile_rows(profile))
    assert found["measured peak"].size_bytes == 200 * KIB
    assert found["measured peak"].note == "a tracker; predicted lies 4.0 KiB above it"
    data = profile_data(profile)
    assert data["captured_peak_bytes"] == 204 * KIB
    assert data["measured_peak_bytes"] == 200 * KIB
    assert data["alive_at_peak"][0]["source"] == "train.py:10"


def test_an_empty_graph_has_a_report():
    graph = chain(0)
    plan = make_plan(graph)
    assert alive_at_peak(graph, ()) == []
    assert peak_sentence(graph, (), "captured") == "The graph has no ops, so it needs no memory."
    assert by_label(plan_rows(plan))["arena"].size_bytes == 0
    assert certificate_sentence(plan)


def test_workspace_that_a_measurement_does_not_see_is_told_where_both_stand():
    """Eager's whole step counts what ops take for themselves; a measurement of tensors does not see it."""
    measured = MeasuredCurve(("aten.mul.Tensor",), (100 * KIB,), "tensors followed", "cpu")
    profile = Profile(graph=branches(), eager_graph=chain(3), measured=measured)
    unseen = profile.eager_bytes - profile.captured_peak_bytes
    assert unseen > 0
    found = by_label(profile_rows(profile))
    assert found["workspace in ops"].size_bytes == unseen
    words = f"it sees tensors only, and not the {bytes_text(unseen)} predicted for workspace inside ops"
    assert short_rows(make_plan(branches()), profile)[-1][3] == f"tensors followed, cpu; {words}"
    seen = dataclasses.replace(measured, live_bytes=(profile.eager_bytes,))
    assert unseen_text(dataclasses.replace(profile, measured=seen)) == ""
    alike = Profile(graph=branches(), measured=measured)
    assert unseen_text(alike) == ""
    assert "workspace in ops" not in by_label(profile_rows(alike))


def test_a_plan_that_adds_no_time_needs_no_source_of_times():
    slow = make_plan(rewritable(4), extra_time=0.2, alignment=1)
    assert ("extra time", "", f"{100 * slow.extra_time:.1f} %", "predicted (of the graph)") in short_rows(slow)
    free = dataclasses.replace(slow, extra_time=0.0)
    assert ("extra time", "", "0.0 %", "no op is run again") in short_rows(free)
