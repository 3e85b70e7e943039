"""Every key of a plan's file: it comes back, another value is refused or another plan, one of another type is named."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache
from typing import Any

import pytest

from roam_lab.errors import FormatError, MismatchError
from roam_lab.plan import make_plan, plan_from_data
from roam_lab.plan.plan import KINDS, Plan, plan_to_data
from roam_lab.rewrite.bound import RewriteBound
from tests.plan.graphs import pumpkin
from tests.plan.json_values import WRONG, another, leaves, put, result_or_sentence, without
from tests.rewrite.graphs import blocks


def from_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


@cache
def planned(name: str) -> tuple[Plan, dict[str, Any]]:
    """A plan and the data of its file."""
    if name == "rewritten":
        plan = make_plan(blocks(3), extra_time=0.2, alignment=1, seed=3, environment={"device": "cpu", "torch": "2"})
    else:
        plan = make_plan(pumpkin(), order="list", environment={"device": "cpu", "torch": "2"})
        plan = dataclasses.replace(plan, eager_peak_bytes=400)
    return plan, from_json(plan_to_data(plan))


def graph_of(name: str) -> Any:
    return blocks(3) if name == "rewritten" else pumpkin()


FREE_TO_DIFFER = {"seconds"}
"""Keys in which two equal plans may differ."""
NOT_CHECKED = {"offsets", "graph", "certificate"}
"""Objects whose entries the judge checks together: another one may be right, too."""


@pytest.mark.parametrize("name", ["rewritten", "ordered"])
def test_a_plan_comes_back_with_its_graph_and_against_it(name: str) -> None:
    plan, data = planned(name)
    for given in (None, graph_of(name)):
        found = plan_from_data(data, "p", given)
        assert found == plan
        assert found.seconds == plan.seconds
        assert from_json(plan_to_data(found)) == data


@pytest.mark.parametrize("name", ["rewritten", "ordered"])
def test_another_value_in_a_plan_is_refused_or_another_plan(name: str) -> None:
    plan, data = planned(name)
    others = 0
    for place, value in leaves(data):
        if place[0] in NOT_CHECKED:
            continue
        changed = put(data, place, another(value))
        found = result_or_sentence(plan_from_data, changed, "p", graph_of(name))
        if isinstance(found, str):
            assert found.startswith("p: "), place
            assert "; " in found, place  # what is wrong; what to do
        else:
            assert place[0] in FREE_TO_DIFFER or found != plan, place
            others += 1
    assert others >= 5  # names of strategies, the seed, what it was captured with


@pytest.mark.parametrize("name", ["rewritten", "ordered"])
def test_what_can_be_computed_is_compared_one_byte_off(name: str) -> None:
    """Each figure alone, up and down, against the graph that is given."""
    plan, data = planned(name)
    for key in ("arena_bytes", "peak_bytes", "lower_bound_bytes", "captured_peak_bytes"):
        for by in (1, -1):
            if (key, by) == ("arena_bytes", 1):
                continue  # a plan may reserve more than it needs
            figures = {key: data[key] + by}
            if "savings" in data and key in ("peak_bytes", "captured_peak_bytes"):  # so that these agree
                first, *others = data["savings"]
                saved = first["bytes"] + (by if key == "captured_peak_bytes" else -by)
                figures["savings"] = [{**first, "bytes": saved}, *others]
            if key == "lower_bound_bytes" or data["optimal"]:
                figures["optimal"] = figures.get("lower_bound_bytes", data["lower_bound_bytes"]) == figures.get(
                    "peak_bytes", data["peak_bytes"]
                )
            with pytest.raises(FormatError) as caught:
                plan_from_data({**data, **figures}, "p", graph_of(name))
            assert str(caught.value).startswith("p: "), (key, by)
    assert plan_from_data({**data, "arena_bytes": data["arena_bytes"] + 1}).arena_bytes == plan.arena_bytes + 1


def test_a_plan_says_what_the_graph_before_its_rewrites_needed() -> None:
    """The graph in the file is the one after them; only the graph before can tell."""
    plan, data = planned("rewritten")
    first, *others = data["savings"]
    wrong = data | {
        "captured_peak_bytes": plan.captured_peak_bytes + 8,
        "savings": [{**first, "bytes": first["bytes"] + 8}, *others],
    }
    assert plan_from_data(wrong).captured_peak_bytes == plan.captured_peak_bytes + 8
    with pytest.raises(FormatError) as caught:
        plan_from_data(wrong, "p", graph_of("rewritten"))
    assert str(caught.value) == (
        f"p: captured_peak_bytes is {plan.captured_peak_bytes + 8}, but the graph's is {plan.captured_peak_bytes}; "
        "plan it again"
    )


@pytest.mark.parametrize("name", ["rewritten", "ordered"])
def test_a_value_of_another_type_in_a_plan_is_named(name: str) -> None:
    _, data = planned(name)
    for place, value in leaves({key: one for key, one in data.items() if key != "graph"}):
        if place[0] == "environment" and len(place) > 1:
            continue  # all of them become texts
        for wrong in (WRONG[type(value)], *([True, -1] if type(value) is int and place[0] != "seed" else [])):
            if place[0] in ("extra_time", "savings") and wrong == -1:
                continue  # a plan may take less time than the step, and a kind may cost bytes
            if place[0] == "rewrites" and place[-1] == "op" and wrong == -1:
                continue
            with pytest.raises(FormatError) as caught:
                plan_from_data(put(data, place, wrong), "p")
            message = str(caught.value)
            assert message.startswith("p: "), place
            assert place[0] in message, place
            assert isinstance(place[-1], int) or str(place[-1]) in message or place[0] == "rewrites", place


def test_older_plans_have_no_status() -> None:
    for plan in (planned("rewritten")[0], planned("ordered")[0], make_plan(pumpkin())):
        found = plan_from_data(without(plan_to_data(plan), "status"))
        assert found.status == ("optimal" if plan.optimal else "feasible")
    assert plan.optimal


def test_keys_that_may_be_missing_have_these_values() -> None:
    plan, data = planned("rewritten")
    optional = ("rewrite_strategy", "extra_time", "savings", "rewrite_bound", "certificate", "environment")
    found = plan_from_data(without(data, *optional))
    assert (found.rewrite_strategy, found.extra_time, found.savings) == ("none", 0.0, ())
    assert (found.rewrite_bound, found.certificate, found.environment) == (None, None, {})
    assert found.eager_peak_bytes is None
    assert (found.rewrites, found.origins, found.order) == (plan.rewrites, plan.origins, plan.order)


def test_the_ends_of_what_a_number_may_be() -> None:
    _, data = planned("ordered")
    assert plan_from_data({**data, "arena_bytes": 2**62}).arena_bytes == 2**62
    assert plan_from_data({**data, "seed": -(2**62)}).seed == -(2**62)
    assert plan_from_data({**data, "seconds": 0}).seconds == 0.0
    for key, value in (("arena_bytes", 2**62 + 1), ("seed", -(2**62) - 1), ("seconds", math.inf), ("seconds", -1e-9)):
        with pytest.raises(FormatError, match=f"p: {key} is "):
            plan_from_data({**data, key: value}, "p")
    top = max(data["offsets"], key=int)
    for key, text in (("07", "'07'"), (str(int(top) + 1), "the graph has not"), ("1" * 19, "not a storage")):
        with pytest.raises(FormatError, match=text):
            plan_from_data({**data, "offsets": {**data["offsets"], key: 0}, "arena_bytes": 2**20}, "p")


def test_a_certificate_names_ops_and_storages_of_the_graph() -> None:
    plan, data = planned("ordered")
    assert plan.certificate is not None
    ops, storages = len(pumpkin().ops), len(pumpkin().storages)
    assert plan_from_data(put(data, ("certificate", "later"), [ops - 1])).certificate != plan.certificate
    assert plan_from_data(put(data, ("certificate", "storages"), [*plan.certificate.storages, storages - 1]))
    wrong = "p: certificate names an op or a storage that the graph has not; plan the graph again"
    for key, value in (("op", ops), ("later", [ops]), ("earlier", [ops]), ("storages", [storages])):
        with pytest.raises(FormatError) as caught:
            plan_from_data(put(data, ("certificate", key), value), "p")
        assert str(caught.value) == wrong
    twice = list(plan.certificate.storages[:1]) * 30  # a storage counts once
    with pytest.raises(FormatError, match="certificate holds 8 bytes and claims 112, but lower_bound_bytes is 112"):
        plan_from_data(put(data, ("certificate", "storages"), twice), "p")


def test_a_bound_of_rewriting_is_below_the_plan() -> None:
    plan, data = planned("rewritten")
    assert plan.rewrite_bound is not None
    for peak, time, fine in (
        (plan.peak_bytes, plan.extra_time, True),
        (plan.peak_bytes + 1, 0.0, False),
        (0, plan.extra_time + 1e-6, False),
    ):
        changed = {**data, "rewrite_bound": {"peak_bytes": peak, "extra_time": time}}
        if fine:
            assert plan_from_data(changed).rewrite_bound == RewriteBound(peak, time)
            continue
        with pytest.raises(FormatError, match=r"^p: rewrite_bound is above the plan's own peak_bytes or extra_time; "):
            plan_from_data(changed, "p")


def test_every_known_kind_of_rewrite_is_read_and_no_other() -> None:
    _, data = planned("rewritten")
    for kind in KINDS:
        assert plan_from_data({**data, "rewrites": [{"kind": kind, "op": 0}]}).rewrites[0].kind == kind
    for one in ({"kind": "split", "op": 0}, {"kind": "fuse"}, {"kind": "fuse", "op": True}, 7):
        with pytest.raises(FormatError, match=r"p: rewrites holds .*, no known kind with its op; "):
            plan_from_data({**data, "rewrites": [one]}, "p")


def test_a_long_value_is_cut_in_a_message() -> None:
    _, data = planned("ordered")
    for count, shown in ((58, f"'{'x' * 58}'"), (59, f"'{'x' * 56}...")):
        with pytest.raises(FormatError) as caught:
            plan_from_data({**data, "optimal": "x" * count}, "p")
        assert str(caught.value) == f"p: optimal is {shown}, not true or false; check the file's writer"


def test_a_bare_plan_with_rewrites_has_lost_its_graph() -> None:
    _, data = planned("rewritten")
    with pytest.raises(MismatchError) as caught:
        plan_from_data(without(data, "graph"), "p", graph_of("rewritten"))
    assert str(caught.value) == "p: a bare plan does not hold the graph that its rewrites made; save it whole"
    assert plan_from_data(without(data, "graph")).graph is None
    assert plan_from_data({**data, "graph": None}).graph is None
    with pytest.raises(MismatchError) as caught:
        plan_from_data(data, "p", pumpkin())
    assert str(caught.value) == "p: the plan was made for another graph than 'pumpkin'; plan this one"
