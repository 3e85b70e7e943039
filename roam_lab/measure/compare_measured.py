"""Comparing measured with predicted memory: sentences on where and why the peaks differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from roam_lab.ir.measured import MeasuredCurve

TOLERANCE = 0.05
"""Peaks that differ by more than this part of the measured one are explained."""

_HOST = frozenset({"aten._local_scalar_dense.default"})  # reads a number; nothing is allocated


def compare(
    measured: MeasuredCurve,
    predicted_bytes: Sequence[int],
    predicted_labels: Sequence[str],
    predicted_phases: Sequence[str | None] = (),
    *,
    tolerance: float = TOLERANCE,
) -> tuple[str, ...]:
    """Sentences on where and why the two peaks differ by more than `tolerance`; none when they do not.

    `predicted_bytes` is the live curve of the captured order in bytes, `predicted_labels` the target of each of its
    ops, `predicted_phases` their phases (forward, backward, update) where they are known. The first sentence gives
    both peaks and their operators; the others, in falling importance, what explains the difference: operators that
    ran outside the graph, multi-tensor ones that the graph splits, graph ops that did not run, the operator where
    the curves part, and bytes still held after the step.
    """
    seen = measured.peak_bytes
    expected = max(predicted_bytes, default=0)
    if abs(seen - expected) <= tolerance * max(seen, 1):
        return ()
    where = f"at operator {measured.peak_step} ({measured.labels[measured.peak_step]})" if measured.labels else "never"
    position = list(predicted_bytes).index(expected) if predicted_bytes else 0
    there = f"at op {position} ({predicted_labels[position]})" if predicted_labels else "never"
    side = "above" if seen > expected else "below"
    part = abs(seen - expected) / max(expected, 1)
    sentences = [
        f"measured peak {_mib(seen)} {where} lies {part:.0%} {side} the predicted {_mib(expected)} {there}",
        *_outside_graph(measured, predicted_labels),
        *_not_run(measured, predicted_bytes, predicted_labels),
        *_parting(measured, predicted_bytes, predicted_labels, predicted_phases, tolerance),
    ]
    left = (measured.live_bytes[-1] if measured.live_bytes else 0) - (predicted_bytes[-1] if predicted_bytes else 0)
    if left > tolerance * max(expected, 1):
        sentences.append(
            f"{_mib(left)} more than predicted were still held after the last operator: a library's cached workspace, "
            "or a tensor that the model or the step keeps"
        )
    return tuple(sentences)


def _outside_graph(measured: MeasuredCurve, predicted_labels: Sequence[str]) -> list[str]:
    extra = Counter(measured.labels) - Counter(predicted_labels)
    grown = _growth(measured.labels, measured.live_bytes)
    many = [label for label in extra if _multi_tensor(label)]
    sentences = []
    if many:
        sentences.append(
            f"{_listed((label, extra[label]) for label in many)} ran as one operator over all parameters, holding "
            f"{_mib(sum(grown[label] for label in many))} at once; the graph splits it into one op a parameter"
        )
    other = sorted((label for label in extra if label not in many and grown[label]), key=lambda x: -grown[x])
    if other:
        sentences.append(
            f"operators outside the graph allocated {_mib(sum(grown[label] for label in other))}: "
            f"{_listed((label, extra[label]) for label in other)}"
        )
    return sentences


def _not_run(measured: MeasuredCurve, predicted_bytes: Sequence[int], predicted_labels: Sequence[str]) -> list[str]:
    absent = Counter(predicted_labels) - Counter(measured.labels)
    grown = _growth(predicted_labels, predicted_bytes)
    labels = sorted((label for label in absent if grown[label]), key=lambda x: -grown[x])
    if not labels:
        return []
    return [
        f"ops of the graph that the eager step did not run were counted with "
        f"{_mib(sum(grown[label] for label in labels))}: {_listed((label, absent[label]) for label in labels)}"
    ]


def _parting(
    measured: MeasuredCurve,
    predicted_bytes: Sequence[int],
    predicted_labels: Sequence[str],
    predicted_phases: Sequence[str | None],
    tolerance: float,
) -> list[str]:
    """A sentence on the first operator at which the curves differ by more than `tolerance`. Operators are matched with
    ops by label, as far as both sides have equally many of a label."""
    ran = Counter(measured.labels)
    as_many = {
        label for label, number in Counter(predicted_labels).items() if number == ran[label] and label not in _HOST
    }
    places: dict[tuple[str, int], int] = {}
    count: Counter[str] = Counter()
    for position, label in enumerate(predicted_labels):
        places[label, count[label]] = position
        count[label] += 1
    count.clear()
    allowed = tolerance * max(measured.peak_bytes, max(predicted_bytes, default=0))
    for step, label in enumerate(measured.labels):
        found = places.get((label, count[label]))
        count[label] += 1
        if found is None or label not in as_many or abs(measured.live_bytes[step] - predicted_bytes[found]) <= allowed:
            continue
        seen = measured.live_bytes[step] - (measured.live_bytes[step - 1] if step else 0)
        expected = predicted_bytes[found] - (predicted_bytes[found - 1] if found else 0)
        if (
            found < len(predicted_phases)
            and predicted_phases[found] == "update"
            and measured.live_bytes[step] > (predicted_bytes[found])
        ):
            reason = "eager keeps every gradient until zero_grad, the graph lets each go after its last use"
        elif seen - expected > allowed / 2:
            reason = f"it added {_mib(seen)}, the graph says {_mib(expected)}: workspace inside the operator"
        elif expected - seen > allowed / 2:
            reason = f"it added {_mib(seen)}, the graph says {_mib(expected)}"
        elif measured.live_bytes[step] > predicted_bytes[found]:
            reason = "storages made before it were released later than the graph says"
        else:
            reason = "storages made before it were released earlier than the graph says, or never made"
        return [
            f"the curves part at operator {step} ({label}), measured {_mib(measured.live_bytes[step])}, predicted "
            f"{_mib(predicted_bytes[found])} at op {found}: {reason}"
        ]
    return []


def _growth(labels: Sequence[str], live_bytes: Sequence[int]) -> dict[str, int]:
    """Label -> bytes by which the curve rose at its operators."""
    grown: dict[str, int] = defaultdict(int)
    before = 0
    for label, live in zip(labels, live_bytes, strict=True):
        grown[label] += max(0, live - before)
        before = live
    return grown


def _multi_tensor(label: str) -> bool:
    return label.startswith(("aten._foreach_", "aten._fused_"))


def _listed(counts: Iterable[tuple[str, int]], most: int = 4) -> str:
    parts = [label if count == 1 else f"{label} ({count} times)" for label, count in counts]
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if abs(size) >= 2**20 // 10 else f"{size:,} bytes"
