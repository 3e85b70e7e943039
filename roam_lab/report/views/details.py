"""The details of one storage, beside the figures: what it is, which ops still need it, what freeing it costs.

`figures/details.js` has the same in JavaScript, for any storage and any step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from roam_lab.report.units import bytes_text, exact_text
from roam_lab.report.views.needs import AGAIN
from roam_lab.report.views.places import PHASES
from roam_lab.report.views.tensors import Tensors

NOTHING = "Nothing selected: click a storage in any figure. Drag in a figure, or use arrow keys, to move the cursor."
LABELS = ("what", "made", "line", "code", "address", "lives", "needed by", "if freed")
Rows = list[tuple[str, str]]


def no_code(source: str) -> str:
    """For places where no source can be read: a page, a plan of another session."""
    return ""


def details(known: Tensors, storage: int, step: int, code: Callable[[str], str] = no_code) -> Rows:
    """Label and text of each row; the first, without a label, is the storage's name. `step`: the cursor's, from 0;
    `code`: returns the source code at "file:line". Rows about which nothing is known are left out."""
    if not 0 <= storage < len(known.bytes):
        return [("", NOTHING)]
    size, start, end = int(known.bytes[storage]), int(known.start[storage]), int(known.end[storage])
    parts = [f"{known.kind[storage]}, {bytes_text(size)} ({exact_text(size)})", form(known, storage)]
    rows = [
        ("", known.name(storage)),
        ("what", ", ".join(part for part in parts if part)),
        ("made", known.op(storage)),
        ("line", known.source(storage)),
        ("code", code(known.source(storage))),
        ("address", address(known, storage)),
    ]
    if start >= 0:
        count = len(known.order)
        alive = "not made yet" if step < start else "alive" if step < end else "freed"
        rows.append(("lives", f"steps {start + 1:,} to {end:,} of {count:,}; {alive} at step {step + 1:,}"))
        rows.append(("needed by", _needed(known, storage, step)))
        rows.append(("if freed", freed(known, storage)))
    return [row for row in rows if row[1]]


def form(known: Tensors, storage: int) -> str:
    """Shape and dtype: "(32, 128, 768) float32"; "" where the graph has neither."""
    info = known.graph.storages[storage]
    shape = "" if info.shape is None else f"({', '.join(map(str, info.shape))})"
    return " ".join(part for part in (shape, info.dtype) if part)


def address(known: Tensors, storage: int) -> str:
    """Where it lies in the arena, and who chose that."""
    offset = int(known.offset[storage])
    if offset < 0:
        return ""
    own = "; its op allocates it" if known.graph.storages[storage].external else ""
    return f"bytes {offset:,} to {offset + int(known.bytes[storage]):,} of the arena{own}"


def freed(known: Tensors, storage: int) -> str:
    """Whether it can be made again and how long that takes: "can be made again by tanh_1: 42.3 µs, 0.02 % of the step".
    What its op reads must be in memory then."""
    found = AGAIN[int(known.needs.again[storage])]
    time = float(known.needs.again_us[storage])
    if known.needs.again[storage] or math.isnan(time):
        return found
    total, count = step_us(known), inputs(known, storage)
    share = f", {100 * time / total:.2f} % of the step" if total else ""
    given = f" from its {count} input{'' if count == 1 else 's'}" if count else ""
    return f"{found}{given}: {time_text(time)}{share}, {times_of(known)}"


def inputs(known: Tensors, storage: int) -> int:
    """How many storages the op that creates it reads: they must be in memory when it is made again."""
    maker = known.graph.creator[storage]
    return 0 if maker is None else len(known.graph.ops[maker].reads)


def step_us(known: Tensors) -> float:
    """The time of all ops, 0.0 where none is known."""
    return sum(op.time_us or 0.0 for op in known.graph.ops)


def times_of(known: Tensors) -> str:
    """Where the ops' times come from, in words."""
    return known.graph.times or "as the graph says"


def time_text(us: float) -> str:
    """Microseconds as people read them: "42.3 µs", "1.20 ms"."""
    return f"{us / 1e3:,.2f} ms" if us >= 1e3 else f"{us:,.1f} µs"


def _needed(known: Tensors, storage: int, step: int) -> str:
    later = known.needs.after(storage, max(step, int(known.start[storage])))
    if not later:
        return "no op any more" if step >= int(known.start[storage]) else ""
    count = f"{len(later):,} op{'' if len(later) == 1 else 's'}: "
    if len(later) == 1:
        return count + user(known, later[0])
    return f"{count}next {user(known, later[0])}, last {user(known, later[-1])}"


def user(known: Tensors, step: int) -> str:
    """The op at `step`, with its module and phase: "mul_3 (h.1.mlp, backward) at step 12"."""
    index = known.order[step]
    place = [known.places.module[index], PHASES[known.places.phase[index]]]
    return f"{known.graph.ops[index].name} ({', '.join(part for part in place if part)}) at step {step + 1:,}"


def text_of(rows: Sequence[tuple[str, str]]) -> str:
    """The rows as lines."""
    return "\n".join(f"{label}: {value}" if label else value for label, value in rows)
