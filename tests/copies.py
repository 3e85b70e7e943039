"""A model and its optimizer once more, for an eager run beside the planned one."""

import copy


def copied(model, optimizer):
    """Deep copies of both, the optimizer's bound to the copied parameters."""
    memo = {}
    twin, twin_optimizer = copy.deepcopy((model, optimizer), memo)
    for key, value in vars(optimizer).items():  # Optimizer pickles its groups and state only
        if key not in vars(twin_optimizer) and key != "step":
            setattr(twin_optimizer, key, copy.deepcopy(value, memo))
    return twin, twin_optimizer
