"""`parameter.data = tensor` in a step: the parameter keeps its place and has the value, as after the eager step."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import roam_lab as roam
from roam_lab.capture import capture_step
from roam_lab.capture.sources.rebinding import Rebinding, data_assignments
from roam_lab.errors import CaptureError


def rebinding(**named):
    copied = []
    names = {id(tensor): name for name, tensor in named.items()}
    return Rebinding(names, lambda target, value: copied.append((target, value))), names, copied


def test_an_assignment_is_a_copy():
    weight, value = torch.zeros(2), torch.ones(2)
    found, names, copied = rebinding(weight=weight)
    address = weight.data_ptr()
    with data_assignments(found, names):
        weight.data = value
    assert weight.data_ptr() == address
    ((target, given),) = copied
    assert target is weight
    assert given is value


def test_other_tensors_are_assigned_as_ever_and_data_is_read_as_ever():
    weight, other, value = torch.zeros(2), torch.zeros(2), torch.ones(2)
    found, names, copied = rebinding(weight=weight)
    with data_assignments(found, names):
        other.data = value
        assert other.data_ptr() == value.data_ptr() == other.data.data_ptr()
        assert weight.data.data_ptr() == weight.data_ptr()
    assert copied == []


@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_all_is_as_before(fails):
    weight, value = torch.zeros(2), torch.ones(2)
    found, names, copied = rebinding(weight=weight)
    try:
        with data_assignments(found, names):
            assert "data" in vars(torch.Tensor)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert "data" not in vars(torch.Tensor)
    weight.data = value
    assert weight.data_ptr() == value.data_ptr()
    assert copied == []


@pytest.mark.parametrize("value", [torch.ones(3), torch.ones(2, dtype=torch.float64), torch.ones(2, device="meta")])
def test_a_value_that_does_not_fit_the_place(value):
    weight = torch.zeros(2)
    found, names, copied = rebinding(weight=weight)
    with (
        pytest.raises(
            CaptureError, match=r"gives weight\.data a tensor of another shape, type or device .*; give it one"
        ),
        data_assignments(found, names),
    ):
        weight.data = value
    assert copied == []


def test_a_value_that_something_else_holds_too():
    with FakeTensorMode():
        weight, value, other = torch.zeros(2), torch.ones(2), torch.ones(2)
    found, names, _ = rebinding(weight=weight)
    with data_assignments(found, names):
        weight.data = value
    found.check(iter([("buffer mean", other), ("buffer scale", torch.ones(2))]))
    with pytest.raises(
        CaptureError, match=r"gives weight\.data the tensor that is also buffer mean, so that both share"
    ):
        found.check(iter([("buffer mean", value)]))


def test_a_step_that_assigns_is_planned_like_eager():
    """Weights decayed and normed by hand after the update."""
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 4), torch.randn(3, 4)
    twin = copy.deepcopy(model)
    one, other = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))

    def step(model, optimizer, batch):
        loss = model(batch).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        for parameter in model.parameters():
            parameter.data = parameter.data * 0.9
        model.weight.data = model.weight.data / model.weight.data.norm()
        return loss.detach()

    planned = roam.hook(roam.profile(model, batch, one, step=step).plan(), model, one, step=step)
    address = model.weight.data_ptr()
    for _ in range(3):
        assert torch.equal(planned(batch), step(twin, other, batch))
    assert planned.planned_steps == 3, planned.reasons
    assert torch.equal(model.weight, twin.weight)
    assert torch.equal(model.bias, twin.bias)
    assert model.weight.data_ptr() == address


def test_a_parameter_given_a_tensor_of_another_shape_is_refused_by_name():
    model = nn.Linear(4, 4)

    def step(model, optimizer, batch):
        loss = model(batch).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        model.bias.data = torch.zeros(5)
        return loss.detach()

    with pytest.raises(
        CaptureError, match=r"the step gives bias\.data a tensor of another shape, type or device \(\(5,\)"
    ):
        capture_step(model, torch.optim.SGD(model.parameters(), lr=0.1), torch.randn(3, 4), step)
    assert "data" not in vars(torch.Tensor)


def attacked(model, optimizer, batch):
    """Adversarial training, as it is often written: the disturbance is given other data."""
    delta = torch.zeros_like(batch, requires_grad=True)
    for _ in range(2):
        (gradient,) = torch.autograd.grad(model(batch + delta).pow(2).sum(), delta)
        delta.data = (delta.detach() + 0.1 * gradient.sign()).clamp(-0.15, 0.15)
    loss = model(batch + delta.detach()).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def shared(model, optimizer, batch):
    """What looked at the old data still does."""
    made = model(batch).detach() * 2
    old = made.detach()
    made.data = old + 1
    loss = (model(batch) - made * old).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@pytest.mark.parametrize(("step", "planned"), [(attacked, True), (shared, False)])
def test_a_tensor_of_the_steps_own_is_given_other_data(step, planned):
    torch.manual_seed(0)
    model, batch = nn.Linear(4, 3), torch.randn(5, 4)
    twin = copy.deepcopy(model)
    one, other = (torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, twin))
    if not planned:
        with pytest.raises(CaptureError, match="in the eager step"):
            roam.profile(model, batch, one, step=step)
        return
    hooked = roam.hook(roam.profile(model, batch, one, step=step).plan(), model, one, step=step, check="never")
    for _ in range(3):
        assert torch.equal(hooked(batch), step(twin, other, batch))
    assert torch.equal(model.weight, twin.weight)
    assert hooked.planned_steps == 3, hooked.reasons


def squared(model, optimizer, batch):
    loss = model(batch).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def hooked_or_not(model, optimizer, check):
    """A step by a hook with this check, or the user's own for None; and the hook."""
    if check is None:
        return (lambda batch: squared(model, optimizer, batch)), None
    ours = roam.hook(model, optimizer, step=squared, check=check)
    return ours, ours


