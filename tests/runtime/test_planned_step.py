"""Never silently eager: counts and reasons; whose first step has to be eager; several optimizers; the arena let go."""

import gc
import warnings

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step, capture_step
from roam_lab.errors import FirstStepError, MismatchError, RoamWarning
from roam_lab.plan import make_plan
from roam_lab.runtime.identity import digests
from tests.twins import sampled


class Lion(torch.optim.Optimizer):
    """Makes its state in its first step, for matrices only where `partly`."""

    def __init__(self, parameters, lr=0.01, partly=False):
        super().__init__(parameters, {"lr": lr})
        self.partly = partly

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if self.partly and p.dim() < 2:
                    p.add_(p.grad, alpha=-group["lr"])
                    continue
                state = self.state[p]
                if not state:
                    state["average"] = torch.zeros_like(p)
                state["average"].mul_(0.9).add_(p.grad)
                p.add_(state["average"].sign(), alpha=-group["lr"])


class Sign(torch.optim.Optimizer):
    """Holds no state at all."""

    def __init__(self, parameters, lr=0.01):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad.sign(), alpha=-group["lr"])


class Late(torch.optim.Optimizer):
    """Keeps a mean of gradients from its first step on, and of their squares from its second."""

    def __init__(self, parameters, lr=0.01):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                name = "mean" if not state else "square"
                if name not in state:
                    state[name] = torch.zeros_like(p)
                state["mean"].mul_(0.9).add_(p.grad)
                if "square" in state:
                    state["square"].mul_(0.9).addcmul_(p.grad, p.grad)
                p.sub_(state["mean"] / (1 + state.get("square", 0)), alpha=group["lr"])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last, self.unused = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2)
        self.scale, self.note = 2.0, "none"

    def forward(self, x):
        return self.last(self.first(x).tanh() * self.scale).pow(2).mean()


def train(make, count=4, step=None, aged=True, **options):
    """A hooked model after `count` steps beside its eager twin; returns the hooked step."""
    step = step or as_step()
    torch.manual_seed(0)
    model, twin = Net(), Net()
    twin.load_state_dict(model.state_dict())
    optimizers = [make(one) for one in (model, twin)]
    batch = torch.randn(5, 3)
    if aged:
        for one, optimizer in zip((model, twin), optimizers, strict=True):
            step(one, optimizer, batch)
    captured = capture_step(model, optimizers[0], batch, step)
    plan = make_plan(captured.graph, environment=captured.environment)
    hooked = roam.hook(plan, model, optimizers[0], step=step, **options)
    for _ in range(count):
        loss = hooked(batch)
        assert torch.equal(loss, step(twin, optimizers[1], batch).detach())
        assert digests(model, optimizers[0]) == digests(twin, optimizers[1])
    return hooked


FIRST = {
    "third party": (lambda model: Lion(model.parameters()), True),
    "partly": (lambda model: Lion(model.parameters(), partly=True), True),
    "stateless": (lambda model: Sign(model.parameters()), False),
}


@pytest.mark.parametrize("on_mismatch", sampled(["eager", "error", "replan"], 1))
@pytest.mark.parametrize("name", FIRST)
def test_one_eager_step_makes_the_state_and_then_steps_are_planned(name, on_mismatch):
    make, aged = FIRST[name]
    with pytest.warns(RoamWarning, match="makes its state in its first step, which runs eagerly") as found:
        hooked = train(make, aged=aged, on_mismatch=on_mismatch)
    assert len(found) == 1
    assert found[0].filename == __file__
    assert (hooked.planned_steps, hooked.eager_steps) == (3, 1)
    assert list(hooked.reasons.values()) == [1]


def test_state_of_an_own_optimizer_needs_no_eager_step():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RoamWarning)
        hooked = train(lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), aged=False)
    assert (hooked.planned_steps, hooked.eager_steps) == (4, 0)


def test_state_taken_away_is_made_by_one_more_eager_step():
    with pytest.warns(RoamWarning):
        hooked = train(FIRST["partly"][0], count=2)
    hooked.optimizer.state.clear()
    batch = torch.randn(5, 3)
    for _ in range(2):
        hooked(batch)
    assert (hooked.planned_steps, hooked.eager_steps) == (2, 2)
    first, again = hooked.reasons
    assert first == "Lion makes its state in its first step, which runs eagerly"
    assert again.startswith(
        "the first step of its kind runs eagerly, and shows what to capture (Lion makes state in its"
    )
    assert list(hooked.reasons.values()) == [1, 1]


