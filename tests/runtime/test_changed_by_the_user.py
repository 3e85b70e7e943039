"""What a user changes between planned steps, one kind after the other: noticed, or no matter; never another result."""

import contextvars
import copy
import ctypes
import enum
import pickle
import threading
import types
import weakref
from dataclasses import dataclass

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional

import roam_lab as roam
from roam_lab.errors import CaptureError, MismatchError
from tests.steps import weighted_step
from tests.twins import sampled

STEPS, CHANGED = 6, 3


def runs(make, check="first", on_mismatch="eager"):
    """Losses and parameters of eager and of hooked training, and the hooked step; `make` gives model, optimizer, step,
    and what the user does before the step of a number."""
    found = []
    for hooked in (False, True):
        torch.manual_seed(0)
        model, optimizer, step, change = make()
        batch, losses = torch.randn(4, 3), []
        if hooked:
            plan = roam.profile(model, batch, optimizer, step=step).plan()
            run = roam.hook(plan, model, optimizer, step=step, check=check, on_mismatch=on_mismatch)
        torch.manual_seed(1)
        for index in range(STEPS):
            change(index)
            try:
                losses.append(float(run(batch) if hooked else step(model, optimizer, batch)))
            except (ValueError, IndexError, RuntimeError) as error:
                losses.append(type(error).__name__)
        found.append((losses, [p.tolist() for p in model.parameters()]))
    return *found, run


def with_weight(read, write):
    """A step whose loss is weighted with what `read()` gives; the user writes another in the middle."""

    def make():
        write(1.0)
        model = nn.Linear(3, 2)

        def step(model, optimizer, batch):
            return weighted_step(model, optimizer, batch, read())

        return model, torch.optim.SGD(model.parameters(), 0.1), step, lambda i: write(1.0 + (i >= CHANGED))

    return make


class Box:
    weight = 1.0


class Shade(enum.Enum):
    DARK = 1


class Registry(type):
    weight = 1.0


class Registered(metaclass=Registry):
    pass


def scaled(value, factor=1.0):
    return value * factor


def doubled(value, factor=1.0):
    return value * 2 * factor


BOX, LOCAL, CONTEXT = Box(), threading.local(), contextvars.ContextVar("weight")
VALUE, MODULE, MAPPED, ARRAY = ctypes.c_double(1.0), types.ModuleType("settings"), {"weight": 1.0}, numpy.ones(3)
PROXY, REFERENCE, VIEW, NAMED = weakref.proxy(BOX), weakref.ref(BOX), types.MappingProxyType(MAPPED), 1.0
SCALED, DOUBLED = scaled.__code__, doubled.__code__
LARGE = numpy.ones(40_000)


def set_name(value):
    globals()["NAMED"] = value


def set_code(value):
    scaled.__code__ = SCALED if value == 1.0 else DOUBLED


def set_default(value):
    scaled.__defaults__ = (value,)


def fill(array):
    return lambda value: array.fill(value)


KEPT = {
    "thread": (lambda: LOCAL.weight, lambda value: setattr(LOCAL, "weight", value)),
    "context": (lambda: CONTEXT.get(), CONTEXT.set),
    "weak proxy": (lambda: PROXY.weight, lambda value: setattr(BOX, "weight", value)),
    "weak reference": (lambda: REFERENCE().weight, lambda value: setattr(BOX, "weight", value)),
    "C value": (lambda: VALUE.value, lambda value: setattr(VALUE, "value", value)),
    "module": (lambda: MODULE.weight, lambda value: setattr(MODULE, "weight", value)),
    "read-only view": (lambda: VIEW["weight"], lambda value: MAPPED.__setitem__("weight", value)),
    "member of an enum": (lambda: Shade.DARK.weight, lambda value: setattr(Shade.DARK, "weight", value)),
    "metaclass": (lambda: Registered.weight, lambda value: setattr(Registry, "weight", value)),
    "name by text": (lambda: globals()["NAMED"], set_name),
    "code": (lambda: scaled(1.0), set_code),
    "default": (lambda: scaled(1.0), set_default),
    "array": (lambda: float(ARRAY[1]), fill(ARRAY)),
    "large array": (lambda: float(LARGE[1]), fill(LARGE)),
}


