"""Hot loops compiled by numba where it is installed; the same Python, slower, where it is not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache, update_wrapper
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


@cache
def available() -> bool:
    """Whether numba can be imported."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


class _Compiled(Generic[P, R]):
    """A function that is compiled when it is first called, so that importing its module stays fast."""

    def __init__(self, function: Callable[P, R]) -> None:
        update_wrapper(self, function)
        self.function = function
        self.machine_code: Callable[P, R] | None = None

    def native(self) -> Callable[P, R]:
        """The function compiled by numba, or the plain one where numba is missing."""
        if self.machine_code is None:
            made = self.function
            if available():
                import numba

                made = _kept_if_possible(numba.njit(cache=True)(_calling_natives(self.function)))
            self.machine_code = made
        return self.machine_code

    def __call__(self, *given: P.args, **named: P.kwargs) -> R:
        return self.native()(*given, **named)


def _calling_natives(function: Callable[P, R]) -> Callable[P, R]:
    """A copy of the function that calls the machine code of each compiled function that it names."""
    plain = cast(FunctionType, function)
    world: dict[str, Any] = dict(plain.__globals__)
    for name in plain.__code__.co_names:
        if isinstance(world.get(name), _Compiled):
            world[name] = world[name].native()
    same = FunctionType(plain.__code__, world, plain.__name__, plain.__defaults__, plain.__closure__)
    same.__qualname__, same.__module__ = plain.__qualname__, plain.__module__
    return cast(Callable[P, R], same)


def _kept_if_possible(made: Any) -> Any:
    """The same, which goes on where its machine code cannot be written, such as on a full disk."""
    save = made._cache.save_overload

    def save_overload(*given: Any) -> None:
        with suppress(OSError):
            save(*given)

    made._cache.save_overload = save_overload
    return made


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of numbers and NumPy arrays; its machine code is kept on disk beside the module.

    It may call other compiled functions that are globals of its module, but not itself. Where numba is missing it runs
    as plain Python, so it may use only what both support.
    """
    return _Compiled(function)
