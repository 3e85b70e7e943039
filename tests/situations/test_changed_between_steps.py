"""What a user changes between two steps is seen: planned anew, run eagerly with a reason, or refused."""

import copy
import gc

import pytest
import torch
from torch import nn

from tests.situations.changeable import AT, Weights, frozen, make, set_global, swap
from tests.situations.judge import GRADIENTS, HONEST, compare, roam_hook
from tests.situations.models import classifier, data, slow_unless


def shrink_first(optimizer, args, given):
    optimizer.param_groups[0]["params"][0].data.mul_(0.9)


def of(kind):
    """(changed, undone): two functions of the situation; the second may be None."""
    model = {
        "dropout": (lambda m: setattr(m.drop, "p", 0.5), lambda m: setattr(m.drop, "p", 0.1)),
        "dropout to zero": (lambda m: setattr(m.drop, "p", 0.0), lambda m: setattr(m.drop, "p", 0.1)),
        "momentum of the norm": (lambda m: setattr(m.norm, "momentum", 0.5), None),
        "momentum None": (lambda m: setattr(m.norm, "momentum", None), None),
        "eps of the norm": (lambda m: setattr(m.norm, "eps", 0.1), lambda m: setattr(m.norm, "eps", 1e-5)),
        "eps of the layer norm": (lambda m: setattr(m.layer, "eps", 0.1), None),
        "norm does not track": (lambda m: setattr(m.norm, "track_running_stats", False), None),
        "activation replaced": (lambda m: m.parts.__setitem__(0, nn.ReLU()), None),
        "activation replaced by one of its class": (
            lambda m: setattr(m.act, "approximate", "tanh"),
            lambda m: setattr(m.act, "approximate", "none"),
        ),
        "module replaced": (lambda m: swap(m, "layer", nn.Identity()), None),
        "module replaced by its like": (lambda m: swap(m, "norm", nn.BatchNorm1d(24, momentum=0.9)), None),
        "module added to a list": (lambda m: m.parts.append(nn.Sigmoid()), lambda m: m.parts.pop()),
        "function replaced": (lambda m: setattr(m, "function", torch.sin), None),
        "forward replaced": (lambda m: setattr(m.head, "forward", lambda x: m.head.weight.sum() * x[:, :4]), None),
        "class replaced": (lambda m: setattr(m.act, "__class__", nn.Sigmoid), None),
        "lora scaling": (lambda m: setattr(m.lora, "scaling", 4.0), lambda m: setattr(m.lora, "scaling", 2.0)),
        "lora off": (lambda m: setattr(m.lora, "active", False), lambda m: setattr(m.lora, "active", True)),
        "lora weight in a dict": (lambda m: m.lora.tags.__setitem__("weight", 3.0), None),
        "eval of one submodule": (lambda m: m.norm.eval(), lambda m: m.norm.train()),
        "eval of dropout": (lambda m: m.drop.eval(), lambda m: m.drop.train()),
        "eval": (lambda m: m.eval(), lambda m: m.train()),
        "a parameter frozen": (lambda m: frozen(m.layer.weight, False), lambda m: frozen(m.layer.weight, True)),
        "a module frozen": (lambda m: m.head.requires_grad_(False), lambda m: m.head.requires_grad_(True)),
        "a parameter thawed": (lambda m: frozen(m.lora.base.weight, True), None),
        "a parameter replaced": (lambda m: setattr(m.layer, "bias", nn.Parameter(torch.ones(24))), None),
        "a parameter to None": (lambda m: setattr(m.layer, "bias", None), None),
        "data of a parameter replaced": (lambda m: setattr(m.head.weight, "data", m.head.weight.data * 2), None),
        "parameter set in place": (lambda m: m.head.weight.data.mul_(2), None),
        "buffer replaced": (lambda m: setattr(m.norm, "running_mean", torch.ones(24)), None),
        "buffer set in place": (lambda m: m.norm.reset_running_stats(), None),
        "state dict loaded": (lambda m: m.load_state_dict({k: v * 0.5 for k, v in m.state_dict().items()}), None),
        "state dict assigned": (
            lambda m: m.load_state_dict({k: v.clone() for k, v in m.state_dict().items()}, assign=True),
            None,
        ),
    }
    if kind in model:
        changed, undone = model[kind]
        return (lambda s: changed(s.model)), undone and (lambda s: undone(s.model))
    optimizer = {
        "lr": lambda o: o.param_groups[0].update(lr=3e-3),
        "lr to zero": lambda o: o.param_groups[0].update(lr=0.0),
        "lr a tensor": lambda o: o.param_groups[0].update(lr=torch.tensor(3e-3)),
        "betas": lambda o: o.param_groups[0].update(betas=(0.5, 0.9)),
        "one beta to zero": lambda o: o.param_groups[0].update(betas=(0.0, 0.999)),
        "eps": lambda o: o.param_groups[1].update(eps=1e-3),
        "weight_decay to 0": lambda o: o.param_groups[1].update(weight_decay=0.0),
        "weight_decay": lambda o: o.param_groups[1].update(weight_decay=0.3),
        "maximize": lambda o: o.param_groups[0].update(maximize=True),
        "foreach": lambda o: o.param_groups[0].update(foreach=False),
        "group removed": lambda o: o.param_groups.pop(),
        "parameter removed from its group": lambda o: o.param_groups[0]["params"].pop(),
        "parameters in another sequence": lambda o: o.param_groups[0]["params"].reverse(),
        "state cleared": lambda o: o.state.clear(),
        "state of one parameter cleared": lambda o: o.state.pop(o.param_groups[0]["params"][0]),
        "state zeroed": lambda o: [s["exp_avg"].zero_() for s in o.state.values()],
        "step count set": lambda o: [s.__setitem__("step", torch.tensor(50.0)) for s in o.state.values()],
        "state loaded": lambda o: o.load_state_dict(copy.deepcopy(o.state_dict())),
        "post hook": lambda o: o.register_step_post_hook(shrink_first),
        "step replaced": lambda o: setattr(o, "step", lambda closure=None: None),
    }
    if kind in optimizer:
        return (lambda s: optimizer[kind](s.optimizer)), None
    elsewhere = {
        "group added": (
            lambda s: s.optimizer.add_param_group({"params": [s.model.lora.base.requires_grad_(True).weight]}),
            None,
        ),
        "label smoothing": (lambda s: setattr(s.others["criterion"].inner, "label_smoothing", 0.2), None),
        "class weights": (lambda s: setattr(s.others["criterion"].inner, "weight", torch.arange(1.0, 5.0)), None),
        "ignored label": (lambda s: setattr(s.others["criterion"].inner, "ignore_index", 1), None),
        "reduction": (lambda s: setattr(s.others["criterion"].inner, "reduction", "sum"), None),
        "weight of the criterion": (lambda s: setattr(s.others["criterion"], "weight", 3.0), None),
        "weight of an object": (lambda s: setattr(s.others["weights"], "extra", 3.0), None),
        "weight of a class": (lambda s: setattr(Weights, "extra", 3.0), None),
        "weight in the table of a class": (lambda s: Weights.table.__setitem__("l2", 1.0), None),
        "weight in a closure": (
            lambda s: s.others["weight"].__setitem__("aux", 3.0),
            lambda s: s.others["weight"].__setitem__("aux", 0.1),
        ),
        "weight in a list in a closure": (lambda s: s.others["weight"]["parts"].__setitem__(1, 3.0), None),
        "weight in a global": (lambda s: set_global(3.0), lambda s: set_global(1.0)),
    }
    return elsewhere[kind]


