"""Plans kept on disk for the next start: found for the same step and goals, never trusted, never in the way."""

import os
from dataclasses import replace

import pytest

from roam_lab.ir import Graph, Op, Storage
from roam_lab.plan import make_plan
from roam_lab.plan.cache import PlanCache, default_folder
from tests.rewrite.graphs import blocks


def graph(size=64, name="one", flops=None):
    return Graph(
        name=name,
        storages=(Storage(size), Storage(64), Storage(64, output=True)),
        ops=(
            Op("a", "aten.empty", creates=(0,), source=f"{name}.py:1", flops=flops),
            Op("b", "aten.empty", after=(0,), creates=(1,), reads=(0,)),
            Op("c", "aten.add", after=(0, 1), creates=(2,), reads=(0, 1)),
        ),
    )


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


def test_a_plan_is_found_again(cache):
    assert cache.find(graph(), {}) is None
    plan = make_plan(graph())
    cache.keep(plan, graph(), {})
    found = cache.find(graph(), {})
    assert found == plan
    assert found.graph == graph()
    assert cache.notes == []


def test_a_plan_with_rewrites_is_found_with_its_own_graph(cache):
    step = blocks(4)
    plan = make_plan(step, extra_time=0.2, alignment=1)
    assert plan.rewrites
    cache.keep(plan, step, {})
    found = cache.find(step, {})
    assert found == plan
    assert found.graph.ops == plan.graph.ops


def test_only_a_plan_with_rewrites_is_kept_with_its_graph(cache):
    cache.keep(make_plan(graph()), graph(), {})
    [entry] = cache.folder.iterdir()
    assert '"aten.add"' not in entry.read_text()


def test_names_and_places_in_the_code_do_not_matter(cache):
    cache.keep(make_plan(graph()), graph(), {})
    assert cache.find(graph(name="other"), {}) is not None
    kinds = tuple(replace(one, kind="gradient") for one in graph().storages)
    assert cache.find(replace(graph(), storages=kinds), {}) is not None


@pytest.mark.parametrize(("other", "goals"), [(graph(size=65), {}), (graph(flops=7), {}), (graph(), {"seed": 1})])
def test_another_step_and_other_goals_are_not(cache, other, goals):
    cache.keep(make_plan(graph()), graph(), {})
    assert cache.find(other, goals) is None


def test_what_is_damaged_is_not_used_and_replaced(cache):
    plan = make_plan(graph())
    cache.keep(plan, graph(), {})
    [entry] = cache.folder.iterdir()
    entry.write_text(entry.read_text()[:50])
    assert cache.find(graph(), {}) is None
    assert cache.notes[0].startswith("a plan in the cache is not used: ")
    cache.keep(plan, graph(), {})
    assert cache.find(graph(), {}) == plan


def test_a_plan_of_another_graph_is_not_used(cache):
    """However it got there."""
    cache.keep(make_plan(graph(size=65)), graph(), {})
    assert cache.find(graph(), {}) is None
    assert "another graph" in cache.notes[0]


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    place = tmp_path / "a file"
    place.write_text("")
    notes = []
    cache = PlanCache(place / "plans", notes)
    cache.keep(make_plan(graph()), graph(), {})
    assert cache.notes is notes
    assert notes[0].startswith("the plan is not kept for the next start: ")
    assert cache.find(graph(), {}) is None


def test_what_was_not_used_for_longest_goes(tmp_path):
    cache = PlanCache(tmp_path, most_bytes=1)
    ages = {}
    for size in (1, 2, 3):
        cache.keep(make_plan(graph(size)), graph(size), {})
        [ages[size]] = set(tmp_path.iterdir()) - set(ages.values())
        assert list(tmp_path.iterdir()) == [ages[size]]
    roomy = PlanCache(tmp_path, most_bytes=int(2.5 * ages[3].stat().st_size))
    roomy.keep(make_plan(graph(1)), graph(1), {})
    os.utime(ages[3], (1, 1))
    os.utime(ages[1], (2, 2))
    assert roomy.find(graph(3), {}) is not None  # used again, so that the other is older
    roomy.keep(make_plan(graph(2)), graph(2), {})
    assert set(tmp_path.iterdir()) == {ages[2], ages[3]}


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ROAM_CACHE", raising=False)
    assert default_folder() == tmp_path / "roam-lab" / "plans"
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"


def test_what_a_killed_process_left_is_taken_away(cache):
    cache.keep(make_plan(graph()), graph(), {})
    [entry] = cache.folder.iterdir()
    old, new = (cache.folder / f".{entry.name}.{end}" for end in ("a1b2", "c3d4"))
    for left in (old, new):
        left.write_text("{")
    os.utime(old, (1, 1))
    cache.keep(make_plan(graph(65)), graph(65), {})
    assert not old.exists()
    assert new.exists()  # another process may be writing it just now


def test_the_whole_sentences(cache, tmp_path):
    place = tmp_path / "a file"
    place.write_text("")
    shut = PlanCache(place / "plans")
    shut.keep(make_plan(graph()), graph(), {})
    assert shut.notes == [
        f"the plan is not kept for the next start: [Errno 20] Not a directory: '{place}/plans'; "
        "set ROAM_CACHE to another folder"
    ]
    cache.folder.mkdir()
    cache._path(graph(), {}).mkdir()  # so that a RoamError says what cannot be written
    cache.keep(make_plan(graph()), graph(), {})
    [note] = cache.notes
    assert note.startswith(f"the plan is not kept for the next start: {cache.folder}")
    assert note.count(";") == 1
    assert note.endswith("; set ROAM_CACHE to another folder")


def test_a_plan_found_counts_as_used(cache):
    cache.keep(make_plan(graph()), graph(), {})
    [entry] = cache.folder.iterdir()
    os.utime(entry, (1, 1))
    assert cache.find(graph(), {}) is not None
    assert entry.stat().st_mtime > 1
