"""Optimizers that torch does not know: without state, with some state, with closures, around others."""

import warnings

import pytest
import torch
from torch import nn

import roam_lab as roam
from tests.situations.judge import HONEST, PLANNED, REFUSED, Situation, compare
from tests.situations.models import classifier, data, mlp, slow_unless

CROSS = nn.functional.cross_entropy


class Own(torch.optim.Optimizer):
    """What the optimizers here share: a loop over parameters with gradients."""

    def __init__(self, params, lr=1e-2, **given):
        super().__init__(params, {"lr": lr, **given})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.one(p, group, self.state[p] if self.keeps else None)
        return loss

    keeps = True


class SignSGD(Own):
    keeps = False

    def one(self, p, group, state):
        p.add_(p.grad.sign(), alpha=-group["lr"])


class Lion(Own):
    def one(self, p, group, state):
        if not state:
            state["m"] = torch.zeros_like(p)
        p.add_((state["m"] * 0.9 + p.grad * 0.1).sign_(), alpha=-group["lr"])
        state["m"].mul_(0.99).add_(p.grad, alpha=0.01)


class MatrixMomentum(Own):
    """State for matrices alone."""

    def one(self, p, group, state):
        if p.ndim < 2:
            p.add_(p.grad, alpha=-group["lr"])
            return
        if "m" not in state:
            state["m"] = p.grad.clone()
        else:
            state["m"].lerp_(p.grad, 0.1)
        p.add_(state["m"], alpha=-group["lr"])


class Factored(Own):
    """Rows and columns of the second moment; a tensor counts the steps."""

    def one(self, p, group, state):
        if not state:
            state["step"] = torch.zeros(())
            shapes = (p.shape[:-1], p.shape[-1:]) if p.ndim > 1 else (p.shape, p.shape)
            state["row"], state["col"] = torch.zeros(shapes[0]), torch.zeros(shapes[1])
        state["step"] += 1
        square = p.grad.square() + 1e-30
        if p.ndim > 1:
            state["row"].lerp_(square.mean(-1), 0.2)
            state["col"].lerp_(square.mean(-2), 0.2)
            scale = (state["row"] / state["row"].mean()).rsqrt()[:, None] * state["col"].rsqrt()
        else:
            state["row"].lerp_(square, 0.2)
            scale = state["row"].rsqrt()
        p.add_(p.grad * scale / state["step"].sqrt(), alpha=-group["lr"])


class LazyTensorAttribute(Own):
    """A tensor on the optimizer itself, made in the first step."""

    total = None

    def one(self, p, group, state):
        if self.total is None:
            self.total = torch.zeros(())
        self.total.add_(p.grad.square().sum())
        p.add_(p.grad / (1 + self.total.sqrt()), alpha=-group["lr"])


class Noisy(Own):
    """SGLD: Gaussian noise in every update."""

    keeps = False

    def one(self, p, group, state):
        p.add_(p.grad, alpha=-group["lr"]).add_(torch.randn_like(p), alpha=0.01 * group["lr"])


class Preconditioned(Own):
    """Shampoo: inverse roots of statistics every second step, counted by a Python number."""

    def one(self, p, group, state):
        g = p.grad.reshape(p.shape[0], -1)
        if not state:
            state["n"], state["left"], state["root"] = 0, torch.eye(g.shape[0]) * 1e-2, torch.eye(g.shape[0])
        state["left"].add_(g @ g.T)
        if state["n"] % 2 == 0:
            values, vectors = torch.linalg.eigh(state["left"])
            state["root"] = vectors @ torch.diag(values.clamp(min=1e-6) ** -0.25) @ vectors.T
        state["n"] += 1
        p.add_((state["root"] @ g).view_as(p), alpha=-group["lr"])


class Net(nn.Module):
    def __init__(self, unused):
        super().__init__()
        self.body, self.head = nn.Linear(12, 16), nn.Linear(16, 4)
        if unused:
            self.pooler = nn.Linear(16, 16)

    def forward(self, x):
        return self.head(self.body(x).relu())


KINDS = [SignSGD, Lion, MatrixMomentum, Factored, LazyTensorAttribute, Noisy, Preconditioned]
MUST = {SignSGD, Lion, MatrixMomentum}


def made(kind, unused=False, first=False, **given):
    def make():
        model = Net(unused)
        situation = classifier(model, kind(model.parameters()), **given)
        if first:
            situation.eager(situation.batch(5))
        return situation

    return make


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("first", [False, True], ids=["fresh", "after a step"])
@pytest.mark.parametrize("unused", [False, True], ids=["", "unused parameter"])
def test_third_party(kind, first, unused):
    slow_unless(not unused and not (first and kind in (Noisy, LazyTensorAttribute)))
    compare(made(kind, unused, first), steps=6).must_be(PLANNED if kind in MUST else HONEST)


@pytest.mark.parametrize("kind", [SignSGD, Lion], ids=lambda k: k.__name__)
@pytest.mark.parametrize("first", [False, True], ids=["fresh", "after a step"])
def test_with_an_unused_parameter(kind, first):
    slow_unless(first is (kind is Lion))
    compare(made(kind, True, first)).must_be(PLANNED)


