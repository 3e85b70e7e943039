"""Planning outside the kernel: one request at a time in a process of its own, so that it can be cancelled at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from roam_lab.errors import RoamError
from roam_lab.interrupt import deaf_children

if TYPE_CHECKING:
    from roam_lab.ir import Graph
    from roam_lab.plan import Plan
    from roam_lab.plan.frontier import Frontier

Work = Callable[["Graph", Mapping[str, Any]], Any]
"""A function that the other process runs: of a graph and settings, it returns a result."""
PAINTED = 4
"""Times the pause before a plan that is waited for until it is painted."""
DEBOUNCE_SECONDS = 0.25
"""Wait so long for a newer request: a dragged slider makes many, and only the last is planned."""


def plan_elsewhere(graph: Graph, settings: Mapping[str, Any]) -> Plan:
    """The plan of `graph` with these settings of `make_plan`; runs in the other process."""
    from roam_lab.plan import make_plan

    return make_plan(graph, **settings)


def frontier_elsewhere(graph: Graph, settings: Mapping[str, Any]) -> Frontier:
    """The frontier of `graph` with these settings of `make_frontier`; runs in the other process."""
    from roam_lab.plan.frontier import make_frontier

    return make_frontier(graph, **settings)


class Background:
    """Plans graphs, and finds their frontiers, off the event loop. A new request replaces one that waits or runs.

    `done(plan)` and `failed(sentence)` are called in the event loop that was running when this was made (without one:
    in a thread of the executor). `cancel` kills the process, whatever it is doing; the next request starts another.
    """

    def __init__(
        self,
        done: Callable[[Plan], None],
        failed: Callable[[str], None],
        debounce_seconds: float = DEBOUNCE_SECONDS,
    ) -> None:
        self._done, self._failed, self._debounce = done, failed, debounce_seconds
        self._executor: Any = None
        self._timer: threading.Timer | None = None
        self._running: Future[Any] | None = None
        self._asked = 0
        self._lock = threading.RLock()
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    @property
    def busy(self) -> bool:
        """Whether a request waits or runs."""
        with self._lock:
            return self._timer is not None or self._running is not None

    def ask(self, graph: Graph, settings: Mapping[str, Any]) -> None:
        """Plan `graph` with the settings of `make_plan`, if no other request comes within a moment."""
        self._ask(plan_elsewhere, self._done, graph, settings)

    def ask_frontier(
        self, graph: Graph, settings: Mapping[str, Any], found: Callable[[Frontier], None], after_plan: bool = False
    ) -> None:
        """Call `found` with the frontier of `graph` by the settings of `make_frontier`, in place of `done`.
        `after_plan`: a plan has just come; the search, which takes a core, begins when a page has had time to paint it.
        """
        self._ask(frontier_elsewhere, found, graph, settings, PAINTED * self._debounce if after_plan else None)

    def _ask(
        self,
        work: Work,
        done: Callable[[Any], None],
        graph: Graph,
        settings: Mapping[str, Any],
        wait_seconds: float | None = None,
    ) -> None:
        with self._lock:
            self.cancel()
            number = self._asked
            wait = self._debounce if wait_seconds is None else wait_seconds
            self._timer = threading.Timer(wait, self._start, (number, work, done, graph, dict(settings)))
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> bool:
        """Drop the request that waits, kill the one that runs; whether there was one. No callback is called."""
        with self._lock:
            had = self.busy
            self._asked += 1
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._running is not None:
                self._running = None
                self._drop_executor()
            return had

    def close(self) -> None:
        """Cancel, and end the process that waits for work."""
        with self._lock:
            self.cancel()
            self._drop_executor()

    def _drop_executor(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, kill_workers=True)

    def _start(
        self, number: int, work: Work, done: Callable[[Any], None], graph: Graph, settings: dict[str, Any]
    ) -> None:
        with self._lock:
            if number != self._asked:
                return
            self._timer = None
            if self._executor is None:
                from loky import ProcessPoolExecutor

                self._executor = ProcessPoolExecutor(max_workers=1)
            with deaf_children(tracked=True):  # the kernel's stop button is for the running cell
                future = self._executor.submit(work, graph, settings)
            self._running = future
        future.add_done_callback(lambda ended: self._tell(number, done, ended))

    def _tell(self, number: int, done: Callable[[Any], None], future: Future[Any]) -> None:
        with self._lock:
            if number != self._asked:
                return
            self._running = None
        error = future.exception()
        if error is None:
            self._call(number, done, future.result())
        elif isinstance(error, RoamError):
            self._call(number, self._failed, str(error))
        else:
            self._drop_executor()  # the process has died, for example out of memory; the next request gets a new one
            self._call(
                number, self._failed, f"planning ended unexpectedly ({type(error).__name__}: {error}); try again"
            )

    def _call(self, number: int, function: Callable[[Any], None], value: Any) -> None:
        def still_wanted() -> None:
            if number == self._asked:
                function(value)

        if self._loop is None:
            still_wanted()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(still_wanted)