@pytest.mark.parametrize("kept", sampled(KEPT.values(), 7), ids=KEPT.keys())
@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_a_weight_wherever_it_is_kept(kept):
    eager, planned, run = runs(with_weight(*kept))
    assert planned == eager
    assert run.planned_steps >= CHANGED


def patching(home, name, instead):
    """A step that uses a function or method of torch, which the user replaces in the middle."""
    original = getattr(home, name)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return functional.gelu(self.layer(x))

    def make():
        setattr(home, name, original)
        model = Net()
        changed = lambda index: setattr(home, name, instead if index >= CHANGED else original)  # noqa: E731
        return model, torch.optim.SGD(model.parameters(), 0.1), weighted_step, changed

    return make, lambda: setattr(home, name, original)


@torch.no_grad()
def step_by_sign(optimizer):
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.sub_(parameter.grad.sign(), alpha=group["lr"])


@pytest.mark.parametrize(
    ("home", "name", "instead"),
    [
        (functional, "gelu", functional.relu),
        (nn.Linear, "forward", lambda layer, x: 2 * functional.linear(x, layer.weight, layer.bias)),
        (torch.optim.SGD, "step", step_by_sign),
    ],
)
@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_a_function_of_torch_that_is_replaced(home, name, instead):
    make, put_back = patching(home, name, instead)
    try:
        eager, planned, run = runs(make)
    finally:
        put_back()
    assert planned == eager
    assert (run.planned_steps, len(run.reasons)) == (CHANGED, 1)


class Own(torch.optim.Optimizer):
    """Reads what it finds in its groups and its state."""

    def __init__(self, parameters, **settings):
        super().__init__(parameters, {"lr": 0.1, **settings})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                factor = group["clip"]["most"] * group["factors"][0] * group["of"](1.0)
                change = parameter.grad.clamp(-factor, factor) * self.state[parameter].get("factor", 1.0)
                parameter.sub_(change * float(group["lr"]))


def change_state(optimizer):
    for entries in optimizer.state.values():
        entries["factor"] = 0.5


SETTINGS = {
    "a number of NumPy": lambda optimizer: optimizer.param_groups[0].update(lr=numpy.float32(0.3)),
    "an array": lambda optimizer: optimizer.param_groups[0].update(lr=numpy.array(0.3)),
    "an entry of a dict": lambda optimizer: optimizer.param_groups[0]["clip"].update(most=0.01),
    "a dict": lambda optimizer: optimizer.param_groups[0].update(clip={"most": 0.01}),
    "a list": lambda optimizer: optimizer.param_groups[0].update(factors=[0.02]),
    "a function": lambda optimizer: optimizer.param_groups[0].update(of=lambda x: 0.03 * x),
    "a number of the state": change_state,
}


@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("check", [pytest.param("first", marks=pytest.mark.slow), "never"])
@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_settings_and_state_of_any_kind(change, check):
    def make():
        model = nn.Linear(3, 2)
        optimizer = Own(model.parameters(), clip={"most": 0.1}, factors=[0.9], of=abs)
        for parameter in model.parameters():
            optimizer.state[parameter]["factor"] = 1.5
        return model, optimizer, weighted_step, lambda index: index == CHANGED and change(optimizer)

    eager, planned, run = runs(make, check)
    assert planned == eager
    assert run.planned_steps >= CHANGED


MOVES = {
    "data": lambda tensor: setattr(tensor, "data", tensor.data * 0.5),
    "set_": lambda tensor: tensor.set_(tensor * 0.5),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
def test_a_tensor_outside_that_is_given_other_memory(move, check):
    """An average of the weights as its authors write it, between the steps."""

    def make():
        model, outside = nn.Linear(3, 2), torch.randn(3)

        def step(model, optimizer, batch):
            return weighted_step(model, optimizer, batch, (batch * outside).mean() + 2)

        return model, torch.optim.SGD(model.parameters(), 0.1), step, lambda index: move(outside)

    eager, planned, run = runs(make, check)
    assert planned == eager
    assert run.planned_steps == STEPS


@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
def test_weights_that_are_made_to_share_their_memory(check):
    def make():
        model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False))

        def tie(index):
            if index == CHANGED:
                model[2].weight.data = model[0].weight.data

        return model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), weighted_step, tie

    eager, planned, _ = runs(make, check)
    assert planned == eager


