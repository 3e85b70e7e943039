"""Checkpoints of planned trainings hold what Trainer's hold, and trainings go on from them in mid-epoch."""

import resource
import shutil

import pytest
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from tests.integrations.test_trainer import lora
from tests.integrations.trainers import bits, both, counts, files, gpt2, left, planned_of, trained

SAVING = {"save_strategy": "steps", "save_steps": 4, "eval_strategy": "no"}


@pytest.mark.parametrize("model", [gpt2, pytest.param(lora, marks=pytest.mark.slow)])  # test_trainer.py trains it
def test_checkpoints_and_going_on_from_one(tmp_path, model):
    eager, _ = both(tmp_path, model=model, **SAVING)
    assert [one.name for one in (tmp_path / "planned").iterdir()].count("checkpoint-4") == 1
    names = {name.split("/")[-1] for name in files(tmp_path / "planned")}
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} < names
    for kind in ("eager", "planned"):  # each goes on from the other's
        shutil.copytree(tmp_path / kind / "checkpoint-4", tmp_path / f"from-{kind}")
    again = trained(Trainer, tmp_path / "again-eager", model, resume=str(tmp_path / "from-planned"), **SAVING)
    resumed = trained(planned_of(Trainer), tmp_path / "again", model, resume=str(tmp_path / "from-eager"), **SAVING)
    assert left(again) == left(resumed)
    assert left(resumed)["model"] == left(eager)["model"]
    assert left(resumed)["logs"] == left(eager)["logs"][:-1] + left(resumed)["logs"][-1:]
    assert files(tmp_path / "again-eager") == files(tmp_path / "again")
    assert counts(resumed)[0] >= 4


@pytest.mark.slow
def test_the_best_model_and_early_stopping(tmp_path):
    eager, planned = both(
        tmp_path, options=lambda: {"callbacks": [EarlyStoppingCallback(1)]}, save_strategy="steps", save_steps=2,
        eval_steps=2, load_best_model_at_end=True, learning_rate=0.3, num_train_epochs=3, save_total_limit=2,
    )  # fmt: skip
    assert planned.state.global_step < 18
    assert eager.state.best_global_step == planned.state.best_global_step
    assert counts(planned)[0] >= 2


class FullDisk(TrainerCallback):
    """From the end of a step on, no file of this process can grow beyond a few hundred bytes."""

    def __init__(self, at):
        self.at, self.before = at, resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300, self.before[1]))

    def is_over(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_second_checkpoint(tmp_path):
    found = []
    for kind in (Trainer, planned_of(Trainer)):
        folder, made, full = tmp_path / kind.__name__, [], FullDisk(8)

        def prepare(trainer, made=made, full=full):
            trainer.add_callback(full)
            made.append(trainer)

        try:
            with pytest.raises(Exception, match=r".") as error:  # safetensors and torch have their own
                trained(kind, folder, prepare=prepare, **SAVING)
        finally:
            full.is_over()
        names = sorted(path.name for path in folder.rglob("*"))
        resumed = trained(kind, tmp_path / f"{kind.__name__} again", resume=str(folder / "checkpoint-4"), **SAVING)
        model = bits(made[0].model.state_dict())
        found.append([type(error.value), names, files(folder / "checkpoint-4"), model, left(resumed)])
        assert not made[0].__dict__.get("_roam_loop") or not made[0]._roam_loop.answered
    assert found[0] == found[1]
    assert counts(resumed)[0] >= 4
