"""Parameters that a step's code holds itself: a list made before training, an attribute, a tuple, a dict."""

import copy

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture.sources.held_parameters import held_parameters_replaced
from roam_lab.capture.sources.reachable import reach


class Holder:
    pass


def held(model, how):
    holder, own = Holder(), list(model.parameters())
    if how == "list":
        return lambda: own
    if how == "attribute":
        holder.own = tuple(own)
        return lambda: holder.own
    named = dict(model.named_parameters())
    return lambda: named.values()


@pytest.mark.parametrize("how", ["list", "attribute", "dict"])
def test_a_step_that_clips_what_it_holds_is_planned(how):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    results = []
    for one, hooks in ((model, True), (copy.deepcopy(model), False)):
        optimizer, parameters = torch.optim.AdamW(one.parameters(), lr=0.05), held(one, how)

        def step(model, optimizer, batch, parameters=parameters):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters(), 0.1)
            for parameter in parameters():
                parameter.grad.mul_(1.5)
            optimizer.step()
            return loss.detach(), norm

        call = (
            roam.hook(one, optimizer, step=step, cache=False)
            if hooks
            else lambda b, o=one, p=optimizer, s=step: s(o, p, b)
        )
        torch.manual_seed(1)
        batches = [(torch.randn(4, 8), torch.randint(0, 3, (4,))) for _ in range(3)]
        results.append([*(tensor for batch in batches for tensor in call(batch)), *one.parameters()])
        if hooks:
            assert (call.planned_steps, call.reasons) == (3, {})
    assert all(map(torch.equal, *results))


def test_everything_is_put_back_but_what_the_step_has_changed():
    model = nn.Linear(2, 2)
    weight, bias = model.weight, model.bias
    root = {
        "list": [weight, bias],
        "tuple": (1, (weight, "x")),
        "dict": {"w": weight},
        "other": [torch.ones(2)],
        "gone": [weight],
    }
    before = {"list": [weight, bias], "tuple": root["tuple"], "dict": {"w": weight}}
    names = {id(weight): "weight", id(bias): "bias"}
    fakes = {name: torch.zeros(2) for name in ("weight", "bias")}
    reachable = reach({"model": model, "root": root})
    with held_parameters_replaced(reachable, model, names, fakes, lambda _: None):
        assert root["list"][0] is fakes["weight"]
        assert root["tuple"][1][0] is fakes["weight"]
        assert root["dict"]["w"] is fakes["weight"]
        assert model.weight is weight
        root["gone"].clear()
        root["list"][1] = "of the step"
    assert root["list"][0] is weight
    assert root["list"][1] == "of the step"
    assert root["tuple"] is before["tuple"]
    assert root["dict"]["w"] is weight
    assert root["gone"] == []


def by_velocity(model):
    """Momentum of the user's own, bound anew by parameter; no decay for what is not in a table."""
    velocity = {one: torch.zeros_like(one) for one in model.parameters()}
    decayed = {one: 0.1 for one in model.parameters() if one.ndim > 1}

    def step(model, optimizer, batch):
        loss = model(batch).square().mean()
        loss.backward()
        with torch.no_grad():
            for one in model.parameters():
                velocity[one] = velocity[one] * 0.9 + one.grad + one * decayed.get(one, 0.0)
                one -= 0.01 * velocity[one]
        model.zero_grad()
        return loss.detach()

    return step, torch.optim.SGD(model.parameters(), lr=0.1)


def in_backward(model):
    """An optimizer for each parameter, stepped as soon as there is a gradient: as in torch's tutorial on memory."""
    each = {one: torch.optim.AdamW([one], lr=0.01) for one in model.parameters()}

    def update(parameter):
        each[parameter].step()
        each[parameter].zero_grad()

    for one in model.parameters():
        one.register_post_accumulate_grad_hook(update)

    def step(model, optimizer, batch):
        loss = model(batch).square().mean()
        loss.backward()
        return loss.detach()

    return step, tuple(each.values())


def with_a_set(model):
    chosen, frozen = {model[0].weight, model[2].bias}, frozenset(model[2].parameters())

    def step(model, optimizer, batch):
        loss = model(batch).square().mean()
        for one in model.parameters():
            if one in chosen:
                loss = loss + 0.1 * one.square().sum()
            if one not in frozen:
                loss = loss + 0.01 * one.abs().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, torch.optim.SGD(model.parameters(), lr=0.1)


def asks_for_state(model):
    """A step that looks at its optimizer's state, which the first one does not find."""

    def step(model, optimizer, batch):
        loss = model(batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        for one in model.parameters():
            if one in optimizer.state and "momentum_buffer" in optimizer.state[one]:
                one.grad.add_(optimizer.state[one]["momentum_buffer"], alpha=0.01)
        optimizer.step()
        return loss.detach()

    return step, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


EAGER = {asks_for_state: 1}


@pytest.mark.filterwarnings("ignore:a training step ran eagerly")
@pytest.mark.parametrize("check", ["first", "never"])
@pytest.mark.parametrize("kind", [by_velocity, in_backward, with_a_set, asks_for_state])
def test_parameters_are_keys_and_members(kind, check):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    twin = copy.deepcopy(model)
    step, optimizer = kind(model)
    eager, twins = kind(twin)
    call = roam.hook(model, optimizer, step=step, cache=False, check=check)
    for _ in range(5):
        batch = torch.randn(3, 4)
        assert torch.equal(call(batch), eager(twin, twins, batch))
        assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert (call.planned_steps, call.eager_steps) == (5 - EAGER.get(kind, 0), EAGER.get(kind, 0)), call.reasons


def test_keys_are_put_back_in_their_places():
    model = nn.Linear(2, 3)
    table = {"first": 1, model.weight: 2, None: 3, model.bias: 4}
    reachable = reach({"model": model, "table": table})
    names = {id(one): name for name, one in model.named_parameters()}
    fakes = {name: torch.nn.Parameter(one.detach().clone()) for name, one in model.named_parameters()}
    with held_parameters_replaced(reachable, model, names, fakes, lambda tensor: None):
        assert list(table) == ["first", fakes["weight"], None, fakes["bias"]]
        table[fakes["weight"]] = 5
        del table[None]
        table["last"] = 6
    assert list(table.items()) == [("first", 1), (model.weight, 5), (model.bias, 4), ("last", 6)]


def test_members_are_put_back():
    model = nn.Linear(2, 3)
    members = {model.weight, "other"}
    reachable = reach({"model": model, "members": members})
    names = {id(one): name for name, one in model.named_parameters()}
    fakes = {name: torch.nn.Parameter(one.detach().clone()) for name, one in model.named_parameters()}
    with held_parameters_replaced(reachable, model, names, fakes, lambda tensor: None):
        assert members == {fakes["weight"], "other"}
        members.add(fakes["bias"])
    assert members == {model.weight, model.bias, "other"}
