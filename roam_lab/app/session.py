"""What a user can ask for: the faces parse and show, this does. Torch is imported only where a model is run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from roam_lab.errors import InfeasibleError, InputError
from roam_lab.interrupt import PATIENCE_SECONDS, held
from roam_lab.ir import Graph, Layout, captured_order, check_layout
from roam_lab.ir.layout_csv import Instance, load_instance, save_instance
from roam_lab.ir.roofline import gpu_named, with_roofline
from roam_lab.measure.compare_measured import compare
from roam_lab.plan import Plan, Profile, load_plan, make_plan
from roam_lab.progress import Progress, silent
from roam_lab.registry import find
from roam_lab.turns import turn

if TYPE_CHECKING:
    import torch

    from roam_lab.capture import OptimizerOrSeveral
    from roam_lab.capture.step import LossFunction, StepFunction
    from roam_lab.ir.measured import MeasuredCurve
    from roam_lab.measure.eager import EagerRun
    from roam_lab.runtime.verification import Verification


def profile(
    model: torch.nn.Module,
    batch: Any,
    optimizer: OptimizerOrSeveral | None = None,
    loss: LossFunction | torch.nn.Module | None = None,
    step: StepFunction | None = None,
    *,
    fake: bool = False,
    timing: bool = False,
    times: str | None = None,
    device: str | None = None,
    name: str | None = None,
    keep_grads: bool | Iterable[str] = False,
    progress: Progress | None = None,
    seen: Callable[[Profile], None] | None = None,
) -> Profile:
    """Capture one whole training step of `model` on `batch`, and measure one that really runs.

    `optimizer`: one, or a tuple; None: AdamW with its defaults over all parameters. `loss`: a function of (model,
    batch), or a criterion for (inputs, targets); None: the output's own `.loss`. `step`: your own
    `train_step(model, optimizer, batch) -> loss` instead. `fake`: measure nothing, so that the model may lie on the
    meta device and hold no weights. `timing`: time every op, too; `times`: or say what each would take on the GPU of
    that name, by its rates (`ir/roofline.py`). `device`: where the model lies; one on the meta device is captured as if
    it lay there. `keep_grads`: as in `roam.hook`. `progress(what, part)` hears what is being done;
    `seen` hears of the profile as soon as it is made. Model, optimizer, batch and random state stay as they are.

    Raises CaptureError, naming the user's line, when the step cannot be captured, InputError when it cannot be
    measured, DeviceError when `device` is not there.
    """
    tell = progress or silent
    with turn("capturing a step", lambda what: tell(f"waiting for {what}", 0.0)), held(PATIENCE_SECONDS) as check:
        try:
            return _profile(
                model, batch, optimizer, loss, step, fake, timing, times, device, name, keep_grads, tell, seen, check,
            )  # fmt: skip
        finally:
            gc.collect()  # fake tensors go here and now: an interrupt in one of their callbacks would be lost


def _profile(
    model: torch.nn.Module, batch: Any, optimizer: OptimizerOrSeveral | None,
    loss: LossFunction | torch.nn.Module | None, step: StepFunction | None, fake: bool, timing: bool,
    times: str | None, device: str | None, name: str | None, keep_grads: bool | Iterable[str], tell: Progress,
    seen: Callable[[Profile], None] | None, check: Callable[[], None],
) -> Profile:  # fmt: skip
    """`profile`, where interrupts wait for `check`."""
    import torch

    from roam_lab.capture import TrainingStep, as_step, capture_step
    from roam_lab.capture.device import check_holds_data, check_lies_on
    from roam_lab.capture.training_step import keep_grads_of, remarks_on
    from roam_lab.measure.observed import observe_and_capture

    check()
    if timing and times is not None:
        raise InputError(f"ops are timed here, or as on {times}; give one of the two")
    gpu = None if times is None else gpu_named(times)
    if device is not None:
        check_lies_on(model, device)
    if not fake or timing:  # before the capture, which may take long
        check_holds_data(model, batch, "timed" if fake else "measured")
    if optimizer is None:
        optimizer = torch.optim.AdamW(model.parameters())
    train_step, kept = as_step(loss, step), keep_grads_of(keep_grads, model)
    run: EagerRun | None = None
    remark: str | None = None
    if fake:
        tell("capturing the training step", 0.0)
        captured = capture_step(model, optimizer, batch, train_step, name=name, device=device, keep_grads=kept)
    else:
        captured, run, remark = observe_and_capture(
            TrainingStep(model, optimizer, train_step, keep_grads=kept), batch, name=name, tell=tell
        )
    graph = captured.graph
    if timing:
        from roam_lab.runtime.timing import timed_graph

        tell("timing every op", 0.0)
        graph = timed_graph(captured, model, optimizer, batch, train_step)
    elif gpu is not None:
        graph = with_roofline(graph, gpu)
    remarks = () if remark is None else (remark,)
    made = Profile(
        graph=replace(graph, environment=captured.environment),
        eager_graph=captured.eager_graph,
        resident=captured.resident,
        environment=captured.environment,
        eager_run=captured.eager,
        measured=None if run is None else run.curve,
        differences=(*remarks_on(model), *(remarks if run is None else _differences(run.curve, captured.eager_graph))),
    )
    if seen is not None:
        seen(made)
    return made


def _differences(measured: MeasuredCurve, graph: Graph) -> tuple[str, ...]:
    """Sentences on where the measured curve leaves the predicted one."""
    from roam_lab.ir import live_curve

    predicted = live_curve(graph, captured_order(graph)).tolist()
    return compare(measured, predicted, [op.target for op in graph.ops], [op.phase for op in graph.ops])


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A judged layout of the instance in the file `path`."""

    path: str
    instance: Instance
    layout: Layout
    strategy: str
    seconds: float

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, for `roam layout --json`; `offsets` by the ids in the file."""
        return {
            "instance": self.path,
            "buffers": len(self.instance.ids),
            "height_bytes": self.layout.arena_bytes,
            "lower_bound_bytes": self.instance.peak_bytes,
            "optimal": self.layout.arena_bytes == self.instance.peak_bytes,
            "layout_strategy": self.strategy,
            "seconds": self.seconds,
            "offsets": {name: self.layout.offsets.get(index, 0) for index, name in enumerate(self.instance.ids)},
        }

    def text(self) -> str:
        """The same for people, without the offsets."""
        height, bound = self.layout.arena_bytes, self.instance.peak_bytes
        over = "optimal" if height == bound else f"{100 * (height / bound - 1):.2f} % over the live peak"
        return (
            f"{self.path}: {len(self.instance.ids):,} buffers, layout {self.strategy}, {self.seconds:.2f} s\n"
            f"  height     {height:,} bytes, {over}\n"
            f"  live peak  {bound:,} bytes, no layout is lower"
        )

    def save(self, path: str) -> None:
        """Write the instance with its offsets as CSV; raises OutputError."""
        save_instance(path, self.instance.ids, self.instance.lifetimes, self.layout)


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was run: its loss and how long it took."""

    loss: float
    seconds: float


