"""Teachers and averages that follow the model: in place, by assignment, MoCo as its authors write it."""

import copy

import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import classifier, inputs, mlp, slow_unless, stepping

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
