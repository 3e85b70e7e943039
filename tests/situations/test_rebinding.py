"""Steps that put another tensor where one was: parameters, buffers, optimizer state, attributes."""

import copy

import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import classifier, data, inputs, mlp, sgd, slow_unless, stepping

CROSS = nn.functional.cross_entropy


def in_place(slow, fast):
    slow.mul_(0.9).add_(fast, alpha=0.1)


def by_data(slow, fast):
    slow.data = slow.data * 0.9 + fast.data * 0.1


def by_data_in_place(slow, fast):
    slow.data.mul_(0.9).add_(fast.data, alpha=0.1)


def by_set(slow, fast):
    slow.data.set_(slow.data * 0.9 + fast.data * 0.1)


def by_copy(slow, fast):
    slow.copy_(slow * 0.9 + fast * 0.1)


def by_lerp(slow, fast):
    slow.lerp_(fast, 0.1)


WAYS = [in_place, by_data, by_data_in_place, by_set, by_copy, by_lerp]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda f: f.__name__)


class Moco(nn.Module):
    def __init__(self, way, pointer):
        super().__init__()
        self.q = nn.Linear(12, 6)
        self.k = copy.deepcopy(self.q).requires_grad_(False)
        self.way, self.pointer = way, pointer
        self.register_buffer("queue", nn.functional.normalize(torch.randn(6, 24), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys):
        rows = keys.shape[0]
        if self.pointer == "int":
            at = int(self.queue_ptr)
            assert self.queue.shape[1] % rows == 0
            self.queue[:, at : at + rows] = keys.T
            at = (at + rows) % self.queue.shape[1]
            self.queue_ptr[0] = at
        elif self.pointer == "item":
            at = self.queue_ptr.item()
            self.queue[:, at : at + rows].copy_(keys.T)
            self.queue_ptr.fill_((at + rows) % self.queue.shape[1])
        elif self.pointer == "rolled":
            self.queue = torch.cat([keys.T, self.queue[:, :-rows]], 1)
        else:
            self.queue.index_copy_(1, (self.queue_ptr + torch.arange(rows)) % self.queue.shape[1], keys.T)
            self.queue_ptr.add_(rows).remainder_(self.queue.shape[1])

    def forward(self, a, b):
        query = nn.functional.normalize(self.q(a), dim=1)
        with torch.no_grad():
            for fast, slow in zip(self.q.parameters(), self.k.parameters(), strict=True):
                self.way(slow, fast)
            key = nn.functional.normalize(self.k(b), dim=1)
        near = torch.einsum("nc,nc->n", query, key).unsqueeze(-1)
        far = torch.einsum("nc,ck->nk", query, self.queue.clone().detach())
        self.enqueue(key)
        return CROSS(torch.cat([near, far], 1) / 0.2, torch.zeros(a.shape[0], dtype=torch.long))


def moco(way, pointer):
    def make():
        model = Moco(way, pointer)
        batches = list(zip(inputs(6), inputs(6, seed=4), strict=True))
        return Situation(model, torch.optim.SGD(model.q.parameters(), lr=0.1, momentum=0.9), batches)

    return make


@every_way
def test_moco_with_a_tensor_pointer(way):
    slow_unless(way in (in_place, by_data, by_set))
    compare(moco(way, "tensor")).must_be(PLANNED if way in (in_place, by_data) else HONEST)


@pytest.mark.parametrize("pointer", ["int", "item"])
@pytest.mark.parametrize("way", [in_place, by_data], ids=lambda f: f.__name__)
def test_moco_as_its_authors_write_it(way, pointer):
    """The queue has three places: three ways that the pointer takes."""
    compare(moco(way, pointer), steps=9, variants=3).must_be(PLANNED)


def test_moco_with_a_queue_rebound():
    compare(moco(in_place, "rolled")).must_be(HONEST)


@every_way
@pytest.mark.parametrize("where", ["step", "closure", "wrapper"])
def test_teacher(way, where):
    """A teacher moved behind the student: in the model, in the closure, or in an object with its own counter."""
    slow_unless(way in (in_place, by_data) or (where == "closure" and way is by_set))

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.student = mlp()
            self.teacher = copy.deepcopy(self.student).requires_grad_(False)

        def forward(self, x):
            return self.student(x)

    class Ema:
        def __init__(self, model):
            self.model, self.updates = copy.deepcopy(model).eval(), 0

        @torch.no_grad()
        def update(self, model):
            self.updates += 1
            for slow, fast in zip(self.model.parameters(), model.parameters(), strict=True):
                way(slow, fast)

    def make():
        model = Pair() if where == "step" else mlp()
        ema = Ema(model) if where == "wrapper" else None
        outside = copy.deepcopy(model).requires_grad_(False)
        teacher = model.teacher if where == "step" else outside

        def step(model, optimizer, batch):
            with torch.no_grad():
                goal = (ema.model if ema else teacher)(batch[0])
            loss = CROSS(model(batch[0]), batch[1]) + 0.1 * (model(batch[0]) - goal).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if ema:
                ema.update(model)
            else:
                with torch.no_grad():
                    student = model.student if where == "step" else model
                    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                        way(slow, fast)
            return loss.detach()

        return classifier(model, step=step, others={"teacher": teacher, "ema": ema})

    compare(make).must_be(PLANNED if way is in_place and where == "step" else HONEST)


def test_teacher_by_state_dict():
    """load_state_dict within the step: copies in place."""

    def make():
        model = mlp()
        teacher = copy.deepcopy(model).requires_grad_(False)

        def after(loss):
            slow = teacher.state_dict()
            teacher.load_state_dict({k: 0.9 * slow[k] + 0.1 * v for k, v in model.state_dict().items()})

        return classifier(model, step=stepping(after), others={"teacher": teacher})

    compare(make).must_be(HONEST)


def test_weights_kept_in_a_dict():
    """timm's and torch-ema's way: shadow tensors in a dict or a list, replaced."""

    def make():
        model = mlp()
        shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

        def after(loss):
            for name, p in model.named_parameters():
                shadow[name] = 0.9 * shadow[name] + 0.1 * p.detach()

        return classifier(model, step=stepping(after), extra=lambda: shadow)

    compare(make).must_be(HONEST)


class Center(nn.Module):
    """DINO's centre, kept as a buffer that is assigned."""

    def __init__(self, way):
        super().__init__()
        self.net, self.way = mlp(), way
        self.register_buffer("center", torch.zeros(1, 4))
        self.plain = torch.zeros(1, 4)

    def forward(self, x):
        h = self.net(x)
        mean = h.detach().mean(0, keepdim=True)
        if self.way == "assign":
            self.center = self.center * 0.9 + mean * 0.1
        elif self.way == "setattr":
            setattr(self, "center", self.center * 0.9 + mean * 0.1)  # noqa: B010 - what users write
        elif self.way == "buffers dict":
            self._buffers["center"] = self.center * 0.9 + mean * 0.1
        elif self.way == "register":
            self.register_buffer("center", self.center * 0.9 + mean * 0.1)
        elif self.way == "data":
            self.center.data = self.center * 0.9 + mean * 0.1
        elif self.way == "set_":
            self.center.set_(self.center * 0.9 + mean * 0.1)
        elif self.way == "attribute":
            self.plain = self.plain * 0.9 + mean * 0.1
        elif self.way == "augmented":
            self.center *= 0.9
            self.center += mean * 0.1
        return h - self.center - self.plain


@pytest.mark.parametrize(
    "way", ["assign", "setattr", "buffers dict", "register", "data", "set_", "attribute", "augmented"]
)
def test_buffers_and_attributes(way):
    compare(lambda: classifier(Center(way))).must_be(PLANNED if way == "augmented" else HONEST)


class Rebinding(torch.optim.Optimizer):
    """Momentum whose state, or whose parameter, is a new tensor in every step."""

    def __init__(self, params, way, lr=0.05):
        super().__init__(params, {"lr": lr})
        self.way = way

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                m = state.get("m", torch.zeros_like(p))
                if self.way == "state":
                    m = state["m"] = 0.9 * m + p.grad
                    p.sub_(m, alpha=group["lr"])
                elif self.way == "whole state":
                    self.state[p] = {"m": 0.9 * m + p.grad}
                    p.sub_(self.state[p]["m"], alpha=group["lr"])
                elif self.way == "swapped":
                    state["m"], state["old"] = 0.9 * m + p.grad, m
                    p.sub_(state["m"] - 0.1 * state["old"], alpha=group["lr"])
                elif self.way == "param data":
                    state["m"] = m.mul_(0.9).add_(p.grad)
                    p.data = p.data - group["lr"] * m
                elif self.way == "param set_":
                    state["m"] = m.mul_(0.9).add_(p.grad)
                    p.set_(p - group["lr"] * m)
                elif self.way == "state in a list":
                    state.setdefault("last", []).append(p.grad.clone())
                    state["last"] = state["last"][-2:]
                    p.sub_(sum(state["last"]), alpha=group["lr"])


@pytest.mark.parametrize("way", ["state", "whole state", "swapped", "param data", "param set_", "state in a list"])
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "after a step"])
def test_optimizers_that_rebind(way, warm):
    slow_unless(not warm or way == "state")

    def make():
        model = mlp()
        made = classifier(model, Rebinding(model.parameters(), way))
        if warm:
            made.eager(made.batch(5))
        return made

    compare(make).must_be(HONEST)


