"""Lightning with RoamCallback trains as without it, bit for bit, by planned steps: logs, metrics, states, files."""

import copy

import pytest
import torch
from torch import nn

from tests.integrations.lightnings import L, Net, RoamCallback, both, counts, fit, left_by, rows, same


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path / "plans"))


ALONE = [{"gradient_clip_val": 0.5}, {"precision": "bf16-mixed"}, {"precision": "bf16-true"}, {"data": rows(38)}]
"""For who looks for what is wrong with one of the others, which have them together."""
OPTIONS = [
    *(pytest.param(options, marks=pytest.mark.slow) for options in ALONE),
    pytest.param(
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value", "precision": "bf16-true", "data": rows(38)},
        marks=pytest.mark.slow,
    ),
    {"accumulate_grad_batches": 2, "data": rows(36)},
    {"limit_train_batches": 4, "val_check_interval": 2, "gradient_clip_val": 0.5, "precision": "bf16-mixed"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda one: "-".join(one))
def test_options_of_a_trainer(options):
    roam, found = both(Net, **options)
    assert roam.eager_steps == 0
    assert roam.planned_steps == 2 * options.get("limit_train_batches", 5)
    assert found == []


class EveryStep(Net):
    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class EveryEpoch(Net):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)]


class OnPlateau(Net):
    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val"}}


class WarmUp(Net):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
        optimizer.step(closure=optimizer_closure)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * min(1.0, (self.trainer.global_step + 1) / 4)


class OwnClipping(Net):
    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        if self.current_epoch > 0:
            self.clip_gradients(optimizer, gradient_clip_val=0.1, gradient_clip_algorithm="norm")


class Norm(Net):
    def on_before_optimizer_step(self, optimizer):
        self.log("norm", torch.stack([one.grad.norm() for one in self.parameters()]).norm())


class Averaged(Net):
    """Its average is one of the parameters before the step: on_before_zero_grad is called there."""

    def __init__(self):
        super().__init__()
        self.average = copy.deepcopy(self.net).requires_grad_(False)

    def on_before_zero_grad(self, optimizer):
        with torch.no_grad():
            for mean, one in zip(self.average.parameters(), self.net.parameters(), strict=True):
                mean.mul_(0.9).add_(one, alpha=0.1)


class Annealed(Net):
    def training_step(self, batch, batch_idx):
        loss = self.loss(batch) * (1 + self.global_step / 8) + self.current_epoch
        if batch_idx % 3 == 0:
            self.log("third", loss * 2)
        self.log("rate", self.optimizers().param_groups[0]["lr"])
        self.log("step", self.global_step, on_step=True, on_epoch=False)
        return {"loss": loss, "twice": loss.detach() * 2, "name": "of a step"}


class ReadsGradients(Net):
    """Between steps Lightning leaves gradients, also to what a hook calls."""

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.note()
        super().on_train_batch_end(outputs, batch, batch_idx)

    def note(self):
        self.log("gradients", sum(one.grad.norm() for one in self.parameters()))


class Collects(Net):
    def __init__(self):
        super().__init__()
        self.outputs = []

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.outputs.append(loss)
        return loss

    def on_train_epoch_end(self):
        self.log("mean", torch.stack(self.outputs).mean())
        self.outputs.clear()


KINDS = [EveryStep, EveryEpoch, OnPlateau, WarmUp, OwnClipping, Norm, Averaged, Annealed, ReadsGradients, Collects]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_hooks_schedulers_and_what_a_step_reads(kind):
    roam, found = both(kind)
    assert counts(roam) == (10, 0), roam.reasons
    assert found == []


@pytest.mark.slow
def test_metrics_of_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics")

    class Counts(Net):
        def __init__(self):
            super().__init__()
            self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=4)
            self.mean = torchmetrics.MeanMetric()

        def training_step(self, batch, batch_idx):
            logits = self.net(batch[0])
            loss = nn.functional.cross_entropy(logits, batch[1])
            self.accuracy(logits, batch[1])
            self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
            self.mean.update(loss)
            return loss

        def on_train_epoch_end(self):
            self.log("mean", self.mean.compute())
            self.mean.reset()

    roam, _ = both(Counts)
    assert counts(roam) == (10, 0), roam.reasons


