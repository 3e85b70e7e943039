"""roam-plan/2: a plan survives its file; no claim in a file is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roam_lab.errors import FormatError, InputError, MismatchError
from roam_lab.plan import load_plan, make_plan, plan_from_data
from roam_lab.plan.plan import plan_to_data
from tests.plan.graphs import SMALL, pumpkin, two_halves
from tests.rewrite.graphs import blocks


def whole() -> dict[str, Any]:
    return json.loads(json.dumps(plan_to_data(make_plan(pumpkin(), order="list"))))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("bare", [False, True])
def test_a_plan_survives_its_file(name: str, bare: bool, tmp_path: Path) -> None:
    plan = make_plan(SMALL[name], environment={"device": "cpu"})
    path = tmp_path / "p.roam.json"
    plan.save(path, bare=bare)
    assert load_plan(path, SMALL[name] if bare else None) == plan
    assert ("graph" in json.loads(path.read_text())) is not bare
    assert load_plan(path).graph == (None if bare else SMALL[name])


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan.json: a plan's file must end in .roam.json; name it so"):
        make_plan(pumpkin()).save(tmp_path / "plan.json")


def test_a_plan_for_another_graph_is_refused() -> None:
    with pytest.raises(MismatchError, match="made for another graph than 'two_halves'"):
        plan_from_data(whole(), "p", two_halves())


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "format": ({"format": "roam-graph/1"}, "format is 'roam-graph/1', not 'roam-plan/2'"),
    "format deep": ({"format": [[]]}, "format is a list of 1, not 'roam-plan/2'"),
    "order short": ({"order": [0, 1]}, "not a permutation of the graph's 8 ops"),
    "order twice": ({"order": [0] * 8}, "order is not a permutation of 0..7"),
    "order illegal": ({"order": [7, 6, 5, 4, 3, 2, 1, 0]}, "runs before op 0, which it must follow"),
    "order text": ({"order": "0123"}, "order is '0123', not a list of integers from 0"),
    "order floats": ({"order": [0.0]}, "order is a list of 1, not a list of integers"),
    "order negative": ({"order": [-1]}, "not a list of integers from 0"),
    "offsets list": ({"offsets": [1, 2]}, "offsets is a list of 2, not an object"),
    "offsets overlap": ({"offsets": {str(s): 0 for s in range(7)}}, "overlap in the arena at step"),
    "offsets none": ({"offsets": {}}, "storage 0 (8 bytes) has no offset"),
    "offsets key": ({"offsets": {"x": 0}}, "offsets has the key 'x', not a storage"),
    "offsets other digits": ({"offsets": {"٣": 0}}, "not a storage"),
    "offsets huge key": ({"offsets": {"1" * 5000: 0}}, "not a storage"),
    "offsets negative": ({"offsets": {"0": -64}}, "offsets of 0 is -64, not an integer"),
    "arena small": ({"arena_bytes": 10, "peak_bytes": 5, "lower_bound_bytes": 5, "optimal": True}, "leaves the arena"),
    "arena huge": ({"arena_bytes": 10**40}, "arena_bytes is 1000"),
    "peak": ({"peak_bytes": 117}, "peak_bytes is 117, but the order's peak is 116"),
    "peak above arena": ({"peak_bytes": 10**6}, "peak_bytes is 1000000, above arena_bytes"),
    "captured": ({"captured_peak_bytes": 400}, "captured_peak_bytes is 400, but the graph's is 308"),
    "bound": ({"lower_bound_bytes": 200}, "lower_bound_bytes is 200, above peak_bytes 116"),
    "optimal": ({"optimal": True}, "optimal is true, but peak_bytes is 116 and lower_bound_bytes 112"),
    "optimal text": ({"optimal": "yes"}, "optimal is 'yes', not true or false"),
    "certificate": ({"certificate": {"op": 1, "storages": [0], "bytes": 112}}, "certificate holds 8 bytes"),
    "certificate op": ({"certificate": {"op": 99, "storages": [], "bytes": 0}}, "that the graph has not"),
    "certificate type": ({"certificate": 5}, "certificate is 5, not an object"),
    "certificate kind": ({"certificate": {"kind": []}}, "kind is a list of 0, not forced, minimum cut or search"),
    "status": ({"status": {}}, "status is a dict of 0, not one of optimal, feasible, timed out"),
    "seconds": ({"seconds": float("nan")}, "seconds is nan, not a number from 0"),
    "seconds forever": ({"seconds": 1e30}, "seconds is 1e+30, not a number from 0 to 1,000,000,000"),
    "extra time": ({"extra_time": 1e30}, "extra_time is 1e+30, not a number above -1, up to 1,000"),
    "extra time of a step that takes none": ({"extra_time": -1}, "extra_time is -1, not a number above -1"),
    "extra time nan": ({"extra_time": float("nan")}, "extra_time is nan, not a number above -1"),
    "extra time true": ({"extra_time": True}, "extra_time is True, not a number above -1"),
    "extra time of no rewrites": ({"extra_time": 0.3}, "extra_time is 0.3, but nothing is rewritten"),
    "savings' time": (
        {"savings": [{"kind": "order", "bytes": 192, "extra_time": 0.1}]},
        "savings add 0.1 of time, but extra_time is 0",
    ),
    "savings' bound": ({"savings": [{"kind": "x", "bytes": 0, "extra_time": 1e30}]}, "savings 0: extra_time is 1e+30"),
    "rewrites of no op": ({"rewrites": [{"kind": "fuse", "op": -1}]}, "rewrites holds a dict of 2, no known kind"),
    "environment deep": ({"environment": {"device": [[]]}}, "environment is a dict of 1, not an object of texts"),
    "seed": ({"seed": None}, "seed is None, not an integer"),
    "sha": ({"graph_sha256": "0" * 64}, "graph_sha256 is not that of the graph in the file"),
    "graph number": ({"graph": 10**9}, "graph is 1000000000, not an object"),
    "graph hostile": (
        {"graph": {"format": "roam-graph/1", "storages": 10**9, "ops": []}},
        "storages is missing or not",
    ),
    "environment": ({"environment": "cpu"}, "environment is 'cpu', not an object"),
    "rewrites": ({"rewrites": 3}, "rewrites is 3, not a list"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str, tmp_path: Path) -> None:
    changes, wording = WRONG[name]
    path = tmp_path / "p.roam.json"
    path.write_text(json.dumps({**whole(), **changes}))
    with pytest.raises(FormatError) as caught:
        load_plan(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert wording in message
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))


@pytest.mark.parametrize("key", sorted(set(whole()) - {"graph", "certificate", "status"}))
def test_a_missing_key_is_named(key: str) -> None:
    data = whole()
    del data[key]
    if key == "environment":
        assert plan_from_data(data).environment == {}
        return
    with pytest.raises(FormatError, match="format is None" if key == "format" else f"{key} is missing"):
        plan_from_data(data)


@pytest.mark.parametrize("keep", [0, 1, 10, 200, -1])
def test_a_truncated_file_is_named(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "p.roam.json"
    path.write_text(json.dumps(whole())[:keep])
    with pytest.raises(FormatError, match="truncated"):
        load_plan(path)


def test_unknown_keys_are_ignored_and_others_are_optional() -> None:
    data = whole()
    data["colour"] = {"of": ["the", "sky"]}
    for key in ("certificate", "status"):
        del data[key]
    plan = plan_from_data(data)
    assert plan.certificate is None
    assert plan.status == "feasible"


def test_a_plan_may_take_less_time_than_the_step() -> None:
    data = plan_to_data(make_plan(pumpkin()), bare=True)
    faster = {"extra_time": -0.25, "savings": [{"kind": "fuse", "bytes": 192, "extra_time": -0.25}]}
    plan = plan_from_data(data | faster | {"rewrites": [{"kind": "fuse", "op": 1}]}, "p.roam.json")
    assert plan.extra_time == plan.savings[0].extra_time == -0.25
    with pytest.raises(FormatError, match=r"seconds is -1, not a number from 0"):
        plan_from_data(data | {"seconds": -1}, "p.roam.json")


def test_the_extra_time_is_that_of_its_parts() -> None:
    data = json.loads(json.dumps(plan_to_data(make_plan(blocks(6), extra_time=0.2, alignment=1))))
    assert data["extra_time"] > 0.01
    assert plan_from_data(data).extra_time == data["extra_time"]
    for wrong in (data["extra_time"] / 2, 0.0, -0.5):
        with pytest.raises(FormatError, match=r"savings add .* of time, but extra_time is"):
            plan_from_data(data | {"extra_time": wrong, "rewrite_bound": None})


def test_repr_is_short_and_stable() -> None:
    assert repr(make_plan(pumpkin(), order="list")) == (
        "Plan('pumpkin': whole step 308 -> 260 B, -15.6 %, at most 3.6% above the optimum; arena 260 B; "
        "order list, layout auto)"
    )
