"""Which storages go to the host and when, beside the same in plain Python; and which points are tried with offload."""

from dataclasses import replace
from itertools import accumulate, pairwise
from types import SimpleNamespace

import pytest

from roam_lab.ir import captured_order, live_curve, untouched
from roam_lab.ir.graph import Device
from roam_lab.ir.host_copies import copy_us
from roam_lab.rewrite import offload as module
from roam_lab.rewrite import offloaded as on_top
from roam_lab.rewrite.host_moves import COPY, HostMove, with_moves
from roam_lab.rewrite.points import Goals, Point
from tests.rewrite.graphs import Writer, blocks, ladder, random_step

LINK = Device(1e12, 1e12, 0.5, 10**6, host_bytes_per_s=50e6)


class Gap:
    def __init__(self, storage, written, before, after):
        self.storage, self.written, self.before, self.after = storage, written, before, after
        self.soonest, self.latest = before + 1, after


def gaps_of(graph, begins):
    """Each stretch of at least one op in which a storage that may move is not used, the longest first."""
    least = max(1, 1e-3 * max(live_curve(graph, captured_order(graph))))
    found = []
    for storage, info in enumerate(graph.storages):
        uses = [index for index in range(len(graph.ops)) if storage in graph.uses[index]]
        writes = [i for i, op in enumerate(graph.ops) if storage in (*op.creates, *op.writes)]
        if not info.output and info.bytes >= least:
            found += [Gap(storage, max(w for w in writes if w <= a), a, b) for a, b in pairwise(uses) if b - a > 1]
    found.sort(key=lambda gap: (gap.after, gap.storage))
    return sorted(found, key=lambda gap: begins[gap.before + 1] - begins[gap.after])


def free(taken, begin, lasts):
    return all(end <= begin or begin + lasts <= start for start, end in taken)


def plain_moves(graph, device, target):
    begins = [0.0, *accumulate(op.time_us or 0.0 for op in graph.ops)]
    curve = live_curve(graph, captured_order(graph)).tolist()
    gaps, taken, moves = gaps_of(graph, begins), [], []

    def moved(gap, at):
        lasts = copy_us(graph.storages[gap.storage].bytes, device)
        ready, due = begins[gap.written + 1], begins[gap.after]
        begin = min(t for t in (ready, *(end for _, end in taken)) if t >= ready and free(taken, t, lasts))
        gap.soonest = max(gap.soonest, next((i for i, t in enumerate(begins) if t >= begin + lasts), len(begins)))
        ends = (due, *(start for start, _ in taken))
        start = max(t - lasts for t in ends if t <= due and free(taken, t - lasts, lasts))
        gap.latest = min(gap.latest, max((i for i, t in enumerate(begins) if t <= start), default=-1))
        if not gap.soonest <= at < gap.latest or start < begin + lasts:
            return False
        taken.extend(((begin, begin + lasts), (start, start + lasts)))
        for step in range(gap.soonest, gap.latest):
            curve[step] -= graph.storages[gap.storage].bytes
        moves.append(HostMove(gap.storage, gap.soonest, gap.latest))
        gaps.remove(gap)
        return True

    while max(curve) > target:
        at = curve.index(max(curve))
        if not any(moved(gap, at) for gap in gaps if gap.soonest <= at < gap.latest):
            break
    most = max(*curve, target)
    needed = []
    for move in reversed(moves):
        size, during = graph.storages[move.storage].bytes, range(move.out, move.back)
        if max(curve[step] for step in during) + size <= most:
            for step in during:
                curve[step] += size
        else:
            needed.insert(0, move)
    return needed


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_the_same_storages_move_at_the_same_time_as_in_plain_python(share, monkeypatch):
    """Down to a share of the peak, or as low as it goes."""
    found, moved = [], 0
    monkeypatch.setattr(module, "with_moves", lambda rewritten, moves: found.append(moves[:]) or rewritten)
    monkeypatch.setattr(module, "waited_us", lambda *given: 0.0)
    for seed in range(60):
        graph = (random_step(seed), ladder(seed, 6), blocks(2 + seed % 5))[seed % 3]
        target = int(share * max(live_curve(graph, captured_order(graph))))
        found.clear()
        module.offload(untouched(graph), replace(LINK, launch_us=0.1 * (seed % 7)), target)
        moves = plain_moves(graph, replace(LINK, launch_us=0.1 * (seed % 7)), target)
        assert found == ([moves] if moves else []), seed
        moved += len(moves)
    assert moved > 60


def test_the_last_moves_are_left_out_until_ops_hardly_wait(monkeypatch):
    graph = blocks(6)  # 6 * 65 + 2 us
    most = module.WAITS * sum(op.time_us for op in graph.ops)

    def left(*waits):
        made, waits = [], list(waits)
        monkeypatch.setattr(module, "with_moves", lambda rewritten, moves: made.append(moves[:]) or rewritten)
        monkeypatch.setattr(module, "waited_us", lambda *given: waits.pop(0))
        module.offload(untouched(graph), LINK)
        assert all(moves == made[0][: len(made[0]) - number] for number, moves in enumerate(made))
        return len(made)

    assert left(most) == 1
    assert left(most + 1e-9, 0.0) == 2
    assert left(most + 1, most + 1, most) == 3