@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
def test_schedulers_stepped_last_in_the_step(check):
    kinds = torch.optim.lr_scheduler

    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        schedulers = [kinds.LinearLR(optimizer, 0.1, total_iters=3), kinds.CosineAnnealingLR(optimizer, 5)]
        scheduler = kinds.SequentialLR(optimizer, schedulers, [3])

        def step(model, optimizer, batch):
            loss = weighted_step(model, optimizer, batch)
            scheduler.step()
            return loss

        return model, optimizer, step, lambda index: None

    eager, planned, run = runs(make, check)
    assert planned == eager
    assert run.planned_steps == STEPS


@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
def test_a_step_that_weighs_by_its_schedulers_rate(check):
    def make():
        model = nn.Linear(3, 2)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0 if epoch < 3 else 0.5)

        def step(model, optimizer, batch):
            loss = weighted_step(model, optimizer, batch, 1.0 + scheduler.get_last_lr()[0] + scheduler.last_epoch)
            scheduler.step()
            return loss

        return model, optimizer, step, lambda index: None

    eager, planned, _ = runs(make, check)
    assert planned == eager


@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
def test_an_error_of_the_users_own_leaves_what_eager_leaves(check):
    def make():
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        model.count, model.limit = 0, 1e6

        def step(model, optimizer, batch):
            model.count += 1
            loss = model(batch).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            if loss > model.limit:
                raise ValueError("diverged")
            optimizer.step()
            return loss.detach() + model.count

        def change(index):
            model.limit = -1.0 if index == 2 else 1e6

        return model, torch.optim.SGD(model.parameters(), 0.1), step, change

    eager, planned, _ = runs(make, check)
    assert planned == eager
    assert eager[0][2] == "ValueError"