class InStep(L.Callback):
    def __init__(self):
        self.count, self.scale = 0, 1.0

    def on_after_backward(self, trainer, pl_module):
        self.count += 1
        self.log("weight", pl_module.net[0].weight.grad.norm() * self.scale, on_step=True, on_epoch=False)

    def on_train_epoch_end(self, trainer, pl_module):
        self.scale *= 2


@pytest.mark.slow
def test_a_callback_inside_of_the_step():
    made = []

    def callbacks():
        made.append(InStep())
        return made[-1:]

    roam, _ = both(Net, callbacks)
    assert counts(roam) == (10, 0), roam.reasons
    assert [one.count for one in made] == [10, 10]


@pytest.mark.slow
def test_lora():
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 50, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
    lora = peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["c_attn"], fan_in_fan_out=True)

    class Adapted(Net):
        def __init__(self):
            super().__init__()
            self.net = peft.get_peft_model(transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)), lora)

        def loss(self, batch):
            return self.net(input_ids=batch[0], labels=batch[0]).loss

        def on_train_epoch_end(self):
            self.net.merge_adapter()
            self.net.unmerge_adapter()
            for part in self.net.modules():
                if isinstance(getattr(part, "scaling", None), dict):
                    part.scaling["default"] *= 0.5

        def configure_optimizers(self):
            return torch.optim.AdamW([one for one in self.parameters() if one.requires_grad], lr=0.01)

    tokens = torch.utils.data.TensorDataset(torch.randint(0, 50, (24, 8), generator=torch.Generator().manual_seed(0)))
    roam, _ = both(Adapted, data=tokens, precision="bf16-mixed", gradient_clip_val=1.0)
    assert counts(roam) == (6, 0), roam.reasons


@pytest.mark.slow
def test_checkpoints_are_eagers_and_resumed_from(tmp_path):
    logs = pytest.importorskip("lightning.pytorch.loggers")
    found = {}
    for name, more in (("eager", []), ("planned", [RoamCallback()])):
        folder = tmp_path / name
        options = {"enable_checkpointing": True, "log_every_n_steps": 1, "default_root_dir": folder}

        def logging(version, folder=folder):
            return logs.CSVLogger(folder, name="csv", version=version)

        def saving(folder=folder):
            return L.callbacks.ModelCheckpoint(folder, filename="{step}", save_top_k=-1)

        fit(EveryStep, [saving(), *more], max_epochs=1, logger=logging(0), **options)
        module, trainer = fit(
            EveryStep, [saving(), *more], max_epochs=3, ckpt_path=folder / "step=5.ckpt", logger=logging(1), **options
        )
        saved = [torch.load(folder / f"step={step}.ckpt", weights_only=False) for step in (5, 15)]
        for one in saved:
            del one["callbacks"]  # with the paths of files
        tables = [(folder / "csv" / version / "metrics.csv").read_text() for version in ("version_0", "version_1")]
        found[name] = {"saved": saved, "tables": tables, **left_by(module, trainer)}
        if more:
            assert counts(more[0]) == (10, 0)
    for key in found["eager"]:
        assert same(found["eager"][key], found["planned"][key]), key


@pytest.mark.slow
def test_another_fit_and_what_is_left_of_the_first():
    roam = RoamCallback()
    module, trainer = fit(Net, [roam])
    assert module.trainer is trainer
    assert "run" not in vars(trainer.fit_loop.epoch_loop.automatic_optimization)
    assert not any(name in vars(module) for name in ("log", "optimizer_step"))
    fit(Net, [roam], max_epochs=1)
    assert counts(roam) == (5, 0)


def test_an_interrupted_fit_leaves_lightning_as_it_was():
    class Stops(Net):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            super().on_train_batch_end(outputs, batch, batch_idx)
            if batch_idx == 3:
                raise KeyError("enough")

    roam = RoamCallback()
    L.seed_everything(0, verbose=False)
    module = Stops()
    with pytest.raises(KeyError, match="enough"):
        fit(lambda: module, [roam])
    assert counts(roam) == (4, 0)
    assert "run" not in vars(module.trainer.fit_loop.epoch_loop.automatic_optimization)
