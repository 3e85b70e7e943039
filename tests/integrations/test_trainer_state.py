"""What a loss reads of its Trainer, and what it keeps there, logs and counts: as in Trainer, or eagerly."""

import pytest
import torch
from transformers import Trainer

from tests.integrations.trainers import ROWS, both, counts, planned_of, trained

STEPS = {"max_steps": 9, "eval_strategy": "no"}


pytestmark = pytest.mark.slow


class Annealed(Trainer):
    """A term that grows with the number of steps."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        return outputs.loss + self.state.global_step / 100 * outputs.logits.pow(2).mean()


def test_the_number_of_steps(tmp_path):
    _, planned = both(tmp_path, Annealed, max_steps=5, logging_steps=5, eval_strategy="no")
    assert counts(planned) == (4, 0)


class Epochs(Trainer):
    """Another loss in the second epoch."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        if self.state.epoch >= 1:
            return outputs.loss * 2
        return outputs.loss


def test_the_epoch(tmp_path):
    _, planned = both(tmp_path, Epochs, rows=ROWS[:12], logging_steps=6, eval_strategy="no")
    assert counts(planned) == (5, 0)


class Logging(Trainer):
    """Logs a part of its loss, as users do."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        part = outputs.logits.pow(2).mean()
        self.log({"part": part.item(), "of": 2})
        return outputs.loss + 0.1 * part


class LoggingSometimes(Logging):
    """Logs every third step."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        part = outputs.logits.pow(2).mean()
        if self.state.global_step % 3 == 0:
            self.log({"part": part.item()})
        return outputs.loss + 0.1 * part


class LoggingOverridden(Logging):
    """Adds to each log."""

    def log(self, logs, *args, **kwargs):
        logs["more"] = 1
        super().log(logs, *args, **kwargs)


@pytest.mark.parametrize("kind", [Logging, LoggingSometimes, LoggingOverridden])
def test_logs_inside_a_loss(tmp_path, kind):
    _, planned = both(tmp_path, kind, max_steps=5, logging_steps=5, eval_strategy="no")
    assert len([one for one in planned.state.log_history if "part" in one]) == (2 if kind is LoggingSometimes else 5)
    assert counts(planned) == (4, 0)


class Keeping(Trainer):
    """Keeps numbers and tensors for itself, and logs their mean with the losses."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.parts, self.calls, self.mean = [], 0, torch.zeros(())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        part = outputs.logits.abs().mean()
        self.parts.append(part.item())
        self.calls += 1
        self.mean.mul_(0.9).add_(part.detach(), alpha=0.1)
        return outputs.loss + 0.01 * part

    def log(self, logs, *args, **kwargs):
        if self.parts:
            logs = {**logs, "part": sum(self.parts) / len(self.parts), "calls": self.calls, "mean": self.mean.item()}
            self.parts.clear()
        super().log(logs, *args, **kwargs)


def test_what_a_loss_keeps(tmp_path):
    eager, planned = both(tmp_path, Keeping, **STEPS)
    assert counts(planned) == (7, 1)
    assert (eager.calls, eager.parts, eager.mean) == (planned.calls, planned.parts, planned.mean)


class Gathering(Trainer):
    """Uses accelerator.gather_for_metrics, as trl's trainers do."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        losses = outputs.logits.abs().mean((1, 2)).detach()
        self.seen.append(self.accelerator.gather_for_metrics(losses).sum().item())
        return outputs.loss

    def _get_train_sampler(self, *args):
        return torch.utils.data.SequentialSampler(range(20))  # accelerate counts 22 rows, and cuts the last batch


def test_gather_for_metrics(tmp_path):
    eager, planned = both(tmp_path, Gathering, **STEPS)
    assert eager.seen == planned.seen
    assert counts(planned) == (7, 0)
    assert planned.roam_reasons == {
        "it is the last batch of an epoch, of which accelerator.gather_for_metrics may take a part": 1
    }


class Preparing(Trainer):
    """Changes its batches in a way that depends on how many it has prepared."""

    prepared = 0

    def _prepare_inputs(self, inputs):
        self.prepared += 1
        inputs = super()._prepare_inputs(inputs)
        return {**inputs, "input_ids": (inputs["input_ids"] + self.prepared) % 128}


def test_batches_are_prepared_once(tmp_path):
    eager, planned = both(tmp_path, Preparing, **STEPS)
    assert eager.prepared == planned.prepared == 9
    assert counts(planned) == (7, 1)


class Rates(Trainer):
    """Reads the learning rate from the scheduler."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs).loss * (1 + self.lr_scheduler.get_last_lr()[0])


def test_what_belongs_to_the_loop_is_named(tmp_path):
    _, planned = both(tmp_path, Rates, **STEPS)
    assert planned.roam_step is None
    assert planned.roam_reasons == {"the step reads lr_scheduler of the Trainer, which belongs to its loop": 8}
    assert len(planned.told) == 1


class Weighted(Trainer):
    """Reads the learning rate from the optimizer."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs).loss * (1 + self.optimizer.param_groups[0]["lr"])


def test_the_optimizers_rate(tmp_path):
    _, planned = both(tmp_path, Weighted, **STEPS)
    assert counts(planned) == (7, 1)


class Late(Trainer):
    """Reads the learning rate from its fourth step on."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = model(**inputs).loss
        if self.state.global_step >= 3:
            loss = loss * (1 + self.lr_scheduler.get_last_lr()[0])
        return loss


def test_what_a_later_step_reads_of_the_loop(tmp_path):
    _, planned = both(tmp_path, Late, **STEPS)
    assert planned.roam_reasons == {"the step reads lr_scheduler of the Trainer, which belongs to its loop": 5}


class Modes(Trainer):
    """Keeps a part of the model in evaluation mode."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        model.train()
        model.transformer.h[0].eval()
        inputs = self._prepare_inputs(inputs)
        loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        self.accelerator.backward(loss)
        return loss.detach()


def test_modes_that_a_step_sets(tmp_path):
    both(tmp_path, Modes)


def test_two_trainings_of_one_trainer(tmp_path):
    found = []
    for kind in (Trainer, planned_of(Trainer)):
        trainer = trained(kind, tmp_path / kind.__name__, max_steps=4, eval_strategy="no")
        trainer.args.max_steps = 7
        trainer.train()
        found.append([p.detach().clone() for p in trainer.model.parameters()])
    assert all(map(torch.equal, *found))
    assert counts(trainer)[0] >= 7
    assert not trainer.roam_step._pool.held
    assert "step" not in vars(trainer.optimizer) or "roam" not in trainer.optimizer.step.__code__.co_filename


class Breaks(Trainer):
    """Raises an error of its own in the fifth step."""

    def compute_loss(self, *args, **kwargs):
        if self.state.global_step == 4:
            raise KeyError("the user's own")
        return super().compute_loss(*args, **kwargs)


def test_an_error_of_the_users_is_raised_and_nothing_stays_patched(tmp_path):
    made = []
    with pytest.raises(KeyError, match="the user's own"):
        trained(planned_of(Breaks), tmp_path, prepare=made.append, **STEPS)
    (trainer,) = made
    assert "clip_grad_norm_" not in vars(trainer.accelerator)
    assert trainer.state.global_step == 4
