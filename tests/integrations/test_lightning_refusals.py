"""What Lightning runs by itself: with the bits that it leaves without us, and one warning that names the reason."""

import dataclasses

import pytest
import torch
from torch import nn

from tests.integrations.lightnings import L, Net, both, counts, fit, rows


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path / "plans"))
    yield
    if torch.distributed.is_initialized():  # by the strategy of one of the tests
        torch.distributed.destroy_process_group()


class Manual(Net):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        loss = self.loss(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.log("loss", loss)


class Several(Net):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    def configure_optimizers(self):
        return torch.optim.Adam(self.net[0].parameters()), torch.optim.SGD(self.net[4].parameters(), lr=0.1)


class GradNorm(Net):
    def on_before_optimizer_step(self, optimizer):
        self.log_dict(L.utilities.grad_norm(self.net, norm_type=2))


class ReadsMetrics(Net):
    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("loss", loss)
        return loss * self.trainer.callback_metrics["loss"].detach()


class ReadsScheduler(Net):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("rate", self.lr_schedulers().get_last_lr()[0])
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Lbfgs(Net):
    def configure_optimizers(self):
        return torch.optim.LBFGS(self.parameters(), lr=0.1)


class WantsClosure(torch.optim.SGD):
    def step(self, closure=None):
        assert closure is not None
        return super().step(closure)


class Sharp(Net):
    def configure_optimizers(self):
        return WantsClosure(self.parameters(), lr=0.1)


@dataclasses.dataclass
class Batch:
    inputs: torch.Tensor
    labels: torch.Tensor


class OwnBatch(Net):
    def on_before_batch_transfer(self, batch, dataloader_idx):
        return Batch(*batch)

    def loss(self, batch):
        return super().loss((batch.inputs, batch.labels))


class OtherStrategy(L.strategies.DDPStrategy):
    """Whose steps nobody knows."""


L.strategies.StrategyRegistry.register("other", OtherStrategy, override=True)

REFUSED = [
    (Manual, {}, "Manual has automatic_optimization = False"),
    (Several, {}, "Several has automatic_optimization = False"),
    (GradNorm, {}, "grads.py:"),
    (ReadsMetrics, {}, "the step uses trainer.callback_metrics"),
    (ReadsScheduler, {}, "the step uses trainer.lr_scheduler_configs"),
    (Lbfgs, {}, "LBFGS.step needs a closure"),
    (OwnBatch, {}, "the batch holds a tests.integrations.test_lightning_refusals.Batch"),
    (Net, {"detect_anomaly": True}, "detect_anomaly"),
    (Net, {"profiler": "simple"}, "SimpleProfiler"),
    (Net, {"strategy": "other", "devices": 1}, "OtherStrategy, and steps are planned for one device or"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options", "message"), REFUSED, ids=lambda one: getattr(one, "__name__", None))
def test_runs_as_without_us(kind, options, message):
    roam, warned = both(kind, **options)
    assert counts(roam) == (0, 10)
    assert len(warned) == 1
    assert message in warned[0]
    assert "warned once" in warned[0]


def test_an_optimizer_that_wants_its_closure():
    roam, warned = both(Sharp)
    assert counts(roam) == (0, 10)
    assert "makes its state in its first step" in warned[0]
    assert "does not run on trial (AssertionError" in warned[1]


def test_a_scaler_is_refused():
    precision = L.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    roam, warned = both(Net, plugins=[precision])
    assert counts(roam) == (0, 10)
    assert "Trainer(precision='16-mixed') scales the loss" in warned[0]


def test_steps_that_use_the_trainer_are_lightnings_and_others_are_planned():
    class StopsItself(Net):
        def training_step(self, batch, batch_idx):
            if self.global_step == 6:
                self.trainer.should_stop = True
            return super().training_step(batch, batch_idx)

    roam, warned = both(StopsItself, max_epochs=4)
    assert counts(roam) == (6, 1)
    assert "test_lightning_refusals.py" in warned[0]
    assert "the step uses trainer.should_stop" in warned[0]


@pytest.mark.slow
def test_a_step_of_another_kind_now_and_then():
    class Skips(Net):
        def training_step(self, batch, batch_idx):
            return None if batch_idx == 2 else super().training_step(batch, batch_idx)

    roam, warned = both(Skips)
    assert counts(roam) == (8, 2)
    assert "returns no tensor" in warned[0]


def test_an_error_of_the_script_is_raised_by_lightning():
    class Fails(Net):
        def training_step(self, batch, batch_idx):
            return self.nothing

    from roam_lab.integrations.lightning import RoamCallback

    with (
        pytest.warns(UserWarning, match="does not run on trial"),
        pytest.raises(AttributeError, match="object has no attribute 'nothing'"),
    ):
        fit(Fails, [RoamCallback()])


def test_a_budget_that_cannot_be_met_is_an_error():
    from roam_lab.errors import InfeasibleError, MismatchError
    from roam_lab.integrations.lightning import RoamCallback

    with pytest.raises(InfeasibleError, match="bytes are too few"):
        fit(Net, [RoamCallback(budget=10)])

    class Leaves(Net):
        def training_step(self, batch, batch_idx):
            self.trainer.logger  # noqa: B018
            return super().training_step(batch, batch_idx)

    with pytest.raises(Exception, match=r"trainer\.logger") as raised:
        fit(Leaves, [RoamCallback(on_mismatch="error")], data=rows(16))
    assert not isinstance(raised.value, MismatchError)


@pytest.mark.slow
def test_layers_that_another_package_calls_are_the_same():
    """pytorch_lightning is the same code under another name."""
    other = pytest.importorskip("pytorch_lightning")

    from roam_lab.integrations.lightning import RoamCallback

    class Small(other.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(8, 4)

        def training_step(self, batch, batch_idx):
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    weights = []
    for more in ([], [RoamCallback()]):
        other.seed_everything(0, verbose=False)
        module = Small()
        trainer = other.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=more,
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader(rows(), 8))
        weights.append(module.net.weight.detach().clone())
    assert torch.equal(*weights)
    assert counts(more[0]) == (5, 0)
