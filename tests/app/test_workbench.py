"""The workbench: results by name, the latest of them, and what becomes of plans when their profile is replaced."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from roam_lab.app.session import profile
from roam_lab.app.workbench import FACTOR, Made, Workbench
from roam_lab.app.workbench import bench as bench_module
from roam_lab.app.workbench import sizes as sizes_module
from roam_lab.errors import InfeasibleError, InputError, ParameterError
from roam_lab.ir import fingerprint
from roam_lab.plan import make_plan
from roam_lab.plan.devices import GIB, Device
from roam_lab.plan.runs import EXTRA_TIMES, RUNS
from roam_lab.report.whatif_figures import highest
from roam_lab.report.whatif_html import tables_html

MIB = 2**20


def made(width: int = 16, rows: int = 4) -> Made:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
    batch = (torch.randn(rows, 8), torch.randint(0, 2, (rows,)))
    return Made(model, batch, torch.optim.AdamW(model.parameters()), torch.nn.CrossEntropyLoss())


@pytest.fixture
def bench() -> Workbench:
    """With the profile and plan "small"."""
    made_here = Workbench()
    made_here.capture_named("small", made(), fake=True)
    return made_here


def names(bench: Workbench) -> list[str]:
    return [row.name for row in bench.what_ifs]


def test_a_profile_is_named_after_its_model_unless_told(bench: Workbench) -> None:
    name, captured = bench.capture_named(None, made(), fake=True)
    assert name == "Sequential"
    assert captured.graph.name == "Sequential"
    assert list(bench.profiles) == names(bench) == ["small", "Sequential"]


def test_who_looks_on_hears_once_of_the_measured_profile() -> None:
    """The measured step leads the capture, so there is nothing to show before."""
    bench, heard = Workbench(), []
    _, captured = bench.capture_named("small", made(), heard.append)
    assert heard == [captured]
    assert captured.measured is not None


def test_the_latest_is_meant_where_none_is_named(bench: Workbench) -> None:
    other = bench.capture_named("other", made(32), fake=True)[1]
    assert bench.profile_named() is other
    assert bench.plan_named(order="list").plan.graph_sha256 == fingerprint(other.graph)
    first = bench.plan_named("again", "small")
    assert first.plan.graph_sha256 == fingerprint(bench.profiles["small"].graph)
    assert bench.what_if() is first
    assert bench.profile_named() is other  # planning another does not make it the latest profile


def test_the_latest_plan_that_is_left_is_meant_where_the_latest_was_removed(bench: Workbench) -> None:
    for name in ("a", "b"):
        bench.plan_named(name, order="list")
    bench.what_ifs.remove("b")
    assert bench.what_if().name == "a"
    bench.what_ifs.remove("a")
    bench.what_ifs.remove("small")
    with pytest.raises(InputError, match="there is no plan yet; make one with profile or plan first"):
        bench.what_if()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda bench: bench.profile_named("smal"), "there is no profile 'smal'; did you mean 'small'?"),
        (lambda bench: bench.profile_named("zzz"), "there is no profile 'zzz'; there are: small"),
        (lambda bench: bench.plan_named(of="smalll"), "there is no profile 'smalll'; did you mean 'small'?"),
        (lambda bench: bench.fit("smalll"), "there is no profile 'smalll'; did you mean 'small'?"),
        (lambda bench: bench.what_if("smal"), "there is no what-if 'smal'; did you mean 'small'?"),
        (lambda bench: bench.measure("smal"), "there is no what-if 'smal'; did you mean 'small'?"),
        (lambda bench: bench.verify_named("zzz"), "there is no what-if 'zzz'; there are: small"),
        (lambda _: Workbench().profile_named("x"), "there is no profile 'x'; make one with profile first"),
        (lambda _: Workbench().what_if("x"), "there is no what-if 'x'; make one with profile first"),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(
    bench: Workbench, act: Callable[[Workbench], Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        act(bench)
    assert str(caught.value) == message


def test_a_plan_made_elsewhere_is_kept_under_its_strategies(bench: Workbench) -> None:
    known = bench.profiles["small"]
    row = bench.keep(make_plan(known.graph, order="list"), None, known, node_limit=64)
    assert (row.node_limit, bench.what_if(), bench.of[row.name]) == (64, row, "small")
    assert bench.keep(row.plan, None, known, node_limit=64) is row
    assert bench.made_of(row) is bench.made["small"]


def test_eager_has_a_curve_also_where_every_plan_is_rewritten(bench: Workbench) -> None:
    slow = make_plan(bench.profiles["small"].graph, extra_time=0.5)
    assert slow.rewrites
    bench.what_ifs.remove("small")
    bench.keep(slow, "slow", bench.profiles["small"])
    eager = bench.what_ifs.eager_of("small")
    assert eager is not None
    assert eager.figures is not None
    assert eager.figures.curve == highest(bench.profiles["small"].captured_curve) != ()
    assert "data:image" in tables_html(bench.what_ifs).partition("slow")[0]  # eager's row is the one before


def test_settings_that_cannot_be_met_leave_what_was_there(bench: Workbench) -> None:
    before, latest = names(bench), bench.what_if()
    for error, settings in ((InfeasibleError, {"budget": 1}), (ParameterError, {"time_limit": 0})):
        with pytest.raises(error):
            bench.plan_named("never", **settings)
    assert (names(bench), bench.what_if()) == (before, latest)


@pytest.mark.parametrize("interrupted", ["profile", "make_plan"])
def test_an_interrupt_leaves_nothing_half_made(
    bench: Workbench, interrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.profiles["small"], bench.what_if("small")

    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_module, interrupted, stop)
    with pytest.raises(KeyboardInterrupt):
        bench.capture_named("late", made(32), fake=True)
    assert names(bench) == ["small"]
    assert (bench.profiles["small"], bench.what_if()) == before
    whole = ["small"] if interrupted == "profile" else ["small", "late"]  # what was captured can be planned
    assert list(bench.profiles) == list(bench.made) == whole
    monkeypatch.undo()
    assert bench.plan_named(order="list").plan.graph.name == whole[-1]


def test_what_is_run_and_verified_is_noted(bench: Workbench) -> None:
    before = [parameter.clone() for parameter in bench.made["small"].model.parameters()]
    row, found = bench.verify_named(steps=2)
    assert found.identical
    assert (row.identical, row.time_ratio) == (True, found.time_ratio)
    row, figures = bench.measure("small", steps=2)
    assert len(figures.losses) == 2
    assert row.measured_peak_bytes == figures.peak_above_base_bytes
    assert (row.identical, row.time_ratio) == (True, found.time_ratio)  # as verified
    assert bench.what_ifs["small"] is row
    assert all(map(torch.equal, before, bench.made["small"].model.parameters()))
    assert not bench.made["small"].optimizer.state


def test_without_an_optimizer_the_one_that_was_taken_for_granted_runs() -> None:
    bench, whole = Workbench(), made()
    bench.capture_named("plain", Made(whole.model, whole.batch, loss=whole.loss), fake=True)
    assert bench.verify_named(steps=2)[1].identical


def test_without_the_model_it_is_said(bench: Workbench) -> None:
    alone = made()
    found = profile(alone.model, alone.batch, alone.optimizer, alone.loss, fake=True)
    bench.adopt("found", found)
    row = bench.plan_named("bare")
    assert bench.profile_named() is found
    assert bench.batch_size("bare") is None
    with pytest.raises(InputError, match="the model that 'bare' is a plan of is not known here; profile it first"):
        bench.made_of(row)
    with pytest.raises(InputError, match="the model that 'found' is a profile of is not known here; profile it first"):
        bench.fit("found")


def test_a_profile_that_is_adopted_under_another_name_keeps_its_model(bench: Workbench) -> None:
    bench.adopt("p", bench.profiles["small"])
    assert bench.made_of(bench.plan_named("q", "p")) is bench.made["small"]
    assert bench.fit("p", [4]).points[0].batch == 4


def test_batch_sizes_are_captured_and_planned_without_a_run(bench: Workbench) -> None:
    heard: list[str] = []
    bench.progress = lambda what, part=0.0: heard.append(what)
    fit = bench.fit(sizes=[8, 2, 2])
    assert [point.batch for point in fit.points] == [2, 8]
    assert [what for what in heard if "capturing" in what] == ["capturing batch size 2", "capturing batch size 8"]
    assert fit.runs == (*RUNS, *EXTRA_TIMES)
    assert fit.devices[0].name == "this machine's RAM"
    assert bench.batch_size("small") == 4
    assert names(bench) == ["small"]


def test_sizes_are_captured_until_no_device_holds_them(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = (Device("small", 60 * MIB, 0), Device("large", 90 * MIB, 0))
    monkeypatch.setattr(sizes_module, "devices_for", lambda _: devices)
    bench.capture_named("wide", made(2**17), fake=True, default_plan=False)
    fit = bench.fit(extra_times=[0.1])
    sizes = [point.batch for point in fit.points]
    assert sizes == [4 * FACTOR**number for number in range(len(sizes))]
    assert fit.least(sizes[-2], 0.1) <= 90 * MIB < fit.least(sizes[-1], 0.1)
    assert all(fit.largest_batch(device, run).basis == "between" for device in devices for run in fit.runs)


class Tokens(torch.nn.Module):
    """A language model of two layers, made for 24 positions."""

    config = SimpleNamespace(max_position_embeddings=24)

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Embedding(2**17, 8), torch.nn.Linear(8, 2**17))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self.layers(ids).square().mean()
        return loss


def test_sequences_go_as_far_as_the_model(bench: Workbench) -> None:
    text = Made(Tokens(), torch.zeros(1, 8, dtype=torch.long), loss=lambda model, batch: model(batch))
    bench.capture_named("text", text, fake=True, default_plan=False)
    rows, along = bench.within(GIB + 90 * MIB, extra_times=[]).sizes
    assert (rows.axis, rows.fixed, along.axis, along.fixed, along.most) == ("batch size", 8, "sequence length", 1, 24)
    assert max(along.captured) <= 24
    assert all((one.next_bytes is None) == (one.size == 24) for one in along.largest)
    assert along.largest[-1].size == 24


def test_plans_of_the_same_step_stay_with_a_profile_made_anew(bench: Workbench) -> None:
    bench.plan_named("fine", order="list")
    bench.what_ifs.pin("fine")
    bench.what_ifs.measured("fine", 5)
    again = made()
    anew = bench.capture_named("small", again, fake=True)[1]
    fine = bench.what_if("fine")
    assert bench.made_of(fine) is again
    assert fine.measured_peak_bytes == 5
    assert bench.what_ifs.baseline is fine
    assert bench.latest_of(anew) is bench.what_if("small")
    assert bench.verify_named("fine", steps=2)[1].identical


def test_plans_of_another_step_are_no_plans_of_the_profile_that_replaces_theirs(bench: Workbench) -> None:
    fine = bench.plan_named("fine", order="list")
    old = bench.what_if("small")
    anew = bench.capture_named("small", made(32), fake=True)[1]
    assert names(bench) == ["small", "fine"]
    assert bench.what_if("fine") is fine  # what was found out stays
    assert bench.what_if("small").plan.graph_sha256 == fingerprint(anew.graph) != old.plan.graph_sha256
    assert bench.latest_of(anew) is bench.what_if("small")
    assert bench.batch_size("fine") is None
    with pytest.raises(InputError, match="the model that 'fine' is a plan of is not known here; profile it first"):
        bench.measure("fine")
    assert bench.verify_named("small", steps=2)[1].identical


def test_a_foreign_profile_under_a_name_takes_the_model_away(bench: Workbench) -> None:
    alone = made(32)
    bench.adopt("small", profile(alone.model, alone.batch, alone.optimizer, alone.loss, fake=True))
    assert bench.latest_of(bench.profiles["small"]) is None
    with pytest.raises(InputError, match="profile it first"):
        bench.measure(bench.plan_named("new").name)
