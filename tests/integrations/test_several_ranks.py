"""Accelerate, Lightning and Trainer on two ranks, as torchrun starts them: planned, and the bits that they leave
alone. Where a step cannot be planned on one rank, all ranks run it as without us."""

import os

import pytest
import torch.distributed as dist

from tests.distributed.launch import launch

pytest.importorskip("accelerate")


def as_by_torchrun():
    """The variables that libraries look at to see that there are others."""
    size = str(dist.get_world_size())
    os.environ |= {"LOCAL_WORLD_SIZE": size, "TORCHELASTIC_RUN_ID": "tests", "MASTER_ADDR": "localhost"}
    os.environ |= {"MASTER_PORT": "29500", "GROUP_RANK": "0"}


# --- Accelerate


LOOPS = [
    {"rows": 70},
    {"gradient_accumulation_steps": 2, "rows": 96},
    {"gradient_accumulation_steps": 2, "accumulate": "out", "scheduled": "out", "rows": 96},
    {"mixed_precision": "bf16", "accumulate": "none"},
]


def accelerated(loops):
    from tests.integrations.test_accelerate import both

    as_by_torchrun()
    steps = [both(epochs=3, **options) for options in loops]
    kinds = [type(step.model).__name__ for step in steps]
    return [(step.planned_steps, step.eager_steps, dict(step.reasons)) for step in steps], kinds


@pytest.mark.slow  # tests/distributed has several ranks, test_accelerate.py has Accelerate
def test_accelerate(tmp_path):
    for found, kinds in launch(accelerated, tmp_path, LOOPS[:1]):
        assert kinds == ["DistributedDataParallel"]
        for planned, eager, reasons in found:
            assert (planned, eager) == (14, 1), reasons


@pytest.mark.slow
def test_accelerate_otherwise(tmp_path):
    for found, _ in launch(accelerated, tmp_path, LOOPS[1:]):
        for planned, eager, reasons in found:
            assert planned > eager, reasons


# --- Lightning


def by_lightning(names):
    as_by_torchrun()
    from tests.integrations.lightnings import Net, both

    class OnRankZero(Net):
        """Uses what planned steps do not follow, now and then, on one rank."""

        def training_step(self, batch, batch_idx):
            if self.global_rank == 0 and batch_idx == 1:
                assert self.trainer.callback_metrics is not None
            return super().training_step(batch, batch_idx)

    class WithMetric(Net):
        """Counts on each rank for itself."""

        def __init__(self):
            super().__init__()
            import torchmetrics

            self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=4)

        def training_step(self, batch, batch_idx):
            self.accuracy(self.net(batch[0]), batch[1])
            self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
            return super().training_step(batch, batch_idx)

    kinds = {
        "clipped": (Net, {"gradient_clip_val": 0.5}),
        "accumulated": (Net, {"accumulate_grad_batches": 2}),
        "metric": (WithMetric, {}),
        "rank zero": (OnRankZero, {}),
    }
    found = {}
    for name in names:
        kind, options = kinds[name]
        roam, _ = both(kind, strategy="ddp", devices=2, max_epochs=3, **options)
        found[name] = roam.planned_steps, roam.eager_steps, roam.reasons
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clipped", "metric"])
def test_lightning(tmp_path, name):
    pytest.importorskip("lightning")
    for found in launch(by_lightning, tmp_path, [name]):
        planned, eager, reasons = found[name]
        assert (planned, eager) == (8, 1), reasons


@pytest.mark.slow
def test_lightning_accumulates(tmp_path):
    pytest.importorskip("lightning")
    for found in launch(by_lightning, tmp_path, ["accumulated"]):
        planned, eager, reasons = found["accumulated"]
        assert planned + eager == 9, reasons
        assert planned >= 4, reasons


@pytest.mark.slow
def test_lightning_where_one_rank_uses_the_trainer(tmp_path):
    pytest.importorskip("lightning")
    first, second = (found["rank zero"] for found in launch(by_lightning, tmp_path, ["rank zero"]))
    for planned, eager, reasons in (first, second):
        assert planned + eager == 9, reasons
    assert any("trainer.callback_metrics" in reason for reason in first[2])
    assert any("rank" in reason for reason in second[2])


# --- Trainer


def by_trainer(folder):
    as_by_torchrun()
    from transformers import TrainerCallback

    from tests.integrations.test_accelerate import fresh
    from tests.integrations.trainers import both, counts

    class Looks(TrainerCallback):
        def on_pre_optimizer_step(self, *args, **kwargs): ...

    found = {}
    folder = folder / str(dist.get_rank())
    for name, more in (
        ("plain", {}),
        ("accumulated", {"gradient_accumulation_steps": 2, "ddp_find_unused_parameters": False}),
        ("accumulated as by default", {"gradient_accumulation_steps": 2}),
        ("one rank looks", {"prepare": lambda made: made.add_callback(Looks) if dist.get_rank() else None}),
    ):
        fresh()
        _, ran = both(folder / name.replace(" ", "_"), num_train_epochs=3, **more)
        hooks = {} if ran.roam_step is None else dict(ran.roam_step.reasons)
        found[name] = (counts(ran) if ran.roam_step else None, dict(ran.roam_reasons), hooks)
    return found


@pytest.mark.slow
def test_trainer(tmp_path):
    pytest.importorskip("transformers")
    first, second = launch(by_trainer, tmp_path, tmp_path)
    for found in (first, second):
        assert found["plain"] == ((8, 0), {}, {}), found["plain"]  # and the first is by Trainer
        (planned, eager), reasons, _ = found["accumulated"]
        assert (planned + eager, reasons) == (8, {})
        assert planned >= 4, found["accumulated"]
        (_, _), reasons, hooks = found["accumulated as by default"]
        assert any("find_unused_parameters=True" in reason for reason in hooks)
        assert found["one rank looks"][0] is None
    assert any("on_pre_optimizer_step" in reason for reason in second["one rank looks"][1])
    assert any("another rank" in reason for reason in first["one rank looks"][1])
