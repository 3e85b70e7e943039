"""What waits a moment, so that the page paints first what is looked at first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Later:
    """One call that is made `seconds` after it was asked for; another takes the place of one that still waits.

    Without a running event loop calls are made at once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._function: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether a call is still to be made."""
        return self._function is not None

    def call(self, function: Callable[[], None]) -> None:
        """Call `function` later."""
        self.cancel()
        self._function = function
        try:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self.now)
        except RuntimeError:  # outside an event loop
            self.now()

    def now(self) -> None:
        """Make the call that waits, if one does."""
        function = self._function
        self.cancel()
        if function is not None:
            function()

    def cancel(self) -> None:
        """Forget the call that waits."""
        if self._timer is not None:
            self._timer.cancel()
        self._function = self._timer = None
