"""What of a guarded step differs, entry by entry; what stops being guarded; numbers whose place was replaced."""

import numpy
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from roam_lab.capture.sources import reach
from roam_lab.capture.sources.containers import MISSING, Container
from roam_lab.capture.sources.guards import Guards, changed_paths, global_hooks
from roam_lab.capture.sources.places import ValuePlace
from roam_lab.capture.sources.python_state import Change


class Holder:
    """A step's own object."""

    def __init__(self):
        self.rate, self.name = 1.0, "a"
        self.options = {"clip": 1.0, "norm": 2.0}
        self.sizes, self.names = [1, 2], {"x"}
        self.array = numpy.ones(3)


def guarded(left_out=(), **more):
    holder = Holder()
    return holder, Guards(reach({"step": holder}), left_out, **more)


def found(guards):
    return {(one.path, one.key, one.whole) for one in guards.differing()}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda h: setattr(h, "rate", 2.0), {("step.rate", "rate", False)}),
        (lambda h: setattr(h, "new", 1), {("step.new", "new", False)}),
        (lambda h: delattr(h, "name"), {("step.name", "name", False)}),
        (lambda h: h.options.update(clip=3.0), {("step.options['clip']", "clip", False)}),
        (lambda h: h.options.update(new=3.0), {("step.options", "new", True)}),
        (lambda h: h.options.pop("norm"), {("step.options", "norm", True)}),
        (lambda h: h.sizes.append(3), {("step.sizes", 2, True)}),
        (lambda h: h.sizes.__setitem__(0, 3), {("step.sizes[0]", 0, False)}),
        (lambda h: h.names.add("y"), {("step.names", None, True)}),
        (lambda h: (h.names.add("y"), h.names.add("z")), {("step.names", None, True)}),
        (lambda h: (setattr(h, "rate", 2.0), h.sizes.pop()), {("step.rate", "rate", False), ("step.sizes", 1, True)}),
        (lambda h: None, set()),
    ],
)
def test_every_entry_that_differs(change, expected):
    holder, guards = guarded()
    change(holder)
    assert found(guards) == expected


def test_an_attribute_that_was_added_to_a_module_is_no_whole():
    model = nn.Linear(2, 2)
    guards = Guards(reach({"model": model}))
    model.register_parameter("scale", nn.Parameter(torch.ones(1)))
    assert {(one.path, one.whole) for one in guards.differing()} == {("model.scale", False)}


def test_what_is_left_out_or_forgotten_does_not_differ():
    holder, guards = guarded(["step.rate", "step.options['clip']"])
    holder.rate, holder.options["clip"], holder.name = 2.0, 3.0, "b"
    assert found(guards) == {("step.name", "name", False)}
    guards.forget("step.name")
    assert found(guards) == set()
    assert guards.check() is None
    holder.options["norm"] = 5.0
    assert found(guards) == {("step.options['norm']", "norm", False)}


def test_a_path_is_no_beginning_of_another_name():
    holder, guards = guarded(["step.rat", "step.option"])
    holder.rate = 2.0
    assert guards.check() == "step.rate was 1.0 and is 2.0 now"
    holder.rate = 1.0
    holder.options["clip"] = 2.0
    assert guards.check() == "step.options['clip'] was 1.0 and is 2.0 now"


def test_what_lies_below_a_left_out_path_is_left_out():
    holder = Holder()
    holder.options["inner"] = {"deep": [1]}
    guards = Guards(reach({"step": holder}), ["step.options"])
    holder.options["inner"]["deep"][0] = 2
    holder.options["inner"]["new"] = 2
    assert guards.check() is None
    assert found(guards) == set()


def test_an_entry_that_is_left_out_may_come_later():
    holder, guards = guarded(["step.options['new']"])
    holder.options["new"] = 1
    assert found(guards) == set()
    assert guards.check() is None
    holder.options["other"] = 1
    assert found(guards) == {("step.options", "other", True)}


def test_none_is_a_key_like_any_other():
    holder = Holder()
    holder.options[None] = 1.0
    guards = Guards(reach({"step": holder}))
    holder.options[None] = 2.0
    assert guards.check() == "step.options[None] was 1.0 and is 2.0 now"
    assert found(guards) == {("step.options[None]", None, False)}


def test_a_left_out_entry_of_a_list_or_dict_costs_no_slow_check():
    holder, guards = guarded(["step.sizes[0]", "step.options['clip']"])
    holder.sizes[0], holder.options["clip"] = 9, 9.0
    assert guards._watch.unchanged()
    assert guards.check() is None
    holder.sizes[1] = 9
    assert guards.check() == "step.sizes[1] was 2 and is 9 now"


def test_a_left_out_array_may_change_and_another_may_not():
    holder, guards = guarded(["step.array"])
    holder.array[0] = 5
    assert guards.check() is None
    holder, guards = guarded()
    holder.array[0] = 5
    assert guards.check() == "the contents of the array step.array have changed"
    guards.forget("step.array")
    assert guards.check() is None