CHANGES = [
    "dropout", "dropout to zero", "momentum of the norm", "momentum None", "eps of the norm", "eps of the layer norm",
    "norm does not track", "activation replaced", "activation replaced by one of its class", "module replaced",
    "module replaced by its like", "module added to a list", "function replaced", "forward replaced",
    "class replaced", "lora scaling", "lora off", "lora weight in a dict", "eval of one submodule", "eval of dropout",
    "eval", "a parameter frozen", "a module frozen", "a parameter thawed", "a parameter replaced",
    "a parameter to None", "data of a parameter replaced", "parameter set in place", "buffer replaced",
    "buffer set in place", "state dict loaded", "state dict assigned", "lr", "lr to zero", "lr a tensor", "betas",
    "one beta to zero", "eps", "weight_decay to 0", "weight_decay", "maximize", "foreach", "group removed",
    "parameter removed from its group", "parameters in another sequence", "state cleared",
    "state of one parameter cleared", "state zeroed", "step count set", "state loaded", "post hook", "step replaced",
    "group added", "label smoothing", "class weights", "ignored label", "reduction", "weight of the criterion",
    "weight of an object", "weight of a class", "weight in the table of a class", "weight in a closure",
    "weight in a list in a closure", "weight in a global",
]  # fmt: skip