class Sam(torch.optim.Optimizer):
    """Climbs by rho along the gradient, takes the gradient there, steps from the old place."""

    def __init__(self, params, base, back, rho=0.05, **given):
        super().__init__(params, {"rho": rho, **given})
        self.base, self.back = base(self.param_groups, **given), back
        self.param_groups = self.base.param_groups

    def all(self):
        return [p for group in self.param_groups for p in group["params"] if p.grad is not None]

    @torch.no_grad()
    def first_step(self):
        norm = torch.stack([p.grad.norm() for p in self.all()]).norm()
        for p in self.all():
            climb = p.grad * (self.param_groups[0]["rho"] / (norm + 1e-12))
            self.state[p]["old"] = climb if self.back == "sub" else p.data.clone()
            p.add_(climb)
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for p in self.all():
            if self.back == "data":
                p.data = self.state[p]["old"]
            elif self.back == "copy":
                p.copy_(self.state[p]["old"])
            else:
                p.sub_(self.state[p]["old"])
        self.base.step()
        self.zero_grad()

    def step(self, closure=None):
        with torch.enable_grad():
            closure()
        self.first_step()
        with torch.enable_grad():
            closure()
        self.second_step()


@pytest.mark.parametrize("back", ["data", "copy", "sub"])
@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "after a step"])
@pytest.mark.parametrize("base", [torch.optim.SGD, torch.optim.AdamW], ids=lambda k: k.__name__)
def test_sharpness_aware(back, warm, base):
    slow_unless(base is torch.optim.SGD and (warm or back == "data"))

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        optimizer.first_step()
        CROSS(model(batch[0]), batch[1]).backward()
        optimizer.second_step()
        return loss.detach()

    def make():
        model = mlp()
        given = {"momentum": 0.9} if base is torch.optim.SGD else {}
        optimizer = Sam(model.parameters(), base, back, lr=0.05, **given)
        made = classifier(model, optimizer, step=step, others={"base": optimizer.base})
        if warm:
            made.eager(made.batch(5))
        return made

    compare(make).must_be(HONEST)


