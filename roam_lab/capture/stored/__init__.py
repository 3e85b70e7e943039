"""Captures that are kept on disk for the next start of a script.

A capture is what tracing has found out: a graph of ATen ops, what its inputs and results are in the user's objects, and
under which conditions it is right. All of it is written as JSON (`captures`), tensors and objects by the paths under
which a step reaches them. Nothing in an entry is code: ops are named, and only those of `ops` are known; expressions
are trees of known functions. An entry that somebody else wrote can be wrong, but not do anything: it is used only after
it was held against what this process saw, and that is where a capture that is not right ends.

What a capture relied on must be the same:

1. the `key`: versions, machine, flags, batch, modes, forms of all tensors, settings of the optimizers;
2. the `picture` of everything that the step reaches, value by value, but for what a capture takes anew in each step;
3. the `code` that runs in the eager step: all of it was run when the capture was made, function by function, whatever
   file it stands in and whoever put it there;
4. the op log of the step, op by op, number by number, edge by edge, as for a capture that was just made (`finished`),
   with each input where the step reads it. The step is rehearsed for that on fakes (`capture/rehearsal.py`), along the
   log that is kept; or, where it cannot be, run eagerly.

Only a capture is kept whose planned step was the eager one, bit by bit, with a proof of it (runtime/proof.py): by which
plan, on which machine, with which numbers. Without a proof that holds now, the first planned step is held against an
eager one, and a capture that does not pass is thrown away. What cannot be named so is not kept: `NotStoredError` says
what.
"""

from __future__ import annotations

from roam_lab.errors import RoamError


class NotStoredError(RoamError):
    """A capture cannot be kept for the next start, or one that was kept is not that of this step; says why."""
