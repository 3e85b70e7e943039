"""Stage 2: bits of single operators: eagerly twice, into an arena at several alignments, one by one against many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NO_BITS
from benchmarks.cuda.single_ops import PAIRS, Call, Recorded, calls, placed
from roam_lab.capture.torch_internals import pytree
from roam_lab.capture.writers import writer_for
from roam_lab.runtime.identity import digest

ALIGNMENTS = (64, 256, 512)
OURS = 512
"""What plans for CUDA are aligned to: from here on bits have to be equal."""


def run(cell: Cell) -> None:
    """A part a call of single_ops.py."""
    made = calls(cell.settings["scale"])
    for name in cell.settings["ops"]:
        if cell.wanted(name):
            with cell.part(name) as line:
                line |= looked_into(name, made[name], cell.fake)


def looked_into(name: str, call: Call, fake: bool, alignments: Sequence[int] = ALIGNMENTS) -> dict[str, Any]:
    """The line of one call: repeatable, and equal to itself in an arena, by alignment."""
    random = torch.cuda.get_rng_state()
    with Recorded() as recorded:
        first = call()
    torch.cuda.set_rng_state(random)
    line: dict[str, Any] = {"repeatable": digests(first) == digests(call())}
    if name in PAIRS:
        apart, together = first
        line["identical"] = digests(apart) == digests(together)
        wrong = PAIRS[name] and not line["identical"]
    else:
        found = {str(alignment): _in_arena(recorded, alignment) for alignment in alignments}
        line["places_given_to"] = found[str(alignments[0])][1]
        line["identical_at"] = {alignment: not parted for alignment, (parted, _) in found.items()}
        line["parted"] = {alignment: parted for alignment, (parted, _) in found.items() if parted}
        wrong = any(parted for alignment, (parted, _) in found.items() if int(alignment) >= OURS)
    if fake:
        return {"places_given_to": line.get("places_given_to"), "identical": None, "bits": NO_BITS}
    return {**line, "status": "differs" if wrong and line["repeatable"] else "done"}


def _in_arena(recorded: Recorded, alignment: int) -> tuple[list[str], list[str]]:
    """Which of the recorded operators give other bits with everything at addresses of this alignment, and which of
    them were given a place for their results."""
    parted, given = [], []
    for func, args, kwargs, result in recorded.ops:
        if func._schema.is_mutable or not isinstance(result, torch.Tensor | tuple | list):
            continue
        writer = writer_for(func, args, result)
        args, kwargs = placed(args, alignment), placed(kwargs, alignment)
        random = torch.cuda.get_rng_state()
        expected = func(*args, **kwargs)
        torch.cuda.set_rng_state(random)
        if writer is not None and writer.function is not None:
            given.append(str(func))
            outs = placed(expected, alignment)
            for one in pytree.tree_leaves(outs):
                one.zero_()
            _write(writer, outs, args, kwargs)
        else:
            outs = func(*args, **kwargs)
        if _drawn(func):  # from another state than the recorded call
            if digests(outs) != digests(expected):
                parted.append(str(func))
        elif digests(outs) != digests(result):
            parted.append(str(func))
    return parted, given


def _write(writer: Any, outs: Any, args: Any, kwargs: Any) -> None:
    several = outs if isinstance(outs, tuple | list) else [outs]
    if writer.names:
        writer.function(*args, **kwargs, **dict(zip(writer.names, several, strict=True)))
    else:
        writer.function(several, *args, **kwargs)


def _drawn(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


def digests(values: Any) -> list[str]:
    """Digests of all tensors in `values`, in sequence."""
    return [digest(one.detach()) for one in pytree.tree_leaves(values) if isinstance(one, torch.Tensor)]
