"""State made before the first step is the state that the first eager step would have started from."""

import copy

import pytest
import torch
from torch import nn

from roam_lab.capture import as_step, can_prime, prime_optimizer
from roam_lab.capture.prime import numeric_settings
from tests.zoo import OPTIMIZERS, tiny


def like(value):
    return (value.shape, value.dtype, value.stride()) if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_shapes_and_the_result_of_eager(name):
    """Eager from a primed state and eager from an empty one end in the same bits."""
    torch.manual_seed(0)
    model, batch, _ = tiny()
    model.eval()
    twin = copy.deepcopy(model)
    optimizer, plain = OPTIMIZERS[name](model.parameters()), OPTIMIZERS[name](twin.parameters())
    used = [p for key, p in model.named_parameters() if key not in ("unused", "frozen")]
    primed = prime_optimizer(optimizer, used)
    assert primed == can_prime(OPTIMIZERS[name](twin.parameters())) == (name != "sgd_dampening")
    assert all(p.grad is None for p in model.parameters())
    made = {id(p): {key: like(value) for key, value in entries.items()} for p, entries in optimizer.state.items()}
    for one, other in ((model, optimizer), (twin, plain)):
        as_step()(one, other, batch)
    if primed:
        after = {id(p): {key: like(value) for key, value in entries.items()} for p, entries in optimizer.state.items()}
        stateful = {
            key for key, entries in after.items() if any(isinstance(value, tuple) for value in entries.values())
        }
        assert stateful == {key for key, entries in made.items() if entries}
        assert all(after[key] == made[key] for key in stateful)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q)
        for key, value in plain.state.get(q, {}).items():
            mine = optimizer.state[p][key]
            assert torch.equal(mine, value) if isinstance(value, torch.Tensor) else mine == value


def test_sgd_from_minus_zero_is_the_gradient_in_every_bit():
    """A plain zero would turn a gradient of -0.0 into 0.0."""
    p = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    prime_optimizer(optimizer)
    p.grad = torch.tensor([-0.0, 0.0, 5.0])
    optimizer.step()
    buffer = optimizer.state[p]["momentum_buffer"]
    assert torch.equal(buffer.signbit(), torch.tensor([True, False, False]))


def test_only_those_named_and_only_once():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    prime_optimizer(optimizer, [model.weight])
    assert set(map(id, optimizer.state)) == {id(model.weight)}
    optimizer.state[model.weight]["exp_avg"].fill_(7)
    kept = optimizer.state[model.weight]["exp_avg"]
    gradient = model.bias.grad = torch.ones(3)
    prime_optimizer(optimizer)
    assert optimizer.state[model.weight]["exp_avg"] is kept
    assert (kept == 7).all()
    assert set(optimizer.state[model.bias]) == {"step", "exp_avg", "exp_avg_sq"}
    assert model.bias.grad is gradient


def test_gradients_are_taken_back_when_the_state_cannot_be_made():
    model = nn.Linear(3, 3)
    optimizer = torch.optim.Adam(model.parameters())
    optimizer._init_group = lambda group, grads: (_ for _ in ()).throw(RuntimeError("no room"))
    with pytest.raises(RuntimeError, match="no room"):
        prime_optimizer(optimizer)
    assert all(p.grad is None for p in model.parameters())


class Own(torch.optim.AdamW):
    pass


def test_optimizers_that_need_their_first_step():
    model = nn.Linear(3, 3)
    own = Own(model.parameters())
    assert not can_prime(own)
    assert not prime_optimizer(own)
    assert not own.state
    as_step(lambda model, batch: model(batch).sum())(model, own, torch.randn(2, 3))
    assert can_prime(own)


def test_numbers_that_a_scheduler_may_change():
    group = {"params": [], "lr": 1, "betas": (0.9, 0.99), "eps": 1e-8, "momentum": 0, "nesterov": False,
             "mix": (0, 0.9), "empty": (), "maximize": True, "foreach": None}  # fmt: skip
    assert numeric_settings(group) == {"lr": 1, "betas": (0.9, 0.99), "eps": 1e-8}
    assert "lr" not in numeric_settings({"lr": torch.tensor(0.1)})


def test_state_of_one_element_has_the_strides_of_eagers():
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Rprop(model.parameters())
    prime_optimizer(optimizer, list(model.parameters()))
    assert optimizer.state[model.bias]["step_size"].stride() == (1,)