@pytest.mark.parametrize("kind", [SignSGD, Lion, MatrixMomentum], ids=lambda k: k.__name__)
@pytest.mark.parametrize("first", [False, True], ids=["fresh", "after a step"])
def test_without_any_eager_step_allowed(kind, first):
    """on_mismatch="error": planned or refused, never a step that silently runs eagerly for ever."""
    verdict = compare(made(kind, False, first), on_mismatch="error").must_be({"planned", "refused"})
    if first or kind is SignSGD:
        verdict.must_be(PLANNED)


def closure_step(model, optimizer, batch):
    def closure():
        optimizer.zero_grad()
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    optimizer.zero_grad()
    return loss.detach()


@pytest.mark.parametrize("kind", [SignSGD, Lion, torch.optim.SGD, torch.optim.AdamW], ids=lambda k: k.__name__)
def test_closures(kind):
    compare(made(kind, step=closure_step)).must_be(HONEST)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs(search):
    def make():
        model = nn.Linear(12, 4)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3, history_size=3, line_search_fn=search)
        return classifier(model, optimizer, step=closure_step)

    compare(make, steps=4).must_be(HONEST)


class Wrapper:
    """Not an Optimizer of torch: accelerate's and DeepSpeed's habit."""

    def __init__(self, optimizer):
        self.optimizer, self.calls = optimizer, 0

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    @property
    def state(self):
        return self.optimizer.state

    def step(self, closure=None):
        self.calls += 1
        self.optimizer.step(closure)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self):
        return self.optimizer.state_dict()


class Subclass(torch.optim.AdamW):
    """A torch optimizer with something done around its step."""

    def step(self, closure=None):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.grad.sub_(p.grad.mean())
        return super().step(closure)


@pytest.mark.parametrize("hidden", [False, True], ids=["", "inner in the closure"])
def test_wrapped(hidden):
    def make():
        model = mlp()
        inner = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return classifier(model, Wrapper(inner), others={"inner": inner} if hidden else {})

    compare(make).must_be(HONEST)


def test_subclass():
    compare(made(Subclass)).must_be(PLANNED)


def test_accelerated():
    accelerate = pytest.importorskip("accelerate")

    def make():
        accelerate.Accelerator(cpu=True)  # an optimizer of accelerate asks for one
        model = mlp()
        inner = torch.optim.SGD(model.parameters(), lr=0.1)
        return classifier(model, accelerate.optimizer.AcceleratedOptimizer(inner))

    try:
        compare(make).must_be(PLANNED)
    finally:
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.filterwarnings("ignore")
def test_adafactor_of_transformers():
    """Python counters and a root mean square in the state."""
    from transformers.optimization import Adafactor

    compare(made(Adafactor), steps=4).must_be(HONEST)


@pytest.mark.parametrize("flavour", ["fused", "maximize"])
def test_flavours_of_torch(flavour):
    slow_unless(flavour == "fused")

    def make():
        model = mlp()
        return classifier(model, torch.optim.Adam(model.parameters(), lr=torch.tensor(1e-2), **{flavour: True}))

    compare(make).must_be(HONEST)


def test_sparse_gradients():
    def make():
        model = nn.Sequential(nn.Embedding(10, 12, sparse=True), nn.Flatten(), nn.Linear(36, 4))
        pair = torch.optim.SparseAdam(model[0].parameters()), torch.optim.SGD(model[2].parameters(), lr=0.1)
        g = torch.Generator().manual_seed(3)
        batches = [(torch.randint(0, 10, (8, 3), generator=g), torch.arange(8) % 4) for _ in range(6)]
        return Situation(model, pair, batches, nn.CrossEntropyLoss())

    compare(make).must_be(HONEST)


def test_every_reason_is_told_once():
    """Steps that run eagerly are counted by their reasons, and each reason is one warning."""
    batches = data(4) + data(3, rows=5)
    verdict = compare(lambda: classifier(batches=batches), steps=7).must_be({"eager"})
    assert verdict.step.planned_steps == 4
    assert verdict.step.eager_steps == 3 == sum(verdict.step.reasons.values())
    (sentence,) = verdict.step.reasons
    assert sentence.startswith("the batch is not")
    assert sum("a training step ran eagerly: this batch is" in text for text in verdict.warned) == 1


def test_an_eager_step_is_an_error_where_that_was_asked_for():
    verdict = compare(lambda: classifier(batches=data(4) + data(3, rows=5)), steps=7, on_mismatch="error")
    verdict.must_be(REFUSED)
    assert verdict.sentence.startswith("MismatchError")


def test_released_and_planned_again():
    situation = classifier()
    profile = roam.profile(situation.model, situation.batch(0), situation.optimizer, loss=situation.loss)
    step = roam.hook(profile.plan(), situation.model, situation.optimizer, loss=situation.loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = step(situation.batch(0))
        kept = first.clone()
        step.release()
        step.release()
        step(situation.batch(1))
    assert torch.equal(first, kept)
    assert (step.planned_steps, step.eager_steps, dict(step.reasons)) == (2, 0, {})
