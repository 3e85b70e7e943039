"""Reading and setting the random state are ops of the graph while a step is traced, and torch's own functions else."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

import roam_lab as roam
from roam_lab.capture import as_step, capture_step
from roam_lab.capture.rng import rng_as_ops
from roam_lab.errors import CaptureError
from roam_lab.runtime.identity import digests


def twice(x):
    state = torch.get_rng_state()
    first = torch.rand(3)
    torch.set_rng_state(state)
    return first - torch.rand(3) + x


def test_traced_as_ops_and_the_same_when_run():
    before = torch.get_rng_state()
    with torch._subclasses.FakeTensorMode() as mode, rng_as_ops():
        module = make_fx(twice)(mode.from_tensor(torch.zeros(3)))
    assert torch.equal(torch.get_rng_state(), before)  # tracing draws nothing
    targets = [str(node.target) for node in module.graph.nodes if node.op == "call_function"]
    assert targets[:4] == [
        "roam_lab.get_rng_state.default",
        "aten.rand.default",
        "roam_lab.set_rng_state.default",
        "aten.rand.default",
    ]
    torch.manual_seed(1)
    assert torch.equal(module(torch.ones(3)), torch.ones(3))
    moved = torch.get_rng_state()
    torch.manual_seed(1)
    twice(torch.ones(3))
    assert torch.equal(torch.get_rng_state(), moved)


def test_torchs_own_functions_come_back():
    functions = torch.get_rng_state, torch.set_rng_state, torch.cuda.get_rng_state, torch.cuda.set_rng_state
    with rng_as_ops():
        assert torch.get_rng_state is not functions[0]
    with pytest.raises(ZeroDivisionError), rng_as_ops():
        1 / 0  # noqa: B018
    assert functions == (
        torch.get_rng_state,
        torch.set_rng_state,
        torch.cuda.get_rng_state,
        torch.cuda.set_rng_state,
    )


def test_ops_are_marked_as_random():
    for name in ("get_rng_state", "set_rng_state", "manual_seed", "get_cuda_rng_state", "set_cuda_rng_state"):
        assert torch.Tag.nondeterministic_seeded in getattr(torch.ops.roam_lab, name).default.tags


def seeded(model, optimizer, batch):
    """Zeroth order, as MeZO: the same noise drawn twice from a seed that counts."""
    model.count += 1
    torch.manual_seed(7 + model.count)
    with torch.no_grad():
        noise = torch.randn(3)
    torch.random.manual_seed(7 + model.count)
    loss = (model(batch + noise) - torch.randn(3)).pow(2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


class Counting(nn.Linear):
    count = 0


@pytest.mark.parametrize("check", ["first", "never"])
def test_a_step_that_seeds_is_planned(check):
    def trained(hooked):
        torch.manual_seed(0)
        model, batch = Counting(3, 3), torch.randn(4, 3)
        model.count = 0
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = lambda batch: seeded(model, optimizer, batch)  # noqa: E731
        if hooked:
            step = roam.hook(
                roam.profile(model, batch, optimizer, step=seeded).plan(), model, optimizer, step=seeded, check=check
            )
        losses = [step(batch).item() for _ in range(4)]
        assert not hooked or step.planned_steps >= 3, step.reasons
        return losses, model.count, torch.rand(2).tolist(), digests(model, optimizer)

    assert trained(hooked=True) == trained(hooked=False)


def unseen(x):
    torch.default_generator.manual_seed(3)
    return x + torch.rand(3)


def own_generator(x):
    return x + torch.rand(3, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (unseen, "the step seeds torch's random generator in a way that no op shows"),
        (
            own_generator,
            r"test_rng\.py:\d+: \w+ \w+ draws from a torch\.Generator(, which .* cannot trace| that it makes itself)",
        ),
    ],
)
def test_seeds_that_no_planned_step_would_set_again(act, message):
    model = nn.Linear(3, 3)
    step = as_step(lambda model, batch: act(model(batch)).pow(2).mean())
    before = torch.get_rng_state()
    with pytest.raises(CaptureError, match=message):
        capture_step(model, torch.optim.SGD(model.parameters()), torch.randn(4, 3), step)
    torch.set_rng_state(before)


@pytest.mark.skipif(torch.__version__ < "2.13", reason="older torch cannot trace an op that is given a generator")
def test_a_generator_that_is_kept_is_no_own_one():
    generator, model = torch.Generator().manual_seed(3), nn.Linear(3, 3)
    step = as_step(lambda model, batch: (model(batch) + torch.rand(3, generator=generator)).pow(2).mean())
    assert capture_step(model, torch.optim.SGD(model.parameters()), torch.randn(4, 3), step).graph.ops


def test_a_state_may_lie_anywhere_in_its_storage():
    state, drawn = torch.get_rng_state(), torch.rand(3)
    place = torch.zeros(3 * state.numel(), dtype=torch.uint8)[704:][: state.numel()].copy_(state)
    torch.ops.roam_lab.set_rng_state(place)
    assert torch.equal(torch.rand(3), drawn)
