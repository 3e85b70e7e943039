"""Python numbers in optimizers, averages and what is built around them."""

import pytest
import torch

from tests.situations.judge import HONEST, compare
from tests.situations.models import classifier, mlp, sgd, slow_unless, stepping


class Momentum(torch.optim.Optimizer):
    """Bias correction by a Python float, kept in one of four places."""

    def __init__(self, params, where, lr=1e-2, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta, "product": 1.0, "step": 0})
        self.where, self.product = where, 1.0
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["m"] = torch.zeros_like(p)
                self.state[p]["n"] = 0 if where == "state int" else 1.0

    @torch.no_grad()
    def step(self, closure=None):
        self.product *= self.defaults["beta"]
        for group in self.param_groups:
            group["product"] *= group["beta"]
            group["step"] += 1
            for p in group["params"]:
                state = self.state[p]
                if self.where == "state float":
                    state["n"] *= group["beta"]
                    product = state["n"]
                elif self.where == "state int":
                    state["n"] += 1
                    product = group["beta"] ** state["n"]
                elif self.where == "group float":
                    product = group["product"]
                elif self.where == "group int":
                    product = group["beta"] ** group["step"]
                else:
                    product = self.product
                state["m"].mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                p.add_(state["m"] / (1 - product), alpha=-group["lr"])


@pytest.mark.parametrize("where", ["state float", "state int", "group float", "group int", "attribute"])
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "after a step"])
def test_numbers_in_optimizers(where, warm):
    slow_unless(not warm or where == "state float")

    def make():
        model = mlp()
        made = classifier(model, Momentum(model.parameters(), where))
        if warm:
            made.eager(made.batch(5))
        return made

    compare(make).must_be(HONEST)


class Lookahead(torch.optim.Optimizer):
    """Around another optimizer: every third step the slow weights follow, and the fast ones go back to them."""

    def __init__(self, base):
        self.base, self.n = base, 0
        self.param_groups, self.state, self.defaults = base.param_groups, base.state, base.defaults
        self.slow = [p.detach().clone() for g in base.param_groups for p in g["params"]]

    def step(self, closure=None):
        self.base.step()
        self.n += 1
        if self.n % 3 == 0:
            with torch.no_grad():
                for slow, p in zip(self.slow, (p for g in self.param_groups for p in g["params"]), strict=True):
                    slow.add_(p - slow, alpha=0.5)
                    p.copy_(slow)

    def zero_grad(self, set_to_none=True):
        self.base.zero_grad(set_to_none)

    def state_dict(self):
        return self.base.state_dict()


def test_lookahead():
    def make():
        model = mlp()
        base = sgd(model)
        return classifier(model, Lookahead(base), others={"base": base})

    compare(make, steps=8, variants=2).must_be(HONEST)


class ByDistance(torch.optim.Optimizer):
    """D-adaptation: the step size is a Python float read from tensors."""

    def __init__(self, params):
        super().__init__(params, {"lr": 1.0, "d": 1e-3, "k": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            total = 0.0
            for p in group["params"]:
                state = self.state[p]
                if "s" not in state:
                    state["s"], state["p0"] = torch.zeros_like(p), p.clone()
                state["s"].add_(p.grad, alpha=group["d"])
                total += (state["p0"] - p).norm().item() + state["s"].norm().item()
            group["d"] = max(group["d"], 1e-2 * total / len(group["params"]))
            group["k"] += 1
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["d"] * group["lr"])


def test_step_size_by_distance():
    def make():
        model = mlp()
        return classifier(model, ByDistance(model.parameters()))

    compare(make).must_be(HONEST)


def test_warm_up_of_an_average():
    """The decay is min(0.9, (1 + n) / (10 + n)), n counted by the object."""

    class Ema:
        def __init__(self, model):
            self.shadow, self.n = {k: v.clone() for k, v in model.state_dict().items()}, 0

        @torch.no_grad()
        def update(self, model):
            self.n += 1
            decay = min(0.9, (1 + self.n) / (10 + self.n))
            for k, v in model.state_dict().items():
                self.shadow[k].mul_(decay).add_(v, alpha=1 - decay)

    def make():
        model = mlp()
        ema = Ema(model)
        return classifier(model, step=stepping(lambda loss: ema.update(model)), others={"ema": ema})

    compare(make).must_be(HONEST)
