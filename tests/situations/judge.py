"""One training step, run eagerly and through `roam.hook` from the same seed: everything reachable compared bit for bit.

`compare(make)` runs both and returns a Verdict. Its outcome is one of

    planned   equal, and all steps were planned but the first of each variant of the step
    eager     equal, more steps ran eagerly, and `reasons` says why
    refused   one sentence was raised; afterwards the eager step ran on, and left what it leaves without roam-lab
    different, traceback, silently eager, broken after refusal, miscounted: faults

The eager side does not use the project: the step that it runs is written out below.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import random
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy
import torch
from torch import nn

import roam_lab as roam
from tests.situations.reachable import Walk, everything, restore, settings

PLANNED = frozenset({"planned"})
REFUSED = frozenset({"refused"})
HONEST = frozenset({"planned", "eager", "refused"})
"""What is right where the issue promises no plan: anything but a fault."""


@dataclasses.dataclass
class Situation:
    """What a user has: `batches` is a list (taken round and round) or a function of the step's index."""

    model: nn.Module
    optimizer: Any
    batches: Any
    loss: Any = None
    step: Any = None
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further objects of the user, by name: teachers, schedulers, optimizers held elsewhere."""
    extra: Callable[[], Any] = dict

    def batch(self, index: int) -> Any:
        return self.batches(index) if callable(self.batches) else self.batches[index % len(self.batches)]

    def roots(self) -> dict[str, Any]:
        several = isinstance(self.optimizer, list | tuple)
        optimizers = {f"optimizer {i}": o for i, o in enumerate(self.optimizer)} if several else {}
        held = {"model": self.model} | (optimizers or {"optimizer": self.optimizer})
        return held | {"loss": self.loss, "step": self.step} | dict(self.others) | {"extra": self.extra()}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        given = self.optimizer if isinstance(self.optimizer, list | tuple) else (self.optimizer,)
        return [o for o in (*given, *self.others.values()) if isinstance(o, torch.optim.Optimizer)]

    def eager(self, batch: Any) -> Any:
        """One step as the user runs it without roam-lab."""
        if self.step is not None:
            return self.step(self.model, self.optimizer, batch)
        value = self._loss(batch)
        value.backward()
        given = self.optimizer if isinstance(self.optimizer, list | tuple) else (self.optimizer,)
        for optimizer in given:
            optimizer.step()
        for optimizer in given:
            optimizer.zero_grad()
        return value.detach()

    def _loss(self, batch: Any) -> torch.Tensor:
        if isinstance(self.loss, nn.Module):
            return self.loss(self.model(batch[0]), batch[1])
        if self.loss is not None:
            return self.loss(self.model, batch)
        if isinstance(batch, Mapping):
            output = self.model(**batch)
        elif isinstance(batch, Sequence):
            output = self.model(*batch)
        else:
            output = self.model(batch)
        return output if isinstance(output, torch.Tensor) else output["loss"]


GRADIENTS = "^gradient of "
"""Places to ignore where eager leaves gradients: README, "Limits": they are not kept after a planned step."""

TOLD: list[Verdict] = []
"""Every verdict that a test looked at, for the table at the end of a run."""


@dataclasses.dataclass
class Verdict:
    outcome: str
    told: list[str] = dataclasses.field(default_factory=list)
    sentence: str = ""
    """The refusal."""
    planned: int = 0
    eager: int = 0
    reasons: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warned: list[str] = dataclasses.field(default_factory=list)
    step: Any = None
    """The hooked step, where there is one."""

    @property
    def why(self) -> str:
        """Why not all was planned: the refusal, or the reasons of the steps that ran eagerly."""
        return self.sentence or "; ".join(self.reasons)

    def must_be(self, right: frozenset[str] | set[str]) -> Verdict:
        """Fails the test, with all that is known, where the outcome is not among the `right` ones."""
        TOLD.append(self)
        right = right if BY == "plan" else HONEST
        if self.outcome not in right:
            lines = [f"outcome {self.outcome!r}, right would be {' or '.join(sorted(right))}", self.sentence]
            lines += [f"{self.planned} planned, {self.eager} eager {dict(self.reasons)}", *self.told[:12]]
            raise AssertionError("\n".join(line for line in lines if line))
        return self


def same_seed(seed: int) -> None:
    torch.manual_seed(seed)
    numpy.random.seed(seed)
    random.seed(seed)


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    kept = settings()
    try:
        yield
    finally:
        restore(kept)


BY = os.environ.get("ROAM_SITUATIONS_BY", "plan")
"""How steps are hooked: by a plan; or without one: alone, unchecked, with extra time, or at a second start."""
_WITHOUT_A_PLAN: Mapping[str, Mapping[str, Any]] = {
    "hook": {"cache": False}, "unchecked": {"cache": False, "check": "never"},
    "extra-time": {"cache": False, "extra_time": 0.25}, "second-start": {},
}  # fmt: skip


def roam_hook(
    made: Situation, fake: bool, on_mismatch: str, options: Mapping[str, Any], folder: str = ""
) -> Callable[[Any], Any]:
    """Profile, plan, hook: what a user of roam-lab writes. `folder`: what an earlier start has left, if any."""
    given = {"loss": made.loss, "step": made.step}
    if BY != "plan":
        how = {"cache": folder or False} if BY == "second-start" else _WITHOUT_A_PLAN[BY]
        return roam.hook(made.model, made.optimizer, **given, **{"on_mismatch": on_mismatch, **how, **options})
    profile = roam.profile(made.model, made.batch(0), made.optimizer, fake=fake, **given)
    return roam.hook(profile.plan(), made.model, made.optimizer, on_mismatch=on_mismatch, **given, **options)


@dataclasses.dataclass
class Run:
    """What one run left: results as they were returned, and everything at the end."""

    results: list[dict[str, str]] = dataclasses.field(default_factory=list)
    kept: list[Any] = dataclasses.field(default_factory=list)
    end: dict[str, str] = dataclasses.field(default_factory=dict)
    earlier: dict[str, str] = dataclasses.field(default_factory=dict)
    """Everything before the last step: what only trial runs change may by chance be right at one moment, not at two."""

    def add(self, result: Any) -> None:
        self.results.append(dict(Walk().leaves("result", result)))
        self.kept.append(result)

    def differences(self, other: Run) -> list[str]:
        """How `other` differs from this run, place by place; results also as they are at the end."""
        pairs = [(f"step {i} returned", *both) for i, both in enumerate(zip(self.results, other.results, strict=True))]
        later = [dict(Walk().leaves("result", result)) for result in other.kept]
        now = zip(self.results, later, strict=True)
        pairs += [(f"what step {i} returned, now", *both) for i, both in enumerate(now)]
        pairs += [("at the end", self.end, other.end), ("before the last step", self.earlier, other.earlier)]
        return [
            f"{when} {place}: eager {one.get(place)}, hooked {two.get(place)}"
            for when, one, two in pairs
            for place in {**one, **two}
            if one.get(place) != two.get(place)
        ]


def compare(
    make: Callable[[], Situation],
    steps: int = 5,
    *,
    on_mismatch: str = "eager",
    variants: int = 1,
    between: Callable[[Situation, int], Any] | None = None,
    around: Callable[[int], contextlib.AbstractContextManager[Any]] | None = None,
    raises: type[Exception] | tuple[type[Exception], ...] = (),
    fake: bool = False,
    ignore: str = "",
    at_two_moments: bool = True,
    hooking: Callable[..., Callable[[Any], Any]] = roam_hook,
    **options: Any,
) -> Verdict:
    """Runs `make()`'s step eagerly and hooked, `steps` times each, and says how they compare.

    `between(made, i)` is what the user does after step i; `around(i)` the context in which step i is called.
    `raises`: what the user's step may raise, to be caught by the user, who goes on. `variants`: in how many ways the
    step branches; so many steps may run eagerly. `ignore`: a pattern of places that no run repeats (clocks).
    `at_two_moments`: whether everything is looked at before the last step, too; FSDP's memory bears no look between
    steps. `options` go to roam.hook.
    """

    def one(made: Situation, call: Callable[[Any], Any], index: int, run: Run) -> None:
        with around(index) if around else contextlib.nullcontext():
            batch = made.batch(index)
            try:
                result = call(batch)
            except raises as error:  # type: ignore[misc]
                told = str(error).splitlines()[:1]  # below it pytest explains an assertion, addresses and all
                result = f"raised {type(error).__name__}: {told}"
        run.add(result)
        if between:
            between(made, index)
        if at_two_moments and len(run.results) == steps - 1:
            run.earlier = left(made)

    def left(made: Situation) -> dict[str, str]:
        return everything(made.roots() | {"batches": made.batches}, ignore)

    with settings_kept():
        same_seed(0)
        made, eager = make(), Run()
        same_seed(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for index in range(steps):
                one(made, made.eager, index, eager)
        eager.end = left(made)
    folder = ""
    if hooking is roam_hook and BY == "second-start":
        folder = tempfile.mkdtemp()
        hooking = functools.partial(roam_hook, folder=folder)
        with settings_kept(), warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            same_seed(0)
            made = make()
            same_seed(1)
            step, run = hooking(made, fake, on_mismatch, options), Run()
            for index in range(steps):
                one(made, step, index, run)
    with settings_kept(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        same_seed(0)
        made, hooked = make(), Run()
        same_seed(1)
        step = None
        try:
            step = hooking(made, fake, on_mismatch, options)
            for _ in range(steps):
                one(made, step, len(hooked.results), hooked)
        except roam.RoamError as error:
            verdict = Verdict("refused", sentence=f"{type(error).__name__}: {error}", step=step)
            if "\n" in str(error).strip():
                verdict.told.append("the refusal is more than one line")
            try:
                for _ in range(len(hooked.results), steps):
                    one(made, made.eager, len(hooked.results), hooked)
                for optimizer in made.optimizers():
                    optimizer.state_dict()
                hooked.end = left(made)
                verdict.told += eager.differences(hooked)
            except Exception as after:
                verdict.told += [f"the eager step raised {type(after).__name__}: {str(after)[:300]}"]
            if verdict.told:
                verdict.outcome = "broken after refusal"
            return verdict
        except Exception:
            return Verdict("traceback", traceback.format_exc().splitlines()[-12:], step=step)
        hooked.end = left(made)
    verdict = Verdict("planned", eager.differences(hooked), step=step, warned=[str(w.message) for w in caught])
    verdict.planned, verdict.eager, verdict.reasons = _counts(step, steps)
    if verdict.told:
        verdict.outcome = "different"
    elif verdict.eager and sum(verdict.reasons.values()) != verdict.eager:
        verdict.outcome = "silently eager"
    elif not raises and verdict.planned + verdict.eager != steps:
        verdict.outcome = "miscounted"
    elif verdict.eager > variants:
        verdict.outcome = "eager"
    return verdict


def _counts(step: Any, steps: int) -> tuple[int, int, Mapping[str, int]]:
    """Planned steps, eager steps and their reasons, as the hooked step tells them."""
    if not hasattr(step, "planned_steps"):  # before there were such counts: all or nothing
        planned = steps if getattr(step, "_compiled", None) else 0
        return planned, steps - planned, {}
    return step.planned_steps, step.eager_steps, step.reasons


def raising(function: Callable[[], Any]) -> str:
    """The sentence with which roam-lab refuses `function`; fails where it does not refuse."""
    try:
        function()
    except roam.RoamError as error:
        return str(error)
    raise AssertionError("roam-lab accepted this")
