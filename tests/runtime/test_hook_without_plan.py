"""`roam.hook(model, optimizer)`: the first call plans the step, for a budget if one is given."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import roam_lab as roam
from roam_lab.capture import as_step
from roam_lab.plan import cache as plan_cache
from roam_lab.runtime import plans
from roam_lab.runtime.self_check import SelfCheck


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path))
    return tmp_path


def mean_square(model, batch):
    return model(batch).square().mean()


def pair():
    torch.manual_seed(0)
    blocks = [layer for _ in range(4) for layer in (nn.Linear(32, 128), nn.GELU(), nn.Linear(128, 32), nn.Dropout(0.1))]
    model = nn.Sequential(*blocks)
    twin = copy.deepcopy(model)
    return model, torch.optim.AdamW(model.parameters()), twin, torch.optim.AdamW(twin.parameters())


def same(hooked, model, twin, other, batches):
    """Train both on these batches; whether every bit agrees."""
    step, equal = as_step(mean_square), []
    for batch in batches:
        random = torch.get_rng_state()
        loss = hooked(batch)
        torch.set_rng_state(random)
        equal.append(torch.equal(loss, step(twin, other, batch)))
    return all(equal) and all(map(torch.equal, model.parameters(), twin.parameters()))


def test_every_shape_is_planned():
    model, optimizer, twin, other = pair()
    hooked = roam.hook(model, optimizer, loss=mean_square)
    assert hooked.plan is None
    assert same(hooked, model, twin, other, [torch.randn(size, 32) for size in (64, 64, 40, 64, 40)])
    assert (hooked.planned_steps, hooked.reasons, hooked.notes) == (5, {}, [])
    assert hooked.plan.peak_bytes < hooked.plan.captured_peak_bytes
    assert hooked.plan.environment["model"]


def test_an_extra_time_is_used():
    model, optimizer, twin, other = pair()
    free = roam.hook(*pair()[:2], loss=mean_square)
    free.prepare(torch.randn(64, 32))
    hooked = roam.hook(model, optimizer, loss=mean_square, extra_time=0.3)
    assert same(hooked, model, twin, other, [torch.randn(64, 32) for _ in range(3)])
    assert hooked.planned_steps == 3
    assert hooked.plan.arena_bytes < free.plan.arena_bytes
    assert 0 < hooked.plan.extra_time <= 0.3


def test_a_budget_is_met_and_one_that_is_too_small_is_refused():
    model, optimizer, twin, other = pair()
    batch = torch.randn(64, 32)
    resident = 3 * sum(p.nbytes for p in model.parameters()) + batch.nbytes
    free = roam.hook(*pair()[:2], loss=mean_square)
    free.prepare(batch)
    budget = resident + int(0.8 * free.plan.arena_bytes)
    hooked = roam.hook(model, optimizer, loss=mean_square, budget=f"{budget / 2**20}MiB")
    assert same(hooked, model, twin, other, [batch, batch])
    assert hooked.planned_steps == 2
    assert hooked.plan.arena_bytes <= budget - resident
    before = [p.detach().clone() for p in model.parameters()]
    none = roam.hook(model, optimizer, loss=mean_square, budget=resident)
    with pytest.raises(roam.InfeasibleError, match="least"):
        none(batch)
    assert all(map(torch.equal, before, model.parameters()))


def test_the_next_start_does_not_plan(monkeypatch):
    batch = torch.randn(64, 32)
    first = roam.hook(*pair()[:2], loss=mean_square, extra_time=0.3)
    first.prepare(batch)

    def never(*_, **__):
        raise AssertionError("planned again")

    monkeypatch.setattr(plans, "plan_apart", never)
    model, optimizer, twin, other = pair()
    hooked = roam.hook(model, optimizer, loss=mean_square, extra_time=0.3)
    assert same(hooked, model, twin, other, [batch, batch])
    assert (hooked.planned_steps, hooked.notes) == (2, [])
    assert hooked.plan == first.plan
    without = roam.hook(*pair()[:2], loss=mean_square, extra_time=0.3, cache=False)
    with pytest.raises(AssertionError, match="planned again"):
        without(batch)


def test_what_is_wrong_with_the_cache_is_noted(folder):
    batch = torch.randn(64, 32)
    roam.hook(*pair()[:2], loss=mean_square).prepare(batch)
    [entry] = folder.iterdir()
    entry.write_text("{}")
    hooked = roam.hook(*pair()[:2], loss=mean_square)
    hooked(batch)
    assert hooked.planned_steps == 1
    assert hooked.notes[0].startswith("a plan in the cache is not used: ")


class Settings:
    """What a script's step reaches beside its model."""

    def __init__(self):
        self.folder = Path("runs") / "one"
        self.name = None


@pytest.mark.parametrize("asks", [False, True])
def test_a_step_that_reaches_a_path(asks):
    """A path notes its own text when it is first asked for it, by the step or by us."""
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    twin = copy.deepcopy(model)
    optimizer, other = (torch.optim.SGD(one.parameters(), 0.1) for one in (model, twin))
    settings, twins = Settings(), Settings()

    def stepping(settings):
        def step(model, optimizer, batch):
            loss = model(batch).square().mean() * (len(str(settings.folder)) if asks else 1.0)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach(), settings.name

        return step

    hooked, eager = roam.hook(model, optimizer, step=stepping(settings)), stepping(twins)
    for folder in (None, None, Path("runs") / "another", None):
        if folder is not None:
            settings.folder, twins.folder = folder, Path("runs") / "another"
        batch = torch.randn(8, 8)
        assert torch.equal(hooked(batch)[0], eager(twin, other, batch)[0])
        assert torch.equal(model.weight, twin.weight)
    assert hooked.planned_steps == 4, hooked.reasons