class Session:
    """The actions behind both faces; remembers the last profile and the last plan, which later actions fall back on."""

    def __init__(self, progress: Progress = silent) -> None:
        self.progress = progress
        self.profile: Profile | None = None
        self.plan: Plan | None = None

    def capture(self, model: Any, batch: Any, **settings: Any) -> Profile:
        """`profile` of objects at hand; see there for the settings."""
        self.profile = profile(model, batch, progress=self.progress, **settings)
        return self.profile

    def capture_factory(self, spec: str, *, fake: bool = False, device: str | None = None, **settings: Any) -> Profile:
        """`profile` of what FILE.py:FACTORY makes; `fake` runs the factory on the meta device, without weights.

        `device`: where what was made is moved; `settings`: others of `profile`. Raises DeviceError before the factory
        runs.
        """
        from roam_lab.capture.device import ADVICE, check_device
        from roam_lab.runtime.verify_child import move

        where = None if device is None else check_device(device, ADVICE)
        self.progress(f"running {spec}", 0.0)
        with on_meta(fake):
            made = made_by(spec)
        if where is not None and not fake:
            move(made, where)
        settings["name"] = settings.get("name") or spec.rpartition(":")[2]
        return self.capture(**made, fake=fake, device=device, **settings)

    def plan_graph(self, graph: Graph | None = None, **settings: Any) -> Plan:
        """Plan `graph` (None: the last profile's), with the settings of `make_plan`. Raises InputError without any."""
        environment = None
        if graph is None:
            if self.profile is None:
                raise InputError("there is no profile to plan yet; make one with profile first")
            graph, environment = self.profile.graph, self.profile.environment
        self.plan = make_plan(graph, environment=environment, progress=self.progress, **settings)
        return self.plan

    def lay_out(
        self,
        path: str,
        layout: str = "auto",
        capacity: int | None = None,
        time_limit: float | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> LaidOut:
        """Place the buffers of a CSV instance; times in seconds, sizes in bytes; `parameters` are the strategy's own.

        Raises InputError, FormatError, UnknownStrategyError, ParameterError, InfeasibleError when `capacity` does not
        do, and JudgementError when the strategy breaks a rule.
        """
        strategy = find("layout", layout)
        declared = {parameter.name for parameter in strategy.parameters}
        wishes = {"capacity": capacity, "time_limit": time_limit}
        given = {key: value for key, value in wishes.items() if value is not None and key in declared}
        values = strategy.accept({**given, **(parameters or {})})
        instance = load_instance(path)
        self.progress(f"layout: {layout}", 0.0)
        began = time.perf_counter()
        placed: Layout = strategy.call(Layout, instance.problem, **values)
        seconds = time.perf_counter() - began
        with strategy.judged():
            check_layout(instance.problem, placed)
        if capacity is not None and placed.arena_bytes > capacity:
            raise InfeasibleError(
                f"{path}: a capacity of {capacity} bytes is too small: the least known to do is "
                f"{placed.arena_bytes} bytes, and no layout needs less than {instance.peak_bytes}; raise --capacity"
            )
        return LaidOut(path, instance, placed, layout, seconds)

    def run(self, spec: str, plan_path: str | None = None, steps: int = 4) -> Iterator[Step]:
        """Train `steps` steps of what FILE.py:FACTORY makes by a plan (None: one made here), yielding each."""
        from roam_lab.runtime import hook

        self.progress(f"running {spec}", 0.0)
        made = made_by(spec)
        if plan_path is None:
            self.capture(**made, fake=True, name=spec.rpartition(":")[2])
            plan = self.plan_graph()
        else:
            plan = load_plan(plan_path)
        batch = made.pop("batch")
        self.progress("building the step", 0.0)
        train = hook(plan, **made)
        for number in range(steps):
            self.progress(f"step {number + 1} of {steps}", number / steps)
            began = time.perf_counter()
            loss = float(train(batch))
            yield Step(loss, time.perf_counter() - began)

    def verify(self, spec: str, plan_path: str | None = None, steps: int = 4, device: str = "cpu") -> Verification:
        """Eager against planned, each in a process of its own; see `verify_file`."""
        from roam_lab.runtime.verify import verify_file

        return verify_file(spec, plan_path, steps=steps, device=device, progress=self.progress)


def made_by(spec: str) -> dict[str, Any]:
    """What FILE.py:FACTORY makes: model, batch and the rest by name. Raises InputError."""
    from roam_lab.capture.factory import load_factory

    return load_factory(spec)


@contextmanager
def on_meta(wanted: bool) -> Iterator[None]:
    """With `wanted`, what is built inside has shapes and no data."""
    if not wanted:
        yield
        return
    import torch

    with torch.device("meta"):
        yield