def test_copies_wait_for_what_used_their_source_and_ops_for_what_came_back():
    """And for nothing else; what has moved takes no other's place."""
    copies = 0
    for seed in range(40):
        graph = (random_step(seed), ladder(seed, 6))[seed % 2]
        begins = [0.0, *accumulate(op.time_us or 0.0 for op in graph.ops)]
        moves = [HostMove(gap.storage, gap.before + 1, gap.after) for gap in gaps_of(graph, begins)]
        made = with_moves(untouched(graph), moves)
        place = [number for number, origin in enumerate(made.origins) if origin.ops]
        users, came_back = {}, {}
        for number, (op, origin) in enumerate(zip(made.graph.ops, made.origins, strict=True)):
            if origin.copies:
                source, target = origin.copies
                assert (op.target, op.reads, op.creates, op.time_us, op.pure) == (COPY, (source,), (target,), 0.0, True)
                assert op.after == tuple(sorted(users[source]))
                users[source].add(number)
                if made.graph.storages[target].region == "arena":
                    came_back[target] = number
                copies += 1
            else:
                before = graph.ops[origin.ops[0]]
                assert (op.name, op.pure, op.creates) == (before.name, before.pure, before.creates)
                waits = {came_back[one] for one in (*op.reads, *op.writes) if one in came_back}
                assert op.after == tuple(sorted({place[other] for other in before.after} | waits))
                assert op.reuse == tuple(pair for pair in before.reuse if pair[1] in op.reads)
            for one in (*op.creates, *op.touches):
                users.setdefault(one, set()).add(number)
        new = made.graph.storages[len(graph.storages) :]
        for number, move in enumerate(sorted(moves, key=lambda one: one.back)):
            host, arena = new[2 * number : 2 * number + 2]
            one = graph.storages[move.storage]
            assert (host.bytes, host.region, arena) == (one.bytes, "host", replace(one, region="arena"))
    assert copies > 200


def test_copies_before_one_op_go_out_first_in_the_sequence_of_the_moves():
    write = Writer()
    a, b, c = (write.storage(size) for size in (8, 16, 32))
    for storage in (a, b, c):
        write.op((storage,))
    for _ in range(3):
        write.op()
    write.op((), (a, b, c))
    moves = [HostMove(c, 4, 6), HostMove(a, 4, 6), HostMove(b, 3, 4)]
    names = [op.name for op in with_moves(untouched(write.graph()), moves).graph.ops]
    assert names == [
        "op_0", "op_1", "op_2", "to_host_1", "op_3", "to_host_2", "to_host_0", "from_host_3", "op_4", "op_5",
        "from_host_5", "from_host_7", "op_6",
    ]  # fmt: skip


def points(*given):
    return tuple(Point(extra, peak, lambda: pytest.fail("not asked for"), f"{extra}") for extra, peak in given)


@pytest.mark.parametrize(
    ("extra_times", "tried"),
    [
        ((), [0.0]),
        ((0.4,), [0.0, 0.2, 0.3, 0.4]),
        ((0.1,), [0.0, 0.05, 0.07, 0.1]),
        ((0.1, 0.1, 0.1, 0.2), [0.0, 0.05, 0.07, 0.1, 0.15, 0.2]),
        ((0.1, 0.1, 0.1, 0.1, 0.4), [0.1, 0.4, 0.0]),
    ],
)
def test_the_points_at_shares_of_each_extra_time_are_tried_once_and_the_first(extra_times, tried, monkeypatch):
    known, asked = points(*((extra, 0) for extra in (0.0, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4))), []

    def with_offload(graph, device, point, target=0):
        asked.append(point.extra_time)
        assert target == 0
        return point if point.extra_time != 0.05 else None

    monkeypatch.setattr(on_top, "_with_offload", with_offload)
    found = on_top.offloaded(replace(blocks(2), device=LINK), Goals(extra_times), known)
    assert asked == tried
    assert [point.extra_time for point in found] == [one for one in tried if one != 0.05]


@pytest.mark.parametrize("reaching", range(8))
def test_the_fastest_point_that_offload_brings_within_a_budget_is_found(reaching, monkeypatch):
    """Of seven points; offload lowers each to 150 or to 100 bytes, from the one named on; the last does without."""
    known, asked = points(*((number / 10, 200 - 20 * number) for number in range(7))), []

    def with_offload(graph, device, point, target):
        number = known.index(point)
        asked.append(number)
        assert target == int(0.995 * 101)
        return None if number == 6 else Point(point.extra_time, 150 if number < reaching else 101, None, "")

    monkeypatch.setattr(on_top, "_with_offload", with_offload)
    found = [one for one in on_top._within(blocks(2), LINK, known, 101) if one.peak_bytes <= 101]
    assert min((one.extra_time for one in found), default=None) == (reaching / 10 if reaching < 6 else None)
    assert len(asked) == len(set(asked)) <= 3
    assert asked[0] == 3


def test_a_point_with_offload_adds_the_time_that_ops_wait(monkeypatch):
    graph = blocks(6)
    us = sum(op.time_us for op in graph.ops)
    point = Point(0.25, 1000, lambda: untouched(graph), "auto")
    monkeypatch.setattr(on_top, "waited_us", lambda *given: us / 8)
    found = on_top._with_offload(graph, LINK, point)
    assert (found.extra_time, found.strategy) == (0.375, "auto")
    after = found.rewritten().graph
    assert found.peak_bytes == max(live_curve(after, captured_order(after))) < 1000
    assert on_top._with_offload(graph, LINK, point, 10**6) is None  # low enough as it is
    timeless = replace(graph, ops=tuple(replace(op, time_us=None) for op in graph.ops))
    monkeypatch.setattr(on_top, "offload", lambda before, *rest: SimpleNamespace(graph=graph))
    assert on_top._with_offload(timeless, LINK, point).extra_time == pytest.approx(0.25 + us / 8)