def test_the_cache_may_be_any_folder(tmp_path):
    hooked = roam.hook(*pair()[:2], loss=mean_square, cache=tmp_path / "mine")
    hooked.prepare(torch.randn(64, 32))
    assert [one.name.endswith(".roam.json") for one in (tmp_path / "mine").iterdir()] == [True]
    assert plan_cache.default_folder() != tmp_path / "mine"


def test_what_is_given_wrongly_is_said():
    model, optimizer, *_ = pair()
    plan = roam.profile(model, torch.randn(8, 32), optimizer, loss=mean_square).plan()
    with pytest.raises(roam.InputError, match="a plan was given, which has its own budget"):
        roam.hook(plan, model, optimizer, loss=mean_square, budget=1 << 30)
    with pytest.raises(roam.ParameterError, match="'1 gigabyte' is not a size; give bytes, or such as 512MiB"):
        roam.hook(model, optimizer, loss=mean_square, budget="1 gigabyte")
    with pytest.raises(roam.ParameterError, match="extra_time is -1"):
        roam.hook(model, optimizer, loss=mean_square, extra_time=-1)
    with pytest.raises(roam.CaptureError, match="given as optimizer"):
        roam.hook(model, mean_square)
    with pytest.raises(roam.InputError, match="a plan, a model and an optimizer; or a model and an optimizer"):
        roam.hook(model, optimizer, mean_square)


@pytest.mark.filterwarnings("ignore::roam_lab.RoamWarning")
def test_sparse_gradients_run_eagerly_with_a_reason():
    def step(model, optimizer, batch):
        loss = model(batch).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    torch.manual_seed(0)
    model = nn.EmbeddingBag(9, 4, sparse=True, mode="sum")
    eager = copy.deepcopy(model)
    optimizers = [torch.optim.SparseAdam(list(one.parameters())) for one in (model, eager)]
    run = roam.hook(model, optimizers[0], step=step, cache=False)
    for number in range(3):
        batch = torch.randint(0, 9, (5, 3), generator=torch.Generator().manual_seed(number))
        assert torch.equal(run(batch), step(eager, optimizers[1], batch))
    assert torch.equal(model.weight, eager.weight)
    assert run.eager_steps == 3
    assert any("sparse" in reason for reason in run.reasons)


@pytest.fixture
def one_process():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_a_model_of_distributed_tensors_trains_eagerly_and_the_way_round_is_told(one_process):
    """Its digests cannot be taken, so that no eager step is run before it is refused."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_module, distribute_tensor

    def shard(_name, module, mesh):
        for key, parameter in list(module.named_parameters(recurse=False)):
            module.register_parameter(key, nn.Parameter(distribute_tensor(parameter.data, mesh, [Shard(0)])))

    mesh = init_device_mesh("cpu", (1,))
    model = distribute_module(nn.Sequential(nn.Linear(8, 8)), mesh, shard)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
    hooked = roam.hook(model, optimizer, loss=lambda model, batch: model(batch).full_tensor().square().mean())
    batch = distribute_tensor(torch.randn(4, 8), mesh, [Shard(0)])
    with pytest.raises(roam.CaptureError, match=r"DTensor.*roam\.shard"):
        hooked.prepare(batch)
    with pytest.warns(roam.RoamWarning, match=r"DTensor.*roam\.shard"):
        first = hooked(batch)
    assert hooked(batch) < first
    assert (hooked.planned_steps, hooked.eager_steps) == (0, 2)


def test_optimizers_may_be_given_in_a_list():
    model, _, twin, _ = pair()

    def optimizers(one):
        parameters = list(one.parameters())
        return [torch.optim.AdamW(parameters[:4]), torch.optim.SGD(parameters[4:], lr=0.1)]

    hooked = roam.hook(model, optimizers(model), loss=mean_square)
    assert same(hooked, model, twin, optimizers(twin), [torch.randn(8, 32) for _ in range(3)])
    assert (hooked.planned_steps, hooked.reasons) == (3, {})


class Asks(nn.Linear):
    """A model that computes something else where it is traced."""

    def forward(self, x):
        return super().forward(x) * (1.0 if type(x) is torch.Tensor else 2.0)


def test_an_eager_step_leads_the_capture_also_where_nothing_is_compared():
    model, twin = Asks(32, 32), Asks(32, 32)
    twin.load_state_dict(model.state_dict())
    hooked = roam.hook(model, torch.optim.SGD(model.parameters(), lr=0.1), loss=mean_square, check="never")
    batches = [torch.randn(8, 32) for _ in range(3)]
    with pytest.warns(roam.RoamWarning, match="in the eager step 1.0"):
        assert same(hooked, model, twin, torch.optim.SGD(twin.parameters(), lr=0.1), batches)


def test_without_checks_one_eager_step_is_run_for_each_capture(monkeypatch):
    runs, eager_first = [], SelfCheck.eager_first
    monkeypatch.setattr(SelfCheck, "eager_first", lambda *args, **how: runs.append(1) or eager_first(*args, **how))
    model, optimizer, twin, other = pair()
    hooked = roam.hook(model, optimizer, loss=mean_square, check="never")
    assert same(hooked, model, twin, other, [torch.randn(size, 32) for size in (64, 64, 40, 64)])
    assert (hooked.planned_steps, hooked.reasons, runs) == (4, {}, [1, 1])