def test_sharpness_aware_by_closure():
    def step(model, optimizer, batch):
        def closure():
            loss = CROSS(model(batch[0]), batch[1])
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        return closure_free(model, batch)

    def closure_free(model, batch):
        with torch.no_grad():
            return CROSS(model(batch[0]), batch[1])

    def make():
        model = mlp()
        optimizer = Sam(model.parameters(), torch.optim.SGD, "data", lr=0.05, momentum=0.9)
        return classifier(model, optimizer, step=step, others={"base": optimizer.base})

    compare(make).must_be(HONEST)


def test_adversarial_weights_or_embeddings():
    """FGM: the embedding is moved along its gradient, and put back from a backup of `.data`."""

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        loss.backward()
        weight = model[0].weight
        backup = weight.data.clone()
        weight.data.add_(0.5 * weight.grad / weight.grad.norm())
        CROSS(model(batch[0]), batch[1]).backward()
        weight.data = backup
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    compare(lambda: classifier(step=step)).must_be(HONEST)


STATEFUL = ["closure dict", "module attribute", "trainer attribute", "module list"]


@pytest.mark.parametrize("where", STATEFUL)
def test_hidden_state_from_step_to_step(where):
    """Truncated backpropagation through time: the hidden state of one step starts the next."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(12, 8, batch_first=True), nn.Linear(8, 4)
            self.hidden, self.kept = None, []

    class Trainer:
        def __init__(self):
            self.hidden = torch.zeros(1, 4, 8)
            self.kept = {"h": torch.zeros(1, 4, 8)}

        def __call__(self, model, optimizer, x):
            if where == "closure dict":
                start = self.kept["h"]
            elif where == "trainer attribute":
                start = self.hidden
            elif where == "module list":
                start = model.kept[-1] if model.kept else None
            else:
                start = model.hidden
            out, hidden = model.rnn(x, start)
            if where == "closure dict":
                self.kept["h"] = hidden.detach()
            elif where == "trainer attribute":
                self.hidden = hidden.detach()
            elif where == "module list":
                model.kept.append(hidden.detach())
            else:
                model.hidden = hidden.detach()
            loss = model.head(out).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

    def make():
        model = Net()
        return Situation(model, sgd(model), inputs(6, (4, 5, 12)), step=Trainer())

    compare(make).must_be(HONEST)


@pytest.mark.parametrize("kept", ["activation", "auxiliary loss", "hook dict", "last gradient", "attention list"])
def test_tensors_left_for_the_user(kept):
    """What forward or a hook leaves in an attribute is that of the last step, not of the captured one."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.aux, self.seen = mlp(), 0.0, []

        def forward(self, x):
            h = self.net[0](x)
            if kept == "activation":
                self.last = h.detach()
            elif kept == "auxiliary loss":
                self.aux = h.square().mean()
            elif kept == "attention list":
                self.seen = [h.detach().softmax(-1)]
            return self.net[2](self.net[1](h))

    def make():
        model, features = Net(), {}
        if kept == "hook dict":
            model.net[0].register_forward_hook(lambda m, i, out: features.__setitem__("h", out.detach()))
        if kept == "last gradient":
            model.net[0].register_full_backward_hook(lambda m, i, out: features.__setitem__("g", out[0].norm()))

        def loss(model, batch):
            return CROSS(model(batch[0]), batch[1]) + 0.1 * model.aux

        return classifier(model, loss=loss, extra=lambda: dict(features))

    compare(make).must_be(HONEST)


