"""Why a plan needs what it needs: the sets, their figures and the sentences."""

import dataclasses
import json

import pytest

import roam_lab as roam
from roam_lab.errors import InputError
from roam_lab.ir import captured_order, lifetimes, live_peak
from roam_lab.plan import Certificate, make_plan
from tests.plan.graphs import SMALL
from tests.report.graphs import KIB, branches, chain


def loose():
    """A plan of the captured order, against a proof that names one of its three storages."""
    proof = Certificate(1, (0, 1), 104 * KIB, "minimum cut")
    plan = make_plan(branches(), order="captured")
    return dataclasses.replace(plan, optimal=False, lower_bound_bytes=104 * KIB, certificate=proof)


def names(held):
    return [alive.op for alive in held.storages]


def test_an_optimal_plan_says_what_holds_it():
    explained = roam.explain(make_plan(branches()))
    assert explained.optimal
    assert (explained.peak_bytes, explained.gap_bytes) == (105 * KIB, 0)
    assert explained.at_peak.bytes == 105 * KIB
    assert names(explained.at_peak) == ["wide_a", "source", "narrow_a"]
    assert names(explained.forced) == ["wide_b", "source", "narrow_a"]  # of two branches as wide, either one
    assert explained.forced.bytes == 105 * KIB
    assert explained.open.storages == ()
    text = explained.text()
    assert text.startswith("branches: 214.0 -> 115.0 KiB, -46.3 %, predicted\n\nWhat is alive at the peak\n\n")
    assert "The planned peak of 105.0 KiB is at step " in text
    assert "Why it cannot be lower\n\nProven optimal: " in text
    assert "still win" not in text
    assert "100.0 KiB  gradient    forward  wide_b    <b>&  train.py:11" in text


def test_a_plan_with_a_gap_says_what_may_be_won_and_where():
    explained = roam.explain(loose())
    assert names(explained.at_peak) == ["wide_a", "wide_b", "source"]
    assert explained.at_peak.kinds() == {"activation": 104 * KIB, "gradient": 100 * KIB}
    assert explained.gap_bytes == 100 * KIB
    assert names(explained.open) == ["wide_b"]
    assert explained.proof_op.name == "wide_a"
    text = explained.text()
    assert " By kind: activation 104.0 KiB, gradient 100.0 KiB." in text
    assert "What is proven\n\nBound: every legal order holds at least 104.0 KiB while op 1 (wide_a) runs" in text
    assert "What a better order might still win\n\nAt most 100.0 KiB, 49.02 % of the peak." in text
    assert "does not name, 1 storage of 100.0 KiB, from" in text
    assert "100.0 KiB  gradient  forward  wide_b  <b>&  train.py:11" in text


def test_data_list_the_largest_and_count_the_rest():
    explained = roam.explain(loose())
    data = explained.to_data(limit=1)
    json.dumps(data, allow_nan=False)
    assert data["gap_of_peak"] == pytest.approx(100 / 204)
    assert data["at_peak"]["largest"] == [
        {"storage": 1, "size_bytes": 100 * KIB, "kind": "activation", "op": "wide_a", "module": "block.0",
         "source": "train.py:10", "phase": "forward"}
    ]  # fmt: skip
    assert (data["at_peak"]["count"], data["at_peak"]["bytes"]) == (3, 204 * KIB)
    assert (data["at_peak"]["rest_count"], data["at_peak"]["rest_bytes"]) == (2, 104 * KIB)
    assert data["proof"]["kind"] == "minimum cut"
    assert data["proof"]["op"]["source"] == "train.py:10"
    assert len(explained.to_data(None)["at_peak"]["largest"]) == 3
    assert "  and 2 storages of 104.0 KiB together" in explained.text(1)


def test_a_proof_by_search_names_no_forced_set():
    plan = make_plan(branches())
    proof = Certificate(plan.order[0], (0,), plan.peak_bytes, "search")
    text = roam.explain(dataclasses.replace(plan, certificate=proof)).text()
    assert text.endswith("no legal order has a lower peak: an exhaustive search ruled out every one.")


def test_the_same_storages_are_listed_once():
    explained = roam.explain(make_plan(chain(3)))
    assert explained.forced == explained.at_peak
    text = explained.text()
    assert text.endswith(" The storages are those that are alive at the peak, listed above.")
    assert text.count(" op_1\n") == 1


def test_ops_that_the_proof_places_are_named():
    plan = make_plan(branches())
    proof = Certificate(2, (0, 2), plan.peak_bytes, "minimum cut", (3, 4), (1,))
    explained = roam.explain(dataclasses.replace(plan, certificate=proof))
    assert [place.name for place in explained.later] == ["narrow_a", "narrow_b"]
    assert "Still to come: op 3 (narrow_a), op 4 (narrow_b). Already run: op 1 (wide_a)." in explained.text()
    assert "Still to come: op 3 (narrow_a) and 1 more. Already" in explained.text(1)
    data = explained.to_data(1)["proof"]
    assert (data["later_count"], data["earlier_count"], len(data["later"])) == (2, 1, 1)


def test_a_bare_plan_has_nothing_to_explain_with():
    with pytest.raises(InputError, match=r"this plan is bare .*; plan without --bare"):
        roam.explain(dataclasses.replace(make_plan(branches()), graph=None))


@pytest.mark.parametrize("graph", [*SMALL.values(), chain(3)], ids=lambda graph: graph.name)
@pytest.mark.parametrize("order", ["auto", "captured"])
def test_the_sets_add_up(graph, order):
    plan = make_plan(graph, order=order)
    explained = roam.explain(plan)
    peak = live_peak(graph, plan.order)
    alive = {life.storage for life in lifetimes(graph, plan.order) if life.start <= peak.step < life.end}
    assert {entry.storage for entry in explained.at_peak.storages} == alive
    assert explained.at_peak.bytes == plan.peak_bytes
    assert explained.forced.bytes >= plan.lower_bound_bytes or explained.proof_kind == "none"
    named = {entry.storage for entry in explained.forced.storages}
    assert {entry.storage for entry in explained.open.storages} == (set() if plan.optimal else alive - named)
    assert explained.text()
    assert plan.captured_peak_bytes == live_peak(graph, captured_order(graph)).bytes == explained.captured_peak_bytes
    json.dumps(explained.to_data(), allow_nan=False)
