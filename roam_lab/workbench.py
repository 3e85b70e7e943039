"""The session of a notebook: profiles and plans by name, the models they were made of, what-ifs side by side."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from roam_lab.errors import DataDependentError, InputError
from roam_lab.interrupt import held
from roam_lab.ir import fingerprint
from roam_lab.plan import Plan, Profile, make_plan
from roam_lab.plan.devices import Device, devices_for
from roam_lab.plan.fit import Fit
from roam_lab.plan.largest import FURTHER, Within, largest_sizes
from roam_lab.plan.needs import Needs
from roam_lab.plan.runs import EXTRA_TIMES, RUNS, Run
from roam_lab.progress import Progress, silent
from roam_lab.report.whatifs import WhatIf, WhatIfs
from roam_lab.session import Session, made_by, on_meta, profile

if TYPE_CHECKING:
    from roam_lab.plan.frontier import Frontier
    from roam_lab.runtime.measured_run import RunFigures
    from roam_lab.runtime.verification import Verification

FACTOR = 8
"""Between the batch sizes that `fit` captures."""


@dataclass(frozen=True, eq=False)
class Made:
    """What a profile was made of: the user's own objects, never copied, never changed here."""

    model: Any
    batch: Any
    optimizer: Any = None
    loss: Any = None
    step: Any = None

    def step_arguments(self) -> dict[str, Any]:
        """As keyword arguments of `profile`, `hook` and `verify`."""
        return {key: getattr(self, key) for key in ("optimizer", "loss", "step") if getattr(self, key) is not None}