@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
def test_an_op_that_does_not_take_the_data_raises_what_eager_raises(check):
    def make():
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 3))
        targets = torch.zeros(4, dtype=torch.long)

        def step(model, optimizer, batch):
            loss = functional.cross_entropy(model(batch), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return model, torch.optim.SGD(model.parameters(), 0.1), step, lambda index: targets.fill_(7 * (index == 2))

    eager, planned, run = runs(make, check)
    assert planned == eager
    assert eager[0][2] == "IndexError"
    assert run.planned_steps == STEPS - 1


@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
@pytest.mark.parametrize("caught", [False, True])
def test_a_matrix_that_cannot_be_taken_apart(check, caught):
    """The op that checks it returns nothing, and is there to raise."""

    def make():
        model, ridge = nn.Linear(3, 3), torch.ones(())

        def step(model, optimizer, batch):
            product = model(batch).mT @ model(batch) * 0 + torch.eye(3) * ridge
            try:
                root = torch.linalg.cholesky(product)
            except RuntimeError:
                if not caught:
                    raise
                root = torch.linalg.cholesky(product + 2 * torch.eye(3))
            return weighted_step(model, optimizer, batch, root.diagonal().sum().detach())

        change = lambda index: ridge.fill_(-1.0 if index == 2 else 1.0)  # noqa: E731
        return model, torch.optim.SGD(model.parameters(), 0.1), step, change

    eager, planned, run = runs(make, check)
    assert planned == eager
    assert isinstance(eager[0][2], str) is not caught
    assert run.planned_steps >= STEPS - 2


@pytest.mark.parametrize("check", sampled(["never", "first"], 1))
@pytest.mark.parametrize("kind", ["read", "written", "buffer"])
def test_a_place_that_moves_through_a_tensor(check, kind):
    """A ring of rows and the number of the next one, kept in Python."""

    def make():
        model, rows = nn.Linear(3, 2), torch.randn(12, 3)
        model.register_buffer("rows", torch.randn(12, 3))
        place = {"next": 0}

        def step(model, optimizer, batch):
            ring, at = model.rows if kind == "buffer" else rows, place["next"]
            if kind == "written":
                ring[at : at + 4] = batch
            place["next"] = (at + 4) % 12
            return weighted_step(model, optimizer, batch, ring[at : at + 4].mean() + ring.abs().mean() + 1)

        return model, torch.optim.SGD(model.parameters(), 0.1), step, lambda index: None

    eager, planned, run = runs(make, check)
    assert planned == eager
    assert run.planned_steps == STEPS


def test_an_array_that_is_a_parameters_memory_is_refused():
    model = nn.Linear(3, 2)
    view, optimizer = model.weight.detach().numpy(), torch.optim.SGD(model.parameters(), 0.1)

    def step(model, optimizer, batch):
        return weighted_step(model, optimizer, batch, 1.0 + float(numpy.abs(view).mean()))

    plan = roam.profile(model, torch.randn(4, 3), optimizer, step=step).plan()
    run = roam.hook(plan, model, optimizer, step=step)
    with pytest.raises(CaptureError, match="the array view, which shares its memory with a tensor"):
        run(torch.randn(4, 3))


def test_an_ema_outside_the_model_that_is_given_its_data_in_the_step():
    def make():
        model = nn.Linear(3, 2)
        average = copy.deepcopy(model).requires_grad_(False)

        def step(model, optimizer, batch):
            loss = weighted_step(model, optimizer, batch, average(batch).pow(2).mean() + 1)
            for mean, parameter in zip(average.parameters(), model.parameters(), strict=True):
                mean.data = mean.data * 0.9 + parameter.data * 0.1
            return loss

        return model, torch.optim.SGD(model.parameters(), 0.1), step, lambda index: None

    eager, planned, run = runs(make)
    assert planned == eager
    assert run.planned_steps == STEPS


def test_a_batch_that_begins_to_need_a_gradient():
    model, batch = nn.Linear(3, 2), torch.randn(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = roam.hook(
        roam.profile(model, batch, optimizer, step=weighted_step).plan(), model, optimizer, step=weighted_step
    )
    run(batch)
    with pytest.warns(roam.RoamWarning, match="with gradient"):
        run(batch.requires_grad_())
    assert batch.grad is not None
    with pytest.raises(CaptureError, match="has a gradient from before"):
        roam.profile(model, batch, optimizer, step=weighted_step)
    batch.grad = None
    with pytest.raises(CaptureError, match="leaves a gradient on a tensor of its batch"):
        roam.profile(model, batch, optimizer, step=weighted_step)


class Batch(dict):
    pass


@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_what_a_batch_of_ones_own_class_holds_beside_its_entries():
    torch.manual_seed(0)
    model, batch = nn.Linear(3, 2), Batch(x=torch.randn(4, 3))
    optimizer, batch.weight = torch.optim.SGD(model.parameters(), 0.0), 1.0

    def step(model, optimizer, batch):
        return weighted_step(model, optimizer, batch["x"], batch.weight)

    run = roam.hook(roam.profile(model, batch, optimizer, step=step).plan(), model, optimizer, step=step)
    first = run(batch)
    batch.weight = 2.0
    assert run(batch) == 2 * first
    batch.weight = torch.ones(())
    with pytest.raises(CaptureError, match=r"holds a tensor in its attribute \.weight"):
        roam.profile(model, batch, optimizer, step=step)


@dataclass(frozen=True)
class Fields:
    """A batch as many collate functions make it."""

    x: torch.Tensor
    weight: torch.Tensor
    name: str = ""


@dataclass
class OpenFields:
    x: torch.Tensor
    weight: torch.Tensor
    name: str = ""


@pytest.mark.parametrize("kind", [Fields, OpenFields])
def test_a_dataclass_is_a_batch(kind):
    def step(model, optimizer, batch):
        assert type(batch) is kind
        return weighted_step(model, optimizer, batch.x, batch.weight)

    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    eager, batches = copy.deepcopy(model), [kind(torch.randn(4, 3), torch.rand(()), f"n{n}") for n in range(3)]
    optimizers = [torch.optim.SGD(one.parameters(), 0.1) for one in (model, eager)]
    run = roam.hook(model, optimizers[0], step=step, cache=False, on_mismatch="error")
    for batch in batches:
        assert torch.equal(run(batch), step(eager, optimizers[1], batch))
    assert torch.equal(model.weight, eager.weight)
    assert run.planned_steps == 3
    object.__setattr__(batches[0], "more", torch.ones(()))
    with pytest.raises(CaptureError, match=r"holds a tensor in its attribute \.more"):
        roam.profile(model, batches[0], optimizers[0], step=step)
    with pytest.raises(CaptureError, match="whose contents would be frozen"):  # its class is not opened further in
        roam.profile(model, [batches[1]], optimizers[0], step=lambda m, o, b: step(m, o, b[0]))


@pytest.mark.parametrize("kind", ["conj", "sparse", "nested", "quantized"])
def test_batches_that_only_look_alike(kind):
    model, plain = nn.Linear(3, 2), torch.randn(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    odd = {
        "conj": lambda: torch.complex(plain, plain).conj().imag,  # with the bit for a negative
        "sparse": plain.to_sparse,
        "nested": lambda: torch.nested.nested_tensor([plain[:2], plain[2:]], layout=torch.jagged),
        "quantized": lambda: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
    }[kind]()
    step = lambda model, optimizer, batch: weighted_step(  # noqa: E731
        model, optimizer, batch.dequantize() if batch.is_quantized else batch.to_dense() if batch.is_sparse else batch
    )
    run = roam.hook(roam.profile(model, plain, optimizer, step=step).plan(), model, optimizer, step=step)
    run(plain)
    if kind == "conj":
        eager = copy.deepcopy(model)
        expected = weighted_step(eager, torch.optim.SGD(eager.parameters(), 0.1), odd)
        with pytest.warns(roam.RoamWarning):
            assert run(odd) == expected
        return
    with pytest.raises(CaptureError, match=f"the batch holds a {kind} tensor"):
        roam.profile(model, odd, optimizer, step=step)


def test_a_copied_hook_trains_the_copied_model():
    model, batch = nn.Linear(3, 2), torch.randn(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = roam.hook(
        roam.profile(model, batch, optimizer, step=weighted_step).plan(), model, optimizer, step=weighted_step, check=3
    )
    run(batch)
    twin = copy.deepcopy(run)
    before = [p.tolist() for p in model.parameters()]
    assert twin(batch) is not None
    assert (twin.planned_steps, [p.tolist() for p in model.parameters()]) == (1, before)
    again = pickle.loads(pickle.dumps(run))
    assert float(again(batch)) == float(run(batch))
    for name in ("model", "optimizer"):
        with pytest.raises(AttributeError):
            setattr(run, name, None)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_anomaly_detection_is_refused_by_name():
    model, batch = nn.Linear(3, 2), torch.randn(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    plan = roam.profile(model, batch, optimizer, step=weighted_step).plan()
    run = roam.hook(plan, model, optimizer, step=weighted_step, on_mismatch="error")
    run(batch)
    with torch.autograd.detect_anomaly():
        with pytest.raises(CaptureError, match="anomaly detection is on"):
            roam.profile(model, batch, optimizer, step=weighted_step)
        with pytest.raises(MismatchError, match="set_detect_anomaly was False and is True now"):
            run(batch)


@pytest.mark.parametrize("norm", [lambda: nn.LayerNorm(4), lambda: nn.BatchNorm1d(4), lambda: nn.GroupNorm(2, 4)])
def test_norms_under_autocast(norm):
    """Their kernels give 32-bit statistics of 16-bit inputs, their fakes 16-bit ones."""

    def make():
        model = nn.Sequential(nn.Linear(3, 4), norm(), nn.Linear(4, 2))

        def step(model, optimizer, batch):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(batch).float().pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return model, torch.optim.SGD(model.parameters(), 0.1), step, lambda index: None

    eager, planned, run = runs(make)
    assert planned == eager
    assert run.planned_steps == STEPS
    model, optimizer, step, _ = make()
    graphs = [roam.profile(model, torch.randn(4, 3), optimizer, step=step, fake=fake).plan() for fake in (False, True)]
    assert graphs[0].graph_sha256 == graphs[1].graph_sha256
