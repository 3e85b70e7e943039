"""Training on several processes: the exchange of DistributedDataParallel written as ops, sharded models, and decisions
that all processes take together.

Imports torch. Every process (*rank*) holds the whole model, or a part of each parameter (`sharding.py`); gradients are
averaged over all of them in each step.
"""

from roam_lab.distributed.averaging import arrivals_noted, averaged_as_ops
from roam_lab.distributed.buckets import buckets_known
from roam_lab.distributed.ranks import Ranks
from roam_lab.distributed.several import by_several_ranks
from roam_lab.distributed.wrapper import is_replicated, refuse_unsupported

__all__ = [
    "Ranks", "arrivals_noted", "averaged_as_ops", "buckets_known", "by_several_ranks", "is_replicated",
    "refuse_unsupported",
]  # fmt: skip
