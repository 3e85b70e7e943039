"""Where the plans of a hook come from: the one that was given, the cache, or planning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roam_lab.capture import Captured
from roam_lab.errors import InfeasibleError, MismatchError
from roam_lab.ir import Graph, fingerprint
from roam_lab.ir.roofline import with_rates
from roam_lab.plan import Plan
from roam_lab.plan.apart import goals_of, plan_apart
from roam_lab.plan.cache import PlanCache
from roam_lab.runtime.plan_check import check_plan
from roam_lab.runtime.rates import measured_device


class Plans:
    """Of one hook. `first`: the plan that was given (`given`), or that of the first step; None before that is made.

    `goals`: what steps are planned for, as arguments of `make_plan`; of a plan that was given, its own. `cache`: where
    plans are looked for first, and kept; `notes`: what is to be said of that.
    """

    def __init__(
        self, given: Plan | None, goals: Mapping[str, Any] | None = None, cache: PlanCache | None = None
    ) -> None:
        self.first, self.given = given, given is not None
        self.goals = goals_of(given) if given is not None else dict(goals or {})
        self._cache = cache
        self.notes: list[str] = [] if cache is None else cache.notes

    @property
    def captures_folder(self) -> Path | None:
        """Where captures are kept beside the plans; None where nothing is kept."""
        return None if self._cache is None else self._cache.folder / "captures"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the first plan was made for, as far as it says so."""
        return {} if self.first is None else self.first.environment

    def is_for(self, captured: Captured) -> bool:
        """Whether the first plan is for this very step. Raises MismatchError where the rewrites of one that was given
        are not."""
        if self.first is None or fingerprint(captured.graph) != self.first.graph_sha256:
            return False
        try:
            check_plan(captured, self.first)
        except MismatchError:
            if self.given:
                raise
            return False  # two ways may differ in nothing but what is resident, such as a gradient that one adds to
        return True

    def make(self, captured: Captured) -> Plan:
        """A plan of the step for the hook's goals; the first one, if there was none. Raises what `make_plan` raises."""
        graph = replace(captured.graph, environment=captured.environment)
        plan = None if self._cache is None else self._cache.find(graph, self.goals)
        if plan is not None:
            try:
                check_plan(captured, plan)
            except MismatchError as error:
                plan = None
                self.notes.append(f"a plan in the cache is not used: {error}")
        if plan is None:
            try:
                plan = plan_apart(self._timed(graph, captured), environment=captured.environment, **self.goals)
            except InfeasibleError as error:
                if self.first is None:
                    raise
                raise MismatchError(str(error)) from None  # training goes on, eagerly
            if self._cache is not None:
                self._cache.keep(plan, graph, self.goals)
        return self.noted(plan, captured)

    def noted(self, plan: Plan, captured: Captured) -> Plan:
        """A plan of the step, as one of this hook's; the first one, if there was none."""
        plan = replace(plan, environment={**plan.environment, **captured.environment})
        self.first = self.first or plan
        return plan

    def _timed(self, graph: Graph, captured: Captured) -> Graph:
        """With what each op takes by the device's own rates, where time is weighed against memory."""
        if self.goals.get("budget") is None and self.goals.get("extra_time") is None:
            return graph
        device = measured_device(captured.where, graph)
        return with_rates(graph, device, f"roofline: this {captured.device}, by rates measured here")
