"""`roam.profile` and the session: what is measured, what is left alone, what is remembered."""

import pytest
import torch

import roam_lab as roam
from roam_lab.app.session import Session
from roam_lab.errors import CaptureError, InputError


def training():
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(), torch.nn.Linear(16, 2))
    batch = (torch.randn(4, 8), torch.randint(0, 2, (4,)))
    return model, batch, torch.optim.AdamW(model.parameters())


CRITERION = torch.nn.CrossEntropyLoss()


def test_a_plan_made_without_weights_runs_on_real_ones():
    with torch.device("meta"):
        model, batch, optimizer = training()
    plan = roam.profile(model, batch, optimizer, CRITERION, fake=True).plan()
    model, batch, optimizer = training()
    step = roam.hook(plan, model, optimizer, loss=CRITERION, on_mismatch="error")
    before = [parameter.clone() for parameter in model.parameters()]
    assert step(batch).item() > 0
    assert not any(map(torch.equal, before, model.parameters()))


def test_a_model_without_weights_cannot_be_measured():
    with torch.device("meta"):
        model, batch, optimizer = training()
    with pytest.raises(
        InputError, match=r"holds no weights \(0.weight\), so it cannot be measured; .* profile it with fake"
    ):
        roam.profile(model, batch, optimizer, CRITERION)


def test_no_room_for_the_eager_step_is_told_and_is_no_error(monkeypatch):
    from roam_lab.measure import eager

    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore lines")

    monkeypatch.setattr(eager, "record", full)
    model, batch, optimizer = training()
    profile = roam.profile(model, batch, optimizer, CRITERION)
    assert profile.measured is None
    assert profile.differences == (
        "The eager step ran out of memory, so nothing was measured: CUDA out of memory. Tried to allocate 9 GiB",
    )


def test_profile_says_what_it_is_doing_and_has_an_optimizer_by_default():
    model, batch, _ = training()
    heard = []
    profile = roam.profile(model, batch, loss=CRITERION, progress=lambda what, part: heard.append(what))
    assert heard == ["running one eager step", "capturing the training step"]
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert profile.resident["state"] >= 2 * 4 * weights  # AdamW's two moments
    assert profile.environment["device"] == "cpu"


def test_loss_and_step_exclude_each_other():
    model, batch, optimizer = training()
    with pytest.raises(CaptureError, match="give loss= or step=, not both"):
        roam.profile(model, batch, optimizer, CRITERION, lambda model, optimizer, batch: None)


def test_a_session_remembers():
    session = Session()
    with pytest.raises(InputError, match="there is no profile to plan yet; make one with profile first"):
        session.plan_graph()
    model, batch, optimizer = training()
    profile = session.capture(model, batch, optimizer=optimizer, loss=CRITERION, fake=True)
    plan = session.plan_graph()
    assert (session.profile, session.plan) == (profile, plan)
    assert plan.environment["torch"] == torch.__version__
