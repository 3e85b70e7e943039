"""Comparisons of changing numbers are True or False in the user's code, and conditions of the trace."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import roam_lab as roam
from roam_lab.capture import as_step, capture_step


def made(momentum=0.9):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)


def by_identity(model, x, late):
    return model(x) * (2.0 if late is True else 1.0)


def in_a_match(model, x, late):
    match late:
        case True:
            return model(x) * 2.0
        case False:
            return model(x)
    return model(x) * 5.0


def with_grad(model, x, late):
    with torch.set_grad_enabled(late):
        hidden = model[0](x)
    return model[2](hidden.relu())


def in_autocast(model, x, late):
    with torch.autocast("cpu", torch.bfloat16, enabled=late):
        return model(x).float()


def by_parameters(model, x, late):
    for parameter in model[0].parameters():
        parameter.requires_grad = late
    return model(x)


def by_module(model, x, late):
    model[0].requires_grad_(late)
    return model(x)


USES = {
    "is True": by_identity,
    "match": in_a_match,
    "set_grad_enabled": with_grad,
    "autocast": in_autocast,
    "requires_grad": by_parameters,
    "requires_grad_": by_module,
    "argument": lambda model, x, late: model[2](functional.dropout(model[0](x), 0.5, late)),
    "index": lambda model, x, late: model(x) * [1.0, 2.0][late],
    "key": lambda model, x, late: model(x) * {True: 2.0, False: 1.0}[late],
    "float": lambda model, x, late: model(x) * (1.0 + float(late)),
    "xor": lambda model, x, late: model(x) * (2.0 if late ^ True else 1.0),
    "text": lambda model, x, late: model(x) * len(f"{late}"),
    "tensor": lambda model, x, late: torch.where(torch.tensor(late), model(x), model(x) * 2.0),
    "factor": lambda model, x, late: model(x) * (1.0 + 0.5 * late),
}


def trained(use, hooked, by):
    """Losses and parameters after six steps, from the fourth on with True. `by`: the counter or the loss before."""
    model, optimizer = made()
    told = {"count": 0, "loss": 0.0}

    def step(model, optimizer, batch):
        late = told["count"] >= 3 if by == "count" else 0.0 < told["loss"] < 0.5
        loss = use(model, batch, late).square().mean()
        told["count"] += 1
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        told["loss"] = loss.item()
        return loss.detach()

    run = roam.hook(model, optimizer, step=step, check="never") if hooked else step
    torch.manual_seed(1)
    batches = [torch.randn(5, 6) for _ in range(6)]
    losses = [float(run(batch) if hooked else run(model, optimizer, batch)) for batch in batches]
    return losses, [parameter.tolist() for parameter in model.parameters()], run


# one step runs eagerly: that in which parameters get their first gradients
@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
@pytest.mark.parametrize(
    ("use", "by"),
    [*((one, "count") for one in list(USES)[::2]), ("is True", "loss")]
    + [pytest.param(one, "count", marks=pytest.mark.slow) for one in list(USES)[1::2]]
    + [pytest.param("requires_grad", "loss", marks=pytest.mark.slow)],
)
def test_what_takes_a_bool_alone(use, by):
    losses, parameters, _ = trained(USES[use], False, by)
    planned_losses, planned, hook = trained(USES[use], True, by)
    assert planned_losses == losses
    assert planned == parameters
    assert hook.planned_steps >= 5


def test_the_comparison_is_a_condition_and_torch_has_its_own_again():
    model, optimizer = made(momentum=0)
    before = {name: getattr(torch.SymInt, name) for name in ("__ge__", "__eq__", "__hash__")}
    told = {"count": 2}

    def loss(model, batch):
        told["count"] += 1
        told["late"] = (told["count"] >= 5) is True
        return model(batch).square().mean() * (2.0 if told["late"] else 1.0)

    told["late"] = False
    (condition,) = capture_step(model, optimizer, torch.ones(2, 6), as_step(loss)).trace.guards
    (symbol,) = condition.free_symbols
    assert bool(condition.subs({symbol: 3}))
    assert not bool(condition.subs({symbol: 4}))  # the count is one more then
    assert {name: getattr(torch.SymInt, name) for name in before} == before


def test_what_torch_compares_for_itself_is_no_condition():
    """torch may only ask what is known of a comparison, and then goes on the same way whatever it is."""
    model, optimizer = made(momentum=0)
    told = {"count": 2}
    by_torch = compile("count >= 5", torch.__file__, "eval")

    def loss(model, batch):
        told["count"] += 1
        eval(by_torch, {"count": told["count"]})
        return model(batch).square().mean() * told["count"]

    assert list(capture_step(model, optimizer, torch.ones(2, 6), as_step(loss)).trace.guards) == []
