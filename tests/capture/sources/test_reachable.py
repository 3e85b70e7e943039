"""What a step reaches, and under which path."""

import collections
import dataclasses
import functools
import itertools
import threading
import types

import pytest
import torch
from torch import nn

from roam_lab.capture.sources import reach

TEMPERATURE = 2.0
TABLE = {"scale": [1.0, 2.0]}
LOG = []


class Counted(nn.Module):
    """Reads a global, a dict and a class attribute, and a property."""

    calls = 0
    limits = types.MappingProxyType({"low": [0.0]})

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Dropout(0.25)])
        self.options = {"p": {"deep": [0.5]}}

    @property
    def scale(self):
        LOG.append(1)
        return TABLE["scale"][0]

    def forward(self, x):
        Counted.calls += 1
        return self.layers[0](x) / TEMPERATURE * self.scale


class Slotted:
    """Attributes without a `__dict__`."""

    __slots__ = ("_hidden", "log")

    def __init__(self):
        self.log = []


class Deeper(Slotted):
    __slots__ = ("more",)


@dataclasses.dataclass(frozen=True)
class Settings:
    rates: list
    nested: object = None


def containers(roots):
    return {(one.path, one.kind) for one in reach(roots).containers}


def test_a_module_and_what_its_forward_reads_outside_it():
    model = Counted()
    del LOG[:]
    found = reach({"model": model})
    assert found.path_of(model.layers[1]) == "model.layers[1]"
    assert found.path_of(model.layers[0].weight) == "model.layers[0].weight"
    assert found.path_of(model.options["p"]["deep"]) == "model.options['p']['deep']"
    assert found.path_of(TABLE["scale"]) == "TABLE['scale']"
    assert found.path_of(Counted.limits["low"]) == "Counted.limits['low']"
    assert [path for path, _ in found.modules][:2] == ["model", "model.layers"]
    assert LOG == []  # the property was not called, but what it reads was found
    assert found.path_of(LOG) == "LOG"
    names = next(one for one in found.containers if one.kind == "names" and "TEMPERATURE" in one.names)
    assert names.read()["TEMPERATURE"] == 2.0
    assert names.place("TEMPERATURE") == "TEMPERATURE"
    attributes = {one.path: one for one in found.containers if one.kind == "attributes"}
    assert attributes["model.layers[1]"].place("p") == "model.layers[1].p"


def test_an_optimizer_and_its_state_by_the_names_of_parameters():
    model, lonely = nn.Linear(2, 2), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([{"params": model.parameters()}, {"params": [lonely]}])
    (model(torch.ones(1, 2)).sum() + lonely).sum().backward()
    optimizer.step()
    found = reach({"model": model, "optimizer": optimizer})
    assert found.path_of(optimizer.state[model.weight]["exp_avg"]) == "optimizer.state[model.weight]['exp_avg']"
    assert found.path_of(lonely) == "optimizer.param_groups[1]['params'][0]"
    state = "optimizer.state[optimizer.param_groups[1]['params'][0]]['step']"
    assert found.path_of(optimizer.state[lonely]["step"]) == state
    groups = next(one for one in found.containers if one.path == "optimizer.param_groups[0]")
    assert groups.place("lr") == "optimizer.param_groups[0]['lr']"
    assert found.optimizers == (("optimizer", optimizer),)
    both = reach({"model": model, "optimizer": (optimizer, optimizer)})
    assert [path for path, _ in both.optimizers] == ["optimizer[0]"]


def test_closures_defaults_partials_and_bound_methods():
    scheduler_log, extra, options = [], {"a": [1]}, {"b": [2]}

    class Trainer:
        def __init__(self):
            self.history = []

        def step(self, model, optimizer, batch, kept=extra, *, more=options):
            def inner():
                scheduler_log.append(1)

            inner()
            LOG.append(self)

    trainer = Trainer()
    found = reach({"step": functools.partial(trainer.step, more={"c": [3]})})
    assert found.path_of(scheduler_log) == "scheduler_log"
    assert found.path_of(trainer.history) == "step.__self__.history"
    assert found.path_of(extra["a"]) == "step.__defaults__[0]['a']"
    assert found.path_of(options["b"]) == "step.__kwdefaults__['more']['b']"
    assert "step.keywords['more']['c']" in found.paths.values()
    assert found.path_of(LOG) == "LOG"


