"""What the searches share: the problem, the evaluator, the best states found so far, and the effort left.

A *state* says for every gap of every storage whether the storage stays in memory (`tape.KEEP`, `DROP`, `HOLD`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roam_lab.rewrite.evaluate import Cost, evaluate
from roam_lab.rewrite.front import Front
from roam_lab.rewrite.roles import Roles, roles_of
from roam_lab.rewrite.tape import Ints, Problem, Tape
from roam_lab.rewrite.trace import Trace, new_trace
from roam_lab.solvers.compiled import compiled

State = NDArray[np.int8]


class Explorer:
    """Evaluates states and remembers the best ones, in `front`.

    `left`: how many states may still be evaluated (counted, not timed). It goes below 0 if a search goes on: searches
    look at it, and stop. `trace`: the run of the state evaluated last.
    """

    def __init__(self, problem: Problem, effort: int = 0) -> None:
        self.problem = problem
        self.trace: Trace = new_trace(problem)
        self.roles: Roles = roles_of(problem)
        self.front = Front()
        self.left = effort
        self.is_free = np.zeros(len(problem.start), dtype=np.bool_)
        self.is_free[problem.free_gaps] = True
        self.gap_storage = problem.gap_storage
        self._tried: set[bytes] = set()

    def see(self, state: State, target: int = 0) -> Cost:
        """Evaluate `state`, and add it to `front` if it can be run and no known state is better in both time and peak.
        `target`: see `evaluate`. `trace` then holds its run."""
        self.left -= 1
        cost = evaluate(self.problem, state, self.trace, target)
        if cost.possible:
            self.front.add(cost.us, cost.peak, state)
        return cost

    def is_new(self, state: State) -> bool:
        """Whether this is the first call with `state`. Searches are deterministic, so one that starts from a known
        state would only repeat itself."""
        key = state.tobytes()
        known = key in self._tried
        self._tried.add(key)
        return not known

    def held_through(self, item: int) -> Ints:
        """Free gaps, ascending, in which a storage is live at `item` of the last run without being used by it."""
        found: Ints = held(self.problem.tape, self.trace, item)
        return np.sort(found[self.is_free[found]])

    def again(self) -> Ints:
        """Ops (of the tape) that the last run ran more than once."""
        ops = self.trace.ops[: self.trace.ops_at[self.trace.found[0]]]
        return np.flatnonzero(np.bincount(ops, minlength=len(self.problem.order)) > 1).astype(np.int32)


@compiled
def held(tape: Tape, trace: Trace, item: int) -> Ints:
    """The gaps in which storages are live at `item` that the item neither reads nor makes."""
    found = np.empty(trace.found[1], dtype=np.int32)
    count = 0
    now = trace.item_instruction[item]
    for instance in range(trace.found[1]):
        if trace.birth[instance] < item < trace.last[instance]:
            storage = trace.instance_storage[instance]
            at, touched = -1, False
            for gap in range(tape.gap_at[storage], tape.gap_at[storage + 1]):
                if tape.gap_instruction[gap] < now:
                    at = gap
                elif tape.gap_instruction[gap] == now:
                    touched = True
            if at >= 0 and not (touched and trace.item_main[item]):
                found[count] = at
                count += 1
    return found[:count]