LIKE_OTHERS = {
    "dropout to zero", "momentum None", "eps of the layer norm", "activation replaced by one of its class",
    "module replaced by its like", "lora off", "eval of dropout", "eval", "a module frozen", "a parameter to None",
    "parameter set in place", "buffer set in place", "lr to zero", "one beta to zero", "eps", "foreach", "state zeroed",
    "parameters in another sequence", "state of one parameter cleared", "ignored label", "reduction", "maximize",
    "weight in a list in a closure", "weight in the table of a class", "function replaced", "class replaced",
    "weight_decay", "group removed", "norm does not track",
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_change(kind):
    slow_unless(kind not in LIKE_OTHERS)
    changed, undone = of(kind)

    def between(made, i):
        if i == AT:
            changed(made)
        if i == AT + 3 and undone:
            undone(made)

    needs_adam = kind in ("betas", "one beta to zero", "eps", "state zeroed", "step count set")
    build = (lambda: make(torch.optim.AdamW)) if needs_adam else make
    ignore = GRADIENTS if kind == "a parameter thawed" else ""
    compare(build, steps=7, between=between, ignore=ignore).must_be(HONEST)


@pytest.mark.parametrize(
    "kind", ["dropout", "lora scaling", "weight in a closure", "a module frozen", "module replaced"]
)
@pytest.mark.parametrize("on_mismatch", ["error", "replan"])
def test_change_under_another_policy(kind, on_mismatch):
    """With "error" a refusal at that step, before anything moved; with "replan" a plan for what is there now."""
    slow_unless(kind in ("dropout", "a module frozen"))
    changed, _ = of(kind)

    def between(made, i):
        if i == AT:
            changed(made)

    compare(make, steps=7, on_mismatch=on_mismatch, between=between).must_be(HONEST)


@pytest.mark.parametrize("kind", ["dropout", "weight in a closure", "lora scaling"])
def test_change_before_the_first_step(kind):
    """Between profile and the first hooked step."""
    changed, undone = of(kind)

    def build():
        made = make()
        changed(made)
        return made

    def hooking(made, *given):
        undone(made)
        step = roam_hook(made, *given)
        changed(made)
        return step

    compare(build, hooking=hooking).must_be(HONEST)


def test_evaluation_in_between():
    """Eval mode, no grad, another batch; back to training."""

    def between(made, i):
        made.model.eval()
        with torch.no_grad():
            made.others["weight"][f"eval {i}"] = made.model(data(8)[7][0]).sum().item()
        made.model.train()

    compare(make, between=between).must_be(HONEST)


def test_an_eager_step_in_between():
    """The user runs a step without the hook."""

    def between(made, i):
        if i == AT:
            made.eager(made.batch(5))

    compare(make, steps=7, between=between).must_be(HONEST)


def test_gradients_left_by_the_user():
    """A backward pass outside the hook: its gradients are added to by the next step."""

    def between(made, i):
        if i == AT:
            made.loss(made.model, made.batch(5)).backward()

    compare(make, steps=6, between=between).must_be(HONEST)


def test_checkpoint_saved_and_loaded():
    """A checkpoint of two steps ago is loaded into model and optimizer."""

    def between(made, i):
        if i == 1:
            made.others["weight"]["saved"] = copy.deepcopy((made.model.state_dict(), made.optimizer.state_dict()))
        if i == 3:
            model, optimizer = made.others["weight"]["saved"]
            made.model.load_state_dict(model)
            made.optimizer.load_state_dict(optimizer)

    compare(make, steps=7, between=between).must_be(HONEST)


@pytest.mark.parametrize("kind", ["double", "bfloat16"])
def test_dtype_of_the_model_changed(kind):
    def between(made, i):
        if i == AT:
            getattr(made.model, kind)()
            made.batches[:] = [(getattr(x, kind)(), y) for x, y in made.batches]

    compare(lambda: classifier(), steps=5, between=between, raises=RuntimeError).must_be(HONEST)


def test_averaged_weights_swapped_in_for_evaluation():
    """`.data` of the parameters exchanged for evaluation, and back."""

    def between(made, i):
        kept = [p.data for p in made.model.parameters()]
        for p in made.model.parameters():
            p.data = p.data * 0.5
        if i == 3:
            for p, old in zip(made.model.parameters(), kept, strict=True):
                p.data = old

    compare(make, steps=6, between=between).must_be(HONEST)
    gc.collect()
