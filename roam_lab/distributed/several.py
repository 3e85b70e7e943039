"""The two ways in which several ranks train one model: each holds all of it (DistributedDataParallel), or a part of
every parameter (`roam.shard`)."""

from __future__ import annotations

from typing import Any

from roam_lab.distributed.sharding import group_of_shards, is_sharded
from roam_lab.distributed.torch_internals import group_named
from roam_lab.distributed.wrapper import is_replicated


def by_several_ranks(model: Any) -> bool:
    """Whether several ranks train this model together, so that all of them must call whatever runs it."""
    return is_replicated(model) or is_sharded(model)


def process_group_of(model: Any) -> Any:
    """The process group of the ranks that train a model together."""
    return group_named(group_of_shards(model).name) if is_sharded(model) else model.process_group


def own_kinds(model: Any) -> tuple[str, ...]:
    """The kinds (see `capture/inputs.py`) of those inputs of a captured step that differ from rank to rank."""
    return ("batch", "buffer", "carried", "parameter", "state", "gradient")[: 6 if is_sharded(model) else 3]