def hooked_weight_norm():
    model = mlp()
    nn.utils.weight_norm(model[0])
    return model


def hooked_spectral_norm():
    model = mlp()
    nn.utils.spectral_norm(model[0])
    return model


def parametrized(kind):
    def build():
        model = mlp()
        getattr(nn.utils.parametrizations, kind)(model[0])
        return model

    return build


def pruned():
    model = mlp()
    nn.utils.prune.random_unstructured(model[0], "weight", 0.3)
    return model


WRAPPED = {
    "weight_norm by hook": hooked_weight_norm,
    "spectral_norm by hook": hooked_spectral_norm,
    "weight_norm": parametrized("weight_norm"),
    "spectral_norm": parametrized("spectral_norm"),
    "orthogonal": parametrized("orthogonal"),
    "pruned": pruned,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_made_before_forward(kind):
    slow_unless(kind in ("weight_norm by hook", "spectral_norm by hook", "spectral_norm"))
    compare(lambda: classifier(WRAPPED[kind]())).must_be(HONEST)


def test_two_weights_exchanged():
    """Parameters of two modules change places within the step."""

    def make():
        model = nn.ModuleList([nn.Linear(12, 4), nn.Linear(12, 4)])

        def step(model, optimizer, batch):
            loss = CROSS(model[0](batch[0]) + 0.1 * model[1](batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            model[0].weight.data, model[1].weight.data = model[1].weight.data, model[0].weight.data
            return loss.detach()

        return Situation(model, sgd(model), data(), step=step)

    compare(make).must_be(HONEST)


def test_gradients_assigned():
    """`p.grad = ...` by torch.autograd.grad, and clipped by assignment."""

    def step(model, optimizer, batch):
        loss = CROSS(model(batch[0]), batch[1])
        params = list(model.parameters())
        for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
            p.grad = g / (1 + g.norm())
        optimizer.step()
        for p in params:
            p.grad = None
        return loss.detach()

    compare(lambda: classifier(step=step)).must_be(PLANNED)


def test_parameters_without_an_optimizer():
    """`p.data -= lr * p.grad`, and a parameter of the closure updated by hand."""

    def make():
        weight = torch.ones(4, requires_grad=True)

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]) * weight, batch[1])
            loss.backward()
            optimizer.step()
            weight.data = weight.data - 0.1 * weight.grad
            weight.grad = None
            optimizer.zero_grad()
            return loss.detach()

        return classifier(step=step, others={"weight": weight})

    compare(make).must_be(HONEST)
