"""`roam.hook(model, optimizer)` on several ranks: one plans for all, and all of them train to the wrapper's bits."""

import roam_lab as roam
from tests.distributed.launch import launch
from tests.distributed.models import clipped, mlp, step, with_batch_norm
from tests.distributed.without_plan import both, smaller_last

STEPS = 7


def planned_alike(folder):
    cached = {"cache": str(folder)}
    return [
        both(mlp, smaller_last(STEPS), hooked=cached, bucket_cap_mb=0.001),
        both(with_batch_norm, smaller_last(STEPS), clipped, hooked=cached),
    ]


def test_the_first_rank_plans_for_all(tmp_path):
    for each in zip(*launch(planned_alike, tmp_path, tmp_path / "cache"), strict=True):
        for rank in each:
            assert rank["differs"] == [], rank["reasons"]
            assert (rank["planned"], rank["eager"]) == (STEPS - 1, 1), rank["reasons"]
        assert each[0]["plan"].order == each[1]["plan"].order