class Exchanging(nn.Module):
    """Buffers that a step binds anew."""

    def __init__(self, bind):
        super().__init__()
        self.layer, self.bind = nn.Linear(4, 4), bind
        self.register_buffer("a", torch.zeros(4))
        self.register_buffer("b", torch.ones(4))

    def forward(self, x):
        self.bind(self)
        return self.layer(x) * self.a + self.b


def bound_to_another(model):
    model.a = model.b


def exchanged(model):
    model.a, model.b = model.b, model.a


def both_to_one_that_is_new(model):
    model.a = model.b = model.b + 1


def view_of_another(model):
    model.a = model.b.detach()


def view_of_its_own(model):
    model.a = model.a.detach()


def new_ones(model):
    model.a, model.b = model.b + 1, model.a * 2


@pytest.mark.parametrize("check", ["first", "never"])
@pytest.mark.parametrize(
    ("bind", "planned"),
    [
        (bound_to_another, False),
        (exchanged, False),
        (both_to_one_that_is_new, False),
        (view_of_another, False),
        (view_of_its_own, False),
        (new_ones, True),
    ],
)
@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_buffers_that_become_one_tensor_are_no_copies(bind, planned, check):
    """The user changes one of them between steps: the other changes with it, or does not."""

    def run(check):
        torch.manual_seed(0)
        model = Exchanging(bind)
        step, ours = hooked_or_not(model, torch.optim.SGD(model.parameters(), lr=0.1), check)
        losses = []
        for number in range(5):
            losses.append(step(torch.randn(3, 4)).item())
            (model.a if number % 2 else model.b).add_(1)
        return [losses, model.a.tolist(), model.b.tolist()], ours

    eager, _ = run(None)
    found, ours = run(check)
    assert found == eager
    assert (ours.planned_steps > 0) is planned, ours.reasons
    if not planned and check == "never":
        assert any(words in next(iter(ours.reasons)) for words in ("is also", "a view of buffer"))


class TurnsAbout(torch.optim.Optimizer):
    """Two moments that change places at each step."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for one in group["params"]:
                state = self.state[one]
                if not state:
                    state["one"], state["two"] = torch.zeros_like(one), torch.ones_like(one)
                state["one"], state["two"] = state["two"], state["one"]
                state["one"].add_(one.grad)
                one.sub_(state["one"] - state["two"], alpha=group["lr"])


@pytest.mark.parametrize("check", ["first", "never"])
@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_states_that_change_places(check):
    def run(check):
        torch.manual_seed(0)
        model = nn.Linear(4, 4)
        step, _ = hooked_or_not(model, TurnsAbout(model.parameters()), check)
        return [step(batch).item() for batch in torch.randn(6, 3, 4)]

    assert run(check) == run(None)