@pytest.mark.filterwarnings("ignore::roam_lab.errors.RoamWarning")
@pytest.mark.parametrize("check", [1, "never"])
def test_state_that_grows_once_more_is_waited_for(check):
    step, batch = as_step(), torch.randn(5, 3)
    trained, model, twin = Net(), Net(), Net()
    twin.load_state_dict(model.state_dict())
    of_trained, optimizer, of_twin = (Late(one.parameters()) for one in (trained, model, twin))
    step(trained, of_trained, batch)
    with pytest.raises(FirstStepError, match=r"the step adds .* to what its optimizer keeps"):
        capture_step(trained, of_trained, batch, step)
    step(trained, of_trained, batch)
    hooked = roam.hook(make_plan(capture_step(trained, of_trained, batch, step).graph), model, optimizer, check=check)
    for _ in range(6):
        assert torch.equal(hooked(batch), step(twin, of_twin, batch).detach())
        assert digests(model, optimizer) == digests(twin, of_twin)
    assert hooked.planned_steps == 4


def two(model):
    return torch.optim.AdamW(model.first.parameters()), torch.optim.SGD(model.last.parameters(), lr=0.1, momentum=0.9)


def step_of_two(model, optimizers, batch):
    loss = model(batch)
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss


@pytest.mark.parametrize("aged", [False, True])
def test_several_optimizers(aged):
    hooked = train(two, step=step_of_two, aged=aged, on_mismatch="error", check=1)
    assert (hooked.planned_steps, hooked.eager_steps, hooked.reasons) == (4, 0, {})
    hooked.optimizers[1].param_groups[0]["momentum"] = 0.0
    with pytest.raises(MismatchError, match=r"another branch of its update than in the plan \(momentum of group 0\)"):
        hooked(torch.randn(5, 3))


def test_a_reason_is_told_once_and_counted():
    hooked = train(lambda model: torch.optim.AdamW(model.parameters()), count=1)
    with pytest.warns(
        RoamWarning, match=r"this batch is float32\[4, 3\]@cpu; the plan was made for float32\[5, 3\]@cpu"
    ):
        hooked(torch.randn(4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (4, 2, 3):
            hooked(torch.randn(rows, 3))
    assert hooked.reasons == {"the batch is not float32[5, 3]@cpu, which the plan was made for": 4}
    assert (hooked.planned_steps, hooked.eager_steps) == (1, 4)


def adamw(model):
    return torch.optim.AdamW(model.parameters())


def test_the_arena_is_let_go_for_eager_steps_evaluation_and_on_request():
    gc.collect()
    watches = torch.nn.modules.module._global_forward_pre_hooks
    of_others = len(watches)  # steps that another test still holds on to watch, too
    hooked = train(adamw, count=2)
    ways = {
        "release": hooked.release,
        "evaluation": lambda: hooked.model.first(torch.randn(1, 3)),
        "eager": lambda: hooked(torch.randn(4, 3)),
    }
    for name, let_go in ways.items():
        hooked(torch.randn(5, 3))
        assert hooked._pool.held, name
        nn.Linear(3, 3)(torch.randn(1, 3))  # another model's forward is no reason
        assert hooked._pool.held
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            let_go()
        assert not hooked._pool.held, name
    assert len(watches) <= of_others


def test_an_arena_for_all_shapes_and_few_compiled_steps():
    hooked = train(adamw, count=1, on_mismatch="replan")
    hooked._compiled._most = 3
    for rows in (2, 9, 4, 9, 2, 5):
        hooked(torch.randn(rows, 3))
        arenas = {one.arena.data_ptr() for one in hooked._compiled.values()}
        assert len(arenas) == 1
        assert len(hooked._compiled) <= 3
    assert (hooked.planned_steps, hooked.eager_steps) == (7, 0)
    assert hooked._pool.arena.numel() == max(size for size, _ in hooked._pool._sizes.values())


def test_nothing_of_a_traced_graph_is_kept():
    from torch._subclasses.fake_tensor import FakeTensor

    gc.collect()
    before = sum(isinstance(one, FakeTensor) for one in gc.get_objects())
    hooked = train(adamw, count=1)
    gc.collect()
    assert sum(isinstance(one, FakeTensor) for one in gc.get_objects()) == before
    assert len(hooked._compiled) == 1


def test_the_watch_of_one_hook_is_no_change_to_another():
    first, second = train(adamw, count=1), train(adamw, count=1, on_mismatch="error")
    assert first._pool.held
    assert second._pool.held
    first.release()
    for _ in range(2):
        for hooked in (second, first):
            hooked(torch.randn(5, 3))
    assert (first.planned_steps, first.eager_steps, second.planned_steps) == (3, 0, 3)