class Workbench(Session):
    """Named results of one notebook. Actions take the latest unless another is named."""

    def __init__(self, progress: Progress = silent) -> None:
        super().__init__(progress)
        self.profiles: dict[str, Profile] = {}
        self.made: dict[str, Made] = {}
        self.what_ifs = WhatIfs()
        self.latest: str | None = None
        self.of: dict[str, str] = {}
        """What-if -> the profile that it is a plan of."""
        self.frontiers: dict[str, Frontier] = {}
        """Profile -> the last frontier that was found for it."""

    def capture_named(
        self,
        name: str | None,
        made: Made,
        seen: Callable[[Profile], None] | None = None,
        default_plan: bool = True,
        **settings: Any,
    ) -> tuple[str, Profile]:
        """Profile `made` under `name` (None: the model's class), and make the default plan under the same name.

        `seen` hears of the profile as soon as it is captured, before anything is measured or planned. An
        interrupted capture or measurement leaves nothing behind; where planning is interrupted, the profile stays.
        """
        name = name or type(made.model).__name__
        captured = profile(
            made.model, made.batch, **made.step_arguments(), name=name, progress=self.progress, seen=seen, **settings
        )
        with held():
            self.adopt(name, captured)
            self.made[name] = made
        if default_plan:
            self.plan_named(name, name)
        return name, captured

    def capture_without_weights(self, spec: str) -> None:
        """Capture what FILE.py:FACTORY makes, with no weights in memory; with them where the factory or the step asks
        for values. Raises InputError, CaptureError.
        """
        name = spec.rpartition(":")[2]
        settings: dict[str, Any] = {"fake": True, "default_plan": False}
        try:
            with on_meta(True):
                made = Made(**made_by(spec))
            self.capture_named(name, made, **settings)
        except (InputError, DataDependentError):
            self.capture_named(name, Made(**made_by(spec)), **settings)

    def plan_named(self, name: str | None = None, of: str | None = None, **settings: Any) -> WhatIf:
        """Plan the profile `of` (None: the latest) under `name` (None: after its strategies).

        Raises InputError for an unknown profile, and all that `make_plan` raises.
        """
        known = self.profile_named(of)
        plan = make_plan(known.graph, environment=known.environment, progress=self.progress, **settings)
        return self.keep(plan, name, known, settings.get("node_limit"))

    def keep(self, plan: Plan, name: str | None, of: Profile, node_limit: int | None = None) -> WhatIf:
        """Put a plan that was made elsewhere among the what-ifs."""
        row = self.what_ifs.add(plan, name, node_limit)
        self.plan, self.latest = plan, row.name
        self.of[row.name] = next((known for known, profile in self.profiles.items() if profile is of), "")
        return row

    def latest_of(self, profile: Profile) -> WhatIf | None:
        """The latest plan of a profile; None where there is none."""
        own = [row for row in self.what_ifs if self.profiles.get(self.of.get(row.name, "")) is profile]
        return next((row for row in own if row.name == self.latest), own[-1] if own else None)

    def adopt(self, name: str, given: Profile) -> str:
        """A profile that was made by `roam_lab.profile`, under the name of its variable.

        Plans of another graph than its own that were made of what stood under the name are no one's any more.
        """
        if self.profiles.get(name) is not given:
            digest = fingerprint(given.graph)
            for row in self.what_ifs:
                if self.of.get(row.name) == name and row.plan.graph_sha256 != digest:
                    del self.of[row.name]
            self.made.pop(name, None)
            self.frontiers.pop(name, None)
        self.profiles[name] = self.profile = given
        return name

    def batch_size(self, name: str) -> int | None:
        """The batch size that a what-if was captured at; None where it has none, or the batch is not known."""
        from roam_lab.capture.batch_size import batch_size_of

        made = self.made.get(self.of.get(name, ""))
        try:
            return None if made is None else batch_size_of(made.batch)
        except InputError:
            return None

    def profile_named(self, name: str | None = None) -> Profile:
        """The profile of that name (None: the latest). Raises InputError."""
        if name is None and self.profile is not None:
            return self.profile
        if name is None:
            raise InputError("there is no profile yet; make one with profile first")
        if name not in self.profiles:
            raise _unknown("profile", name, self.profiles)
        return self.profiles[name]

    def what_if(self, name: str | None = None) -> WhatIf:
        """The what-if of that name (None: the latest plan that is still there). Raises InputError."""
        rows = {row.name: row for row in self.what_ifs}
        if name is None:
            if not rows:
                raise InputError("there is no plan yet; make one with profile or plan first")
            return rows.get(self.latest or "") or list(rows.values())[-1]
        if name not in rows:
            raise _unknown("what-if", name, rows)
        return rows[name]

    def made_of(self, row: WhatIf) -> Made:
        """The model and the rest that a what-if is a plan of. Raises InputError where they are not known."""
        made = self.made.get(self.of.get(row.name, ""))
        if made is None:
            raise InputError(f"the model that {row.name!r} is a plan of is not known here; profile it first")
        return made

    def measure(self, name: str | None = None, steps: int = 4) -> tuple[WhatIf, RunFigures]:
        """Run some steps by a plan on copies of model and optimizer, and note what they took.

        Raises InputError, MismatchError, CaptureError.
        """
        from roam_lab.runtime.verify import measure_plan

        row = self.what_if(name)
        made = self.made_of(row)
        self.progress(f"running {steps} planned steps", 0.0)
        own = (made.model, _optimizer(made), made.batch, made.loss, made.step)
        figures = measure_plan(row.plan, *own, steps=steps, progress=self.progress)
        known = (row.time_ratio, row.identical)  # a run does not unmake what was verified
        return self.what_ifs.measured(row.name, figures.peak_above_base_bytes, *known), figures

    def verify_named(self, name: str | None = None, steps: int = 4) -> tuple[WhatIf, Verification]:
        """Eager against planned on copies of model and optimizer, and note the result; see `roam_lab.verify`."""
        from roam_lab.runtime.verify import verify

        row = self.what_if(name)
        made = self.made_of(row)
        self.progress("eager and planned steps, in turn", 0.0)
        own = (made.model, _optimizer(made), made.batch, made.loss, made.step)
        found = verify(row.plan, *own, steps=steps, progress=self.progress)
        noted = self.what_ifs.measured(row.name, found.planned.peak_above_base_bytes, found.time_ratio, found.identical)
        return noted, found

    def frontier(self, name: str | None = None, points: int = 12, strategy: str = "auto") -> Frontier:
        """Memory against time of the profile (None: the latest), by a rewrite strategy. Raises InputError for an
        unknown profile, and all that `make_frontier` raises."""
        from roam_lab.plan.frontier import make_frontier

        known = self.profile_named(name)
        self.progress("looking for rewrites", 0.0)
        found = make_frontier(known.graph, points, strategy=strategy, profile=known)
        label = next((title for title, profile in self.profiles.items() if profile is known), "")
        self.frontiers[label] = found
        return found

    def fit(
        self,
        name: str | None = None,
        sizes: Sequence[int] | None = None,
        extra_times: Sequence[float] | None = None,
    ) -> Fit:
        """Capture and plan the step at several batch sizes (without running it): what fits where.

        `sizes` None: the batch at hand, and FACTOR times as many again until no device holds the step by any plan.
        `extra_times`: what plans may add to the step's time, as fractions; None: EXTRA_TIMES. Raises InputError for a
        batch without a size, and where the model is not known.
        """
        from roam_lab.capture.batch_size import batch_size_of, resized

        label, made = self._known(name)
        needs = self._needs(label, made, "batch size", partial(resized, made.batch), batch_size_of(made.batch))
        allowed = _ascending(extra_times)
        devices = devices_for(self.profiles[label].environment.get("device", ""))
        if sizes is not None:
            return Fit(label, tuple(needs.point(size, allowed) for size in sorted(set(sizes))), devices)
        points = [needs.point(batch_size_of(made.batch), allowed)]
        most = max(device.room_bytes for device in devices)
        while min(map(points[-1].least, points[-1].runs)) <= most:
            points.append(needs.point(FACTOR * points[-1].batch, allowed))
        return Fit(label, tuple(points), devices)

    def within(self, memory_bytes: int, name: str | None = None, extra_times: Sequence[float] | None = None) -> Within:
        """The largest batch that fits into a GPU's memory, eager, planned, and planned within each of `extra_times`;
        and the largest sequence length at the batch size at hand, where the batch holds sequences. All captured.

        Raises InfeasibleError, with the least that is known to do, where nothing fits; InputError as `fit`.
        """
        from roam_lab.capture.batch_size import batch_size_of, resized
        from roam_lab.capture.sequence_length import longest_sequence, sequence_length_of, with_sequence_length

        label, made = self._known(name)
        device = Device("own", memory_bytes)
        rows, length = batch_size_of(made.batch), sequence_length_of(made.batch)
        runs: tuple[Run, ...] = (*RUNS, *_ascending(extra_times))
        needs = self._needs(label, made, "batch size", partial(resized, made.batch), rows)
        sizes = [largest_sizes(needs, device.room_bytes, runs, rows, "batch size", length)]
        if length is not None:
            at_length = partial(with_sequence_length, made.batch)
            needs = self._needs(label, made, "sequence length", at_length, length)
            most = longest_sequence(made.model)
            start = most if most is not None and most <= FURTHER * length else length
            sizes.append(largest_sizes(needs, device.room_bytes, runs, start, "sequence length", rows, most))
        found = Within(label, device, tuple(sizes))
        found.check()
        return found

    def _known(self, name: str | None) -> tuple[str, Made]:
        """A profile's name, and what it was made of."""
        known = self.profile_named(name)
        label = next(title for title, profile in self.profiles.items() if profile is known)
        if label not in self.made:
            raise InputError(f"the model that {label!r} is a profile of is not known here; profile it first")
        return label, self.made[label]

    def _needs(self, label: str, made: Made, what: str, at: Callable[[int], Any], present: int) -> Needs:
        """Captures `made` with the batch `at(size)`; what is known of the `present` size is not captured again."""

        def captured(size: int) -> Profile:
            self.progress(f"capturing {what} {size:,}", 0.0)
            if size == present:
                return self.profiles[label]
            title = f"{label}, {what} {size}"
            return profile(made.model, at(size), **made.step_arguments(), fake=True, name=title)

        return Needs(captured, self.progress)


def _ascending(extra_times: Sequence[float] | None) -> tuple[float, ...]:
    """Each once; a plan that adds no time is made in any case."""
    return EXTRA_TIMES if extra_times is None else tuple(sorted(set(extra_times) - {0}))


def _unknown(kind: str, name: str, known: Collection[str]) -> InputError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    return InputError(f"there is no {kind} {name!r}; {hint if known else 'make one with profile first'}")


def _optimizer(made: Made) -> Any:
    """The user's optimizer; where none was given, the one that the profile took for granted."""
    if made.optimizer is not None:
        return made.optimizer
    import torch

    return torch.optim.AdamW(made.model.parameters())
