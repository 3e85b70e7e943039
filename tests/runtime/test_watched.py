"""A step that somebody looks at op by op runs eagerly: a planned one has other ops."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import roam_lab as roam
from roam_lab.capture import as_step

step = as_step(lambda model, batch: model(batch).square().mean())


def trained(call, counted):
    """The operations of each step that is counted."""
    found = []
    for place in range(4):
        batch = torch.ones(3, 4) * place
        if place not in counted:
            call(batch)
            continue
        with FlopCounterMode(display=False) as counter:
            call(batch)
        found.append(counter.get_total_flops())
    return found


def test_operations_are_counted_as_in_eager(recwarn):
    for counted in ((0, 1, 2, 3), (2,)):
        torch.manual_seed(0)
        model, twin = nn.Linear(4, 2), nn.Linear(4, 2)
        optimizer, twins = (torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, twin))
        hook = roam.hook(model, optimizer, step=step, cache=False)
        assert trained(hook, counted) == trained(lambda batch: step(twin, twins, batch), counted)  # noqa: B023
        assert hook.planned_steps == 4 - len(counted)
        (reason,) = hook.reasons
        assert reason.startswith("a _FlopCounterMode is active, which sees the ops of a step")
        assert hook.reasons[reason] == len(counted)