def test_a_frozen_parameter_that_is_trained_is_noticed_unless_forgotten():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    guards = Guards(reach({"model": model}))
    model.bias.requires_grad_(True)
    assert guards.check() == "model.bias.requires_grad was False and is True now"
    guards.forget("model.bias")
    assert guards.check() is None
    model.weight.requires_grad_(False)
    assert guards.check() == "model.weight.requires_grad was True and is False now"


def test_a_parameter_that_only_the_optimizer_has_is_guarded():
    alone = nn.Parameter(torch.ones(2))
    guards = Guards(reach({"optimizer": torch.optim.SGD([alone])}))
    alone.requires_grad_(False)
    assert guards.check() == "optimizer.param_groups[0]['params'][0].requires_grad was True and is False now"


def test_further_containers_are_guarded_and_renewed():
    more = {"a": 1}
    _, guards = guarded(beside=[Container("dict", more, "more")])
    more["a"] = 2
    assert guards.check() == "more['a'] was 1 and is 2 now"
    guards.renew()
    assert guards.check() is None


def test_a_number_that_is_read_in_each_step_may_change_but_not_its_holder():
    holder, _ = guarded()
    place = ValuePlace(holder.options, "clip", "step.options['clip']")
    guards = Guards(reach({"step": holder}), ["step.options['clip']"], places=[place])
    holder.options["clip"] = 7.0
    assert guards.check() is None
    holder.options = {"clip": 7.0, "norm": 2.0}
    assert guards.check() == "step.options['clip'] is another number, in an object that was replaced"


def test_another_object_may_be_replaced_beside_a_number_that_is_read_in_each_step():
    holder, other = Holder(), Holder()
    places = [ValuePlace(holder, "rate", "step.rate"), ValuePlace(holder.sizes, 0, "step.sizes[0]")]
    guards = Guards(reach({"step": holder, "other": other}), [one.path for one in places], places=places)
    holder.rate, holder.sizes[0] = 2.0, 9
    other.options = {"clip": 1.0, "norm": 2.0}
    assert not guards._watch.unchanged()
    assert guards.check() is None
    assert guards._watch.unchanged()


def test_an_equal_object_in_the_place_of_another_is_compared_with_from_then_on():
    holder, guards = guarded()
    holder.options = {"clip": 1.0, "norm": 2.0}
    assert guards.check() is None
    holder.options["norm"] = 3.0
    assert guards.check() == "step.options['norm'] was 2.0 and is 3.0 now"


def change(path, kind, container, key, container_path=""):
    return Change(path, kind, MISSING, 1, container, key, container_path)


def test_what_a_step_changes_is_left_out_by_entry_or_as_a_whole():
    assert changed_paths([change("losses[3]", "grown", [], 3, "losses")]) == {"losses"}
    assert changed_paths([change("names", "shrunk", set(), None, "names")]) == {"names"}
    assert changed_paths([change("step.count", "grown", {}, "count", "step")]) == {"step.count"}
    assert changed_paths([change("table[3]", "grown", {}, 3, "table")]) == {"table[3]"}
    assert changed_paths([change("step.new", "grown", object(), "new", "step")]) == {"step.new"}
    assert changed_paths([change("sizes[0]", "number", [], 0, "sizes")]) == {"sizes[0]"}
    assert changed_paths([change("model.mask.data", "rebinding", {}, "mask", "model")]) == {"model.mask"}
    assert changed_paths([]) == set()


def test_hooks_of_all_modules_and_all_optimizers_are_watched():
    paths = {one.path for one in global_hooks()}
    assert {"torch.nn.modules.module._global_forward_hooks", "torch.nn.modules.module._global_backward_hooks"} <= paths
    assert {"torch.optim.optimizer._global_optimizer_pre_hooks"} <= paths
    assert all(one.kind == "dict" for one in global_hooks())
    _, guards = guarded()
    handle = register_optimizer_step_pre_hook(lambda *_: None)
    try:
        assert "_global_optimizer_pre_hooks" in guards.check() or "hook" in guards.check()
    finally:
        handle.remove()
    assert guards.check() is None


def test_a_hook_that_is_removed_or_replaced_is_told_so():
    model = nn.Linear(2, 2)
    handle = model.register_forward_hook(print)
    guards = Guards(reach({"model": model}))
    handle.remove()
    assert guards.check() == "a forward hook of model was removed"
    model = nn.Linear(2, 2)
    handle = model.register_forward_hook(print)
    guards = Guards(reach({"model": model}))
    model._forward_hooks[handle.id] = id
    assert guards.check() == "a forward hook of model was replaced"


def test_sentences_on_objects_of_other_classes_and_of_the_same():
    holder, guards = guarded()
    holder.options["clip"] = Holder()
    assert guards.check() == "step.options['clip'] was 1.0 and is a Holder now"
    holder.options["clip"] = "1.0"
    assert guards.check() == "step.options['clip'] was 1.0 and is '1.0' now"
    holder.options["clip"] = 1.0
    holder.options = {}
    assert guards.check() in ("step.options is another dict", "step.options['clip'] was taken away")
