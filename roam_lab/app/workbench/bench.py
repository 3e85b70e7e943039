"""The session of a notebook: profiles and plans by name, the models they were made of, what-ifs side by side."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from roam_lab.app.session import Session, made_by, on_meta, profile
from roam_lab.app.workbench.made import Made
from roam_lab.app.workbench.sizes import fit_of, within_memory
from roam_lab.errors import DataDependentError, InputError
from roam_lab.interrupt import held
from roam_lab.ir import fingerprint
from roam_lab.plan import Plan, Profile, make_plan
from roam_lab.plan.fit import Fit
from roam_lab.plan.largest import Within
from roam_lab.progress import Progress, silent
from roam_lab.report.units import bytes_text
from roam_lab.report.whatif_figures import beside_eager
from roam_lab.report.whatifs import WhatIf, WhatIfs

if TYPE_CHECKING:
    from roam_lab.plan.frontier import Frontier
    from roam_lab.runtime.measured_run import RunFigures
    from roam_lab.runtime.verification import Verification


class Workbench(Session):
    """Named results of one notebook. Actions take the plan that was shown or pinned last unless another is named."""

    def __init__(self, progress: Progress = silent) -> None:
        super().__init__(progress)
        self.profiles: dict[str, Profile] = {}
        self.made: dict[str, Made] = {}
        self.what_ifs = WhatIfs()
        self.latest: str | None = None
        """The what-if that was made, shown or pinned last."""
        self.of: dict[str, str] = {}
        """What-if -> the profile that it is a plan of."""
        self.frontiers: dict[str, Frontier] = {}
        """Profile -> the last frontier that was found for it."""
        self.variants: dict[str, Profile] = {}
        """What-if -> its own step, where that was captured anew on fakes."""
        self.fits: dict[str, Fit] = {}
        """Profile -> what fits where."""
        self.verifications: dict[str, tuple[Plan, Verification]] = {}
        """What-if -> what was verified of it, and the plan that it had then."""

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
        asked = {key: value for key, value in settings.items() if value is not None and value != {}}
        return self.keep(plan, name, known, settings.get("node_limit"), asked)

    def keep(
        self,
        plan: Plan,
        name: str | None,
        of: Profile,
        node_limit: int | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> WhatIf:
        """Put a plan that was made elsewhere among the what-ifs; `asked` as in WhatIf."""
        label, order = self.name_of(of), (asked or {}).get("order")
        if name is None and order not in (None, "auto", plan.order_strategy) and not plan.rewrites:
            name = f"{order}: {plan.order_strategy} kept"  # worse than what the plan keeps, which its row says
        row = self.what_ifs.put(
            beside_eager(self.what_ifs.add(plan, name, node_limit, label, asked), of.captured_curve)
        )
        self.plan, self.latest = plan, row.name
        self.of[row.name] = label
        return row

    def keep_variant(
        self, plan: Plan, label: str, captured: Profile, node_limit: int | None, asked: Mapping[str, Any]
    ) -> WhatIf:
        """Put one of several plans of the step of the profile `label`, captured anew as `asked` or not, among its
        what-ifs: it is not the one that actions take."""
        row = self.what_ifs.add(plan, None, node_limit, label, asked)
        if row.name in self.of or row.name in self.variants:
            return row  # the very plan that was there
        if captured is self.profiles.get(label):
            self.of[row.name] = label
        else:
            self.variants[row.name] = captured
        return row

    def profile_of(self, name: str) -> Profile | None:
        """The captured step that a what-if is a plan of; None where it is not known."""
        return self.variants.get(name) or self.profiles.get(self.of.get(name, ""))

    def keep_file(self, plan: Plan, name: str) -> WhatIf:
        """Put a plan that was read from a file, or made by the user, among the what-ifs of the profile whose step it
        plans, if there is one."""
        of = next((known for known, made in self.profiles.items() if fingerprint(made.graph) == plan.graph_sha256), "")
        row = self.what_ifs.add(plan, name, model=of)
        if of:
            self.of[row.name] = of
        return row

    def choose(self, name: str) -> WhatIf:
        """Make a what-if the one that actions take unless another is named. Raises InputError."""
        row = self.what_if(name)
        if row.held is not None:
            self.plan, self.latest = row.held, name
        return row

    def pin(self, name: str) -> WhatIf:
        """`choose` it, and make it what the others of its model are compared with. Raises InputError."""
        self.what_ifs.pin(name)
        return self.choose(name)

    def better_text(self, row: WhatIf) -> str:
        """A sentence on a better plan of the same step, where one is at hand; else ""."""
        found = self.what_ifs.better(row)
        if found is None or row.held is None:
            return ""
        sizes = f"arena {bytes_text(found.plan.arena_bytes)} in place of {bytes_text(row.held.arena_bytes)}"
        return f"a better plan of the same step is at hand: {found.name}, {sizes} in no more time; name it to take it"

    def name_of(self, profile: Profile) -> str:
        """The name of a profile; "" where it is not one of these."""
        return next((name for name, known in self.profiles.items() if known is profile), "")

    def latest_of(self, profile: Profile) -> WhatIf | None:
        """The plan of a profile that was made, shown or pinned last; None where there is none."""
        own = [row for row in self.what_ifs if row.held and self.profiles.get(self.of.get(row.name, "")) is profile]
        return next((row for row in own if row.name == self.latest), own[-1] if own else None)

    def adopt(self, name: str, given: Profile) -> str:
        """A profile that was made by `roam_lab.profile`, under the name of its variable.

        Plans of another graph than its own that were made of what stood under the name are no one's any more.
        """
        if self.profiles.get(name) is not given:
            digest = fingerprint(given.graph)
            for row in self.what_ifs:
                if self.of.get(row.name) == name and row.held is not None and row.held.graph_sha256 != digest:
                    del self.of[row.name]
            for known in (self.made, self.frontiers, self.fits):
                known.pop(name, None)
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
        """The what-if of that name (None: of those left, the one made, shown or pinned last). Raises InputError."""
        rows = {row.name: row for row in self.what_ifs if row.held is not None or row.name == name}
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
        if row.name in self.variants:
            raise InputError(f"{row.name!r} was captured on fakes; to run it, make model and batch so and profile them")
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
        figures = measure_plan(row.plan, *made.to_run(), steps=steps, progress=self.progress)
        known = (row.time_ratio, row.identical)  # a run does not unmake what was verified
        return self.what_ifs.measured(row.name, figures.peak_above_base_bytes, *known), figures

    def verify_named(self, name: str | None = None, steps: int = 4) -> tuple[WhatIf, Verification]:
        """Eager against planned on copies of model and optimizer, and note the result; see `roam_lab.verify`."""
        from roam_lab.runtime.verify import verify

        row = self.what_if(name)
        made = self.made_of(row)
        self.progress("eager and planned steps, in turn", 0.0)
        found = verify(row.plan, *made.to_run(), steps=steps, progress=self.progress)
        self.verifications[row.name] = (row.plan, found)
        noted = self.what_ifs.measured(row.name, found.planned.peak_above_base_bytes, found.time_ratio, found.identical)
        return noted, found

    def frontier(self, name: str | None = None, points: int = 12, strategy: str = "auto") -> Frontier:
        """Memory against time of the profile (None: the latest), by a rewrite strategy. Raises InputError for an
        unknown profile, and all that `make_frontier` raises."""
        from roam_lab.plan.frontier import make_frontier

        known = self.profile_named(name)
        self.progress("looking for rewrites", 0.0)
        found = make_frontier(known.graph, points, strategy=strategy, profile=known)
        self.frontiers[self.name_of(known)] = found
        return found

    def fit(
        self,
        name: str | None = None,
        sizes: Sequence[int] | None = None,
        extra_times: Sequence[float] | None = None,
    ) -> Fit:
        """Capture and plan the step at several batch sizes (without running it): what fits where. Reports show it.

        `sizes` None: the batch at hand, and FACTOR times as many again until no device holds the step by any plan.
        `extra_times`: what plans may add to the step's time, as fractions; None: EXTRA_TIMES. Raises InputError for a
        batch without a size, and where the model is not known.
        """
        found = fit_of(self, name, sizes, extra_times)
        self.fits[found.name] = found
        return found

    def within(self, memory_bytes: int, name: str | None = None, extra_times: Sequence[float] | None = None) -> Within:
        """The largest batch that fits into a GPU's memory, eager, planned, and planned within each of `extra_times`;
        and the largest sequence length at the batch size at hand, where the batch holds sequences. All captured.

        Raises InfeasibleError, with the least that is known to do, where nothing fits; InputError as `fit`.
        """
        return within_memory(self, memory_bytes, name, extra_times)

    def known(self, name: str | None) -> tuple[str, Made]:
        """The name of a profile (None: the latest), and what it was made of. Raises InputError."""
        profile = self.profile_named(name)
        label = self.name_of(profile)
        if label not in self.made:
            raise InputError(f"the model that {label!r} is a profile of is not known here; profile it first")
        return label, self.made[label]


def _unknown(kind: str, name: str, known: Collection[str]) -> InputError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    return InputError(f"there is no {kind} {name!r}; {hint if known else 'make one with profile first'}")
