"""What the guards of a compiled step leave out, and which path a sentence of theirs names."""

from collections import deque
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from roam_lab.capture.sources import reach
from roam_lab.capture.sources.guards import Guards
from roam_lab.capture.sources.places import OptimizerPlace
from roam_lab.runtime.step_guards import guarded_path, left_out_of


class Counting(torch.optim.SGD):
    """An optimizer that counts its steps in numbers of Python, in the state of each parameter."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["count"] = self.state[p].get("count", 0) + 1
                self.state[p]["history"] = [p.detach().clone()]
        return super().step(closure)


def reached(optimizer_class, **settings):
    model = nn.Linear(2, 2)
    optimizer = optimizer_class(model.parameters(), lr=0.1, **settings)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer, reach({"model": model, "optimizer": optimizer})


def trace(changed=(), unread=(), places=()):
    return SimpleNamespace(changed=set(changed), unread=set(unread), places=tuple(places))


def test_settings_that_are_looked_up_in_each_step_are_left_out_and_no_others():
    optimizer, reachable = reached(torch.optim.Adam)
    optimizer.param_groups[0] |= {"initial_lr": [0.1], "note": ["kept"], "flag": True, "name": None}
    out = left_out_of(reachable, trace({"model.steps"}, {"model.unread"}))
    assert {"model.steps", "model.unread", "optimizer._opt_called"} <= out
    inside = {path for path in out if path.startswith("optimizer.param_groups[0]")}
    settings = {key for key in optimizer.param_groups[0] if f"optimizer.param_groups[0][{key!r}]" in inside}
    assert settings == {
        "lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused",
        "decoupled_weight_decay", "initial_lr", "flag", "name",
    }  # fmt: skip
    assert "optimizer.param_groups[0]['params']" not in out
    assert {f"optimizer.param_groups[0][{key!r}]" for key in ("max_lr", "swa_lr", "base_momentum")} <= inside


def test_a_state_of_tensors_alone_is_left_out_as_a_whole():
    _, reachable = reached(torch.optim.Adam)
    assert "optimizer.state" in left_out_of(reachable, trace())
    _, reachable = reached(torch.optim.SGD)
    assert "optimizer.state" in left_out_of(reachable, trace())
    optimizer, _ = reached(torch.optim.SGD)
    optimizer.state[optimizer.param_groups[0]["params"][0]] = {
        "history": [torch.ones(2)],
        "by_name": {"a": torch.ones(2)},
    }
    assert "optimizer.state" in left_out_of(reach({"optimizer": optimizer}), trace())


def test_of_a_state_with_numbers_the_tensors_alone_are_left_out():
    optimizer, reachable = reached(Counting, momentum=0.9)
    out = left_out_of(reachable, trace())
    assert "optimizer.state" not in out
    state = {path for path in out if path.startswith("optimizer.state[")}
    assert len([path for path in state if path.endswith("['momentum_buffer']")]) == 2
    assert len([path for path in state if path.endswith("['history'][0]")]) == 2
    assert len(state) == 4
    guards = Guards(reachable, out)
    assert guards.check() is None
    weight = optimizer.param_groups[0]["params"][0]
    optimizer.state[weight]["momentum_buffer"] = torch.ones(2, 2)
    optimizer.param_groups[0]["lr"] = 0.5
    assert guards.check() is None
    optimizer.state[weight]["count"] = 7
    assert "['count'] was 1 and is 7 now" in guards.check()


def test_a_number_in_a_state_that_is_an_input_is_left_out():
    optimizer, _ = reached(Counting)
    weight, bias = optimizer.param_groups[0]["params"]
    optimizer.state[weight] = {"count": {"steps": 1}}
    optimizer.state[bias] = {"count": 1}
    places = [
        OptimizerPlace(optimizer, ("count", "steps"), "a", weight),
        OptimizerPlace(optimizer, ("count",), "b", bias),
    ]
    out = left_out_of(reach({"optimizer": optimizer}), trace(places=places))
    assert "optimizer.state" in out  # it has nothing else
    assert len([path for path in out if path.endswith(("['count']['steps']", "['count']"))]) == 2


def test_tensors_in_other_containers_of_a_state_are_not_left_out():
    optimizer, _ = reached(torch.optim.SGD, momentum=0.9)
    weight = optimizer.param_groups[0]["params"][0]
    optimizer.state[weight]["window"] = deque([torch.ones(2)])
    out = left_out_of(reach({"optimizer": optimizer}), trace())
    assert "optimizer.state" not in out
    assert any(path.endswith("['momentum_buffer']") for path in out)
    assert not any("['window']" in path for path in out)


def test_tensors_outside_of_optimizers_are_guarded():
    optimizer, _ = reached(torch.optim.Adam)
    model = nn.Linear(2, 2)
    out = left_out_of(reach({"model": model, "optimizer": optimizer, "step": {"mask": torch.ones(2)}}), trace())
    assert out
    assert {path.partition(".")[0].partition("[")[0] for path in out} == {"optimizer"}


@pytest.mark.parametrize(
    ("sentence", "path"),
    [
        ("model.dropout.p was 0.1 and is 0.5 now", "model.dropout.p"),
        ("model.layers[1] was added: a Linear", "model.layers[1]"),
        ("model.layers is another ModuleList", "model.layers"),
        ("model.linear.weight.requires_grad was True and is False now", "model.linear.weight"),
        ("a forward hook of model.linear was added", "model.linear"),
        ("a hook of model.linear.weight was added or removed", "model.linear.weight"),
        ("the contents of the array model.array have changed", "model.array"),
        ("the entries of model.table have changed", "model.table"),
        ("the options were changed", "the options"),
        ("the set model.names has 'b' now", "the set model.names has 'b' now"),
    ],
)
def test_a_sentence_names_its_path(sentence, path):
    assert guarded_path(sentence) == path