def test_a_scheduler_a_scaler_and_an_average_in_the_closure():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (epoch + 1))
    scaler = torch.amp.GradScaler("cpu")
    average = torch.optim.swa_utils.AveragedModel(model)

    def step(model, optimizer, batch):
        scaler.scale(model(batch).sum()).backward()
        average.update_parameters(model)
        scheduler.step()

    found = reach({"model": model, "optimizer": optimizer, "step": step})
    attributes = {one.path for one in found.containers if one.kind == "attributes"}
    assert {"scheduler", "scaler", "average", "average.module"} <= attributes
    assert found.path_of(average.module.weight) == "average.module.weight"
    assert found.path_of(average.n_averaged) == "average.n_averaged"


def test_slots_dataclasses_and_collections():
    slotted = Deeper()
    slotted.more = collections.deque([[1]], maxlen=3)
    holder = Settings([1], {"slotted": slotted, "counter": collections.Counter("ab"), "sets": {1, (2, 3)}})
    holder.nested["ordered"] = collections.OrderedDict(a=collections.defaultdict(list, b=[1]))
    found = reach({"step": holder})
    assert found.path_of(slotted.more[0]) == "step.nested['slotted'].more[0]"
    assert found.path_of(slotted.log) == "step.nested['slotted'].log"
    assert found.path_of(holder.nested["ordered"]["a"]["b"]) == "step.nested['ordered']['a']['b']"
    assert {("step.nested['counter']", "dict"), ("step.nested['sets']", "set")} <= containers({"step": holder})
    slots = next(one for one in found.containers if one.kind == "slots")
    assert set(slots.read()) == {"log", "more"}  # `_hidden` was never set


def test_methods_of_lists_and_cached_functions():
    log = []
    append = log.append

    @functools.lru_cache
    def cached():
        return LOG

    def step():
        append(cached())

    found = reach({"step": step})
    assert found.path_of(log) == "append.__self__"
    assert found.path_of(LOG) == "LOG"


def test_modules_of_the_users_by_the_names_that_the_code_uses(monkeypatch):
    import sys

    settings = types.ModuleType("my_settings")
    settings.rates, settings.other = [0.1], [0.2]
    exec("def helper():\n    return hidden\nhidden = [3]", settings.__dict__)
    monkeypatch.setitem(sys.modules, "my_settings", settings)

    def step():
        import my_settings

        return my_settings.rates, my_settings.helper()

    found = reach({"step": step})
    assert found.path_of(settings.rates) == "my_settings.rates"
    assert found.path_of(settings.other) is None
    assert found.path_of(settings.hidden) is not None


def test_cycles_locks_and_long_data_are_no_trouble():
    tree = {"lock": threading.Lock(), "data": list(range(10_001)), "module": torch, "iterator": iter([[1]])}
    tree["self"] = tree
    found = reach({"step": tree})
    assert found.not_walked == (("step['data']", "10,001 entries"),)
    assert [path for path, _ in found.stateful] == ["step['iterator']"]
    assert not any("torch" in path for path, kind in containers({"step": tree}))
    many = reach({"step": [[index] for index in range(500)]}, most_objects=100)
    assert many.not_walked[0][1] == "more than 100 objects are reachable"
    assert len(many.not_walked) == 1


def test_nothing_of_torch_itself_is_reached():
    def step(model, optimizer, batch):
        with torch.no_grad():
            return nn.functional.cross_entropy(model(batch), batch)

    found = reach({"model": nn.Linear(2, 2), "step": step})
    assert not [one.path for one in found.containers if one.kind in ("class", "cell")]
    assert [one.names for one in found.containers if one.kind == "names"] == [("nn", "torch")]


def test_attributes_and_hooks_of_parameters():
    model, counts = nn.Linear(2, 2), []
    model.weight.seen = {"times": 0}
    model.weight.register_hook(lambda gradient: counts.append(1))
    found = reach({"model": model})
    assert found.path_of(model.weight.seen) == "model.weight.seen"
    assert found.path_of(counts) == "counts"


@pytest.mark.parametrize("make", [lambda: zip([1], [2], strict=True), lambda: itertools.count(3), lambda: iter([1])])
def test_iterators_are_found(make):
    iterator = make()
    assert reach({"step": {"data": iterator}}).stateful[0] == ("step['data']", iterator)
