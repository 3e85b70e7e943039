"""The largest size that fits: what the search asks for, and what it says where nothing fits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roam_lab.errors import InfeasibleError, InputError
from roam_lab.ir import Graph, Op, Storage
from roam_lab.plan import Profile, make_plan
from roam_lab.plan.devices import GIB, Device
from roam_lab.plan.largest import LAST, Largest, LargestSizes, Within, largest_size, largest_sizes
from roam_lab.plan.needs import Need, Needs
from roam_lab.plan.runs import EXTRA_TIMES, RUNS, plan_for, point_at

MIB = 2**20
ALL = (*RUNS, *EXTRA_TIMES)


def counted(need: Callable[[int], int]) -> tuple[Callable[[int], int], list[int]]:
    """`need`, and the sizes that it was asked for."""
    asked: list[int] = []

    def ask(size: int) -> int:
        asked.append(size)
        return need(size)

    return ask, asked


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**7),
    st.integers(1, 10**6),
    st.sampled_from([1, 100_000]),
    st.integers(1, 10**9),
    st.sampled_from([1, 8, 1000]),
    st.sampled_from([None, 1, 777]),
)
def test_the_next_size_does_not_fit(base: int, each: int, step: int, room: int, start: int, most: int | None) -> None:
    """Needs that rise in steps, as segments of an allocator do."""
    need, asked = counted(lambda size: -(-(base + each * size) // step) * step)
    found = largest_size(need, base, room, start, most)
    assert len(set(asked)) == len(asked) <= 24
    assert most is None or max(asked) <= most
    assert found == 0 or need(found) <= room
    assert found == most or need(found + 1) > room


@pytest.mark.parametrize(("start", "asks"), [(93, 3), (1, 6)])
def test_a_line_is_met_in_a_few_captures(start: int, asks: int) -> None:
    """GPT-2 as it is, in MiB; 22 GiB are left."""
    need, asked = counted(lambda size: 2300 + 84 * size)
    assert largest_size(need, 2300 if start == 93 else 1424, 22 * 1024, start) == 240
    assert len(asked) == asks
    assert {240, 241} <= set(asked)


def test_needs_that_never_grow_are_no_answer() -> None:
    with pytest.raises(InputError, match="nothing bounds it; give less memory"):
        largest_size(lambda size: 10, 0, 100, 1)
    need, asked = counted(lambda size: size)
    assert largest_size(need, 0, LAST // 2, 1) == LAST // 2
    assert len(asked) < 24


def activations(size: int) -> Profile:
    """A chain forward, whose results the way back reads: the first is cheap to make again, the others are not."""
    count = 6
    storages = [Storage(8 * MIB, region="resident")]
    storages += [Storage(size * 10 * MIB) for _ in range(2 * count)] + [Storage(4, output=True)]
    ops = [
        Op(f"forward_{at}", "t", (at - 1,) if at else (), (at + 1,), (at,), pure=True, time_us=10.0, phase="forward")
        for at in range(count)
    ]
    for at in range(count):
        reads = (count + at, count - at) if at else (count,)
        ops.append(
            Op(
                f"backward_{at}",
                "t",
                (count + at - 1, count - at - 1),
                (count + 1 + at,),
                reads,
                pure=True,
                time_us=20.0,
            )
        )
    ops.append(Op("end", "t", (2 * count - 1,), (2 * count + 1,), (2 * count,), pure=True, time_us=1.0))
    return Profile(graph=Graph(f"size {size}", tuple(storages), tuple(ops)), resident={"parameter": 8 * MIB})


def test_every_answer_and_the_next_were_captured_and_planned() -> None:
    heard: list[str] = []
    needs = Needs(activations, lambda what, part: heard.append(what))
    room = 1 * GIB
    found = largest_sizes(needs, room, ALL, 2, "batch size")
    sizes = [one.size for one in found.largest]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    for one in found.largest:
        assert {one.size, one.size + 1} <= set(found.captured)
        assert one.bytes <= room < (one.next_bytes or 0)
        if isinstance(one.run, float):
            assert one.extra_time <= one.run
            profile = activations(one.size)
            plan = make_plan(profile.graph, extra_time=one.run)
            assert plan.arena_bytes + profile.resident_bytes <= one.bytes
    assert any("25% more time" in what for what in heard)
    again = largest_sizes(needs, room, ALL, 2, "batch size")
    assert again == found
    assert len(heard) == len(set(heard))


def test_the_end_of_the_model_is_the_end() -> None:
    needs = Needs(activations)
    found = largest_sizes(needs, GIB, RUNS, 2, "sequence length", 4, most=3)
    assert [(one.size, one.next_bytes) for one in found.largest] == [(3, None)] * 2
    assert max(needs.sizes) == 3


def test_where_nothing_fits_the_least_is_told() -> None:
    found = largest_sizes(Needs(activations), 30 * MIB, ALL, 2, "batch size")
    assert [one.size for one in found.largest] == [0] * len(ALL)
    least = min(one.bytes for one in found.largest)
    within = Within("chain", Device("own", GIB + 30 * MIB), (found,))
    with pytest.raises(
        InfeasibleError, match=rf"chain: nothing fits .* is {least} bytes, at batch size 1 and"
    ) as caught:
        within.check()
    assert caught.value.exit_status == 1


def test_one_axis_that_fits_is_enough() -> None:
    none = largest_sizes(Needs(activations), 30 * MIB, ("eager",), 2, "batch size")
    some = largest_sizes(Needs(activations), GIB, ("eager", "planned", 0.1), 2, "sequence length", 4)
    within = Within("chain", Device("own", 2 * GIB), (none, some))
    within.check()
    data = within.to_data()
    assert (data["memory_bytes"], data["overhead_bytes"]) == (2 * GIB, GIB)
    assert [along["axis"] for along in data["sizes"]] == ["batch size", "sequence length"]
    assert [(one["run"], one["allowed"]) for one in data["sizes"][1]["largest"]] == [
        ("eager", None),
        ("planned", 0.0),
        ("rewritten", 0.1),
    ]
    assert isinstance(some, LargestSizes)


def test_what_a_search_asks_for() -> None:
    """On a line the guess is met at once; then one neighbour. Where needs jump, guesses go eight times further beyond
    the line each time, less than sixteen times what fits; after three changes of side the middle is tried."""
    for need, base, room, start, most, asks in (
        (lambda size: 100 + 10 * size, 100, 1000, 90, None, [90, 91]),
        (lambda size: 100 + 10 * size, 100, 1000, 10, None, [10, 91, 90]),
        (lambda size: 100 + 10 * size, 100, 1000, 200, None, [200, 90, 91]),
        (lambda size: 100 + 10 * size, 0, 1000, 50, None, [50, 84, 98, 90, 91]),
        (lambda size: 10 * size, 0, 5, 4, None, [4, 1]),
        (lambda size: 10 * size, 0, 1000, 50, 20, [20]),
        (lambda size: 10 * size, 0, 1000, 7, 20, [7, 20]),
        (lambda size: 10 * size, 0, 1000, 7, 100, [7, 100]),
        (lambda size: 1 if size < 100 else 9, 1, 5, 1, None, [1, 15, 239, 127, 70, 98, 113, 105, 101, 99, 100]),
        (lambda size: size * size, 0, 1000, 1, None, [1, 15, 71, 24, 28, 31, 39, 35, 33, 32]),
        (lambda size: 10 * size + 300 * (size > 60), 0, 1000, 10, None, [10, 101, 77, 71, 62, 70]),
    ):  # fmt: skip
        ask, asked = counted(need)
        found = largest_size(ask, base, room, start, most)
        assert (asked, need(found) <= room) == (asks, True), (room, start, most)
        assert found == most or need(found + 1) > room


def test_what_a_step_needs_at_a_size_is_planned_once_and_captured_once() -> None:
    captured: list[int] = []
    heard: list[tuple[str, float]] = []

    def at(size: int) -> Profile:
        captured.append(size)
        return activations(size)

    needs = Needs(at, lambda what, part: heard.append((what, part)))
    point = needs.point(40, (0.1, 1.0))
    assert heard == [(f"planning at 40, {time} more time", 0.5) for time in ("0%", "10%", "100%")]
    profile = activations(40)
    plans = {time: plan_for(profile, time) for time in (0.0, 0.1, 1.0)}
    assert point == point_at(40, profile, plans[0.0], {time: plans[time] for time in (0.1, 1.0)})
    assert point.added == {"planned": 0.0, 0.1: plans[0.1].extra_time, 1.0: plans[1.0].extra_time}
    assert 0 < point.added[0.1] <= 0.1 < point.added[1.0] <= 1.0
    heard.clear()
    assert [needs.need(40, run) for run in ("planned", 0.1, "planned", "eager", 0.1)] == [
        needs.need(40, run) for run in ("planned", 0.1, "planned", "eager", 0.1)
    ]
    assert heard == [("planning at 40", 0.5), ("planning at 40, 10% more time", 0.5)]
    assert (needs.need(40, 0.1).bytes, needs.need(40, 0.1).extra_time) == (point.least(0.1), point.added[0.1])
    assert needs.need(40, "planned").bytes == point.least("planned")
    assert (needs.need(40, "eager").bytes, needs.need(40, "eager").extra_time) == (point.least("eager"), 0.0)
    assert needs.profile(40) is needs.profile(40)
    needs.need(3, "eager")
    assert captured == [40, 3]
    assert needs.sizes == (3, 40)


def test_a_plan_known_for_less_time_that_needs_no_more_is_taken() -> None:
    """Also one that was asked for before: a search finds different plans for different times."""
    needs = Needs(activations)
    first, second = needs.need(40, 0.1), needs.need(40, 0.05)
    assert needs.need(40, 0.1) == min((first, second, needs.need(40, "planned")), key=lambda one: one.bytes)
    needs._needs[40][0.05] = Need(5, 0.01)
    needs._needs[40]["planned"] = Need(6)
    assert [needs.need(40, run).bytes for run in ("planned", 0.05, 0.1)] == [6, 5, 5]
    assert needs.need(40, "eager").bytes > 6


def test_where_nothing_fits_the_whole_sentence() -> None:
    along = [
        LargestSizes(axis, None, (Largest("eager", 0, 900, 1000, 0.0), Largest(0.1, 0, least, 800, 0.093)), (1, 2))
        for axis, least in (("batch size", 700), ("sequence length", 650))
    ]
    within = Within("step", Device("own", 600, 100), tuple(along))  # type: ignore[arg-type]
    with pytest.raises(InfeasibleError) as caught:
        within.check()
    assert str(caught.value) == (
        "step: nothing fits into 600 bytes, 100 of them lost to the driver's context: the least known to do for the "
        "step is 650 bytes, at sequence length 1 and 9.3% more time; give more memory, or make the model smaller"
    )
    assert within.to_data()["sizes"][1] == {
        "axis": "sequence length",
        "fixed": None,
        "captured": (1, 2),
        "most": None,
        "largest": [
            {"run": "eager", "size": 0, "bytes": 900, "next_bytes": 1000, "extra_time": 0.0, "allowed": None},
            {"run": "rewritten", "size": 0, "bytes": 650, "next_bytes": 800, "extra_time": 0.093, "allowed": 0.1},
        ],
    }
