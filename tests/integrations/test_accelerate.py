"""`roam.hook` takes what `accelerator.prepare` gives: the loop trains as without it, bit for bit, by planned steps."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import roam_lab as roam
from roam_lab.errors import CaptureError
from tests.integrations.lightnings import same

accelerate = pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ROAM_CACHE", str(tmp_path / "plans"))
    yield
    fresh()


def fresh():
    """Forget the one state that all accelerators share."""
    accelerate.state.AcceleratorState._reset_state(True)
    accelerate.state.GradientState._reset_state()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Dropout(0.2), nn.GELU(), nn.Linear(32, 4))

    def forward(self, inputs, labels):
        return nn.functional.cross_entropy(self.net(inputs), labels)


def one_step(accelerator, scheduler, accumulate, scheduled):
    """The step of a script, which names its accelerator and scheduler."""

    def inner(model, optimizer, batch):
        loss = model(*batch)
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if scheduled == "in":
            scheduler.step()
        optimizer.zero_grad()
        return loss.detach()

    def accumulated(model, optimizer, batch):
        with accelerator.accumulate(model):
            return inner(model, optimizer, batch)

    return accumulated if accumulate == "in" else inner


class Training:
    """A plain loop. `planned`: its steps are those of `roam.hook`. `accumulate` and `scheduled`: whether that is done
    in the step or around it. `momentum`: of SGD, whose ops are fewer than AdamW's, where many ways are captured."""

    def __init__(self, planned, rows=40, accumulate="in", scheduled="in", model=Net, batch=8, momentum=None, **options):
        fresh()
        accelerate.utils.set_seed(0)
        self.accelerator = accelerate.Accelerator(cpu=True, **options)
        model = model()
        parameters = [one for one in model.parameters() if one.requires_grad]
        optimizer = (
            torch.optim.AdamW(parameters, lr=0.01)
            if momentum is None
            else torch.optim.SGD(parameters, lr=0.01, momentum=momentum)
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=40)
        self.data = TensorDataset(torch.randn(rows, 8), torch.randint(0, 4, (rows,)))
        prepared = self.accelerator.prepare(model, optimizer, DataLoader(self.data, batch, shuffle=True), scheduler)
        self.model, self.optimizer, self.loader, self.scheduler = prepared
        self.accumulate, self.scheduled = accumulate, scheduled
        self.one_step = one_step(self.accelerator, self.scheduler, accumulate, scheduled)
        self.step = roam.hook(self.model, self.optimizer, step=self.one_step) if planned else None
        self.losses = []

    def run(self, batch):
        loss = self.step(batch) if self.step else self.one_step(self.model, self.optimizer, batch)
        if self.scheduled == "out":
            self.scheduler.step()
        self.losses.append(loss.item())

    def epochs(self, count):
        for _ in range(count):
            self.model.train()
            for batch in self.loader:
                if self.accumulate == "out":
                    with self.accelerator.accumulate(self.model):
                        self.run(batch)
                else:
                    self.run(batch)
            self.evaluate()
        return self

    def evaluate(self):
        self.model.eval()
        with torch.no_grad():
            for batch in self.loader:
                self.losses.append(self.accelerator.gather_for_metrics(self.model(*batch)).mean().item())

    def left(self):
        """Everything that the training leaves."""
        return {
            "losses": self.losses,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "accelerator": (self.accelerator.step, self.accelerator.sync_gradients),
            "random": torch.get_rng_state(),
        }


def both(epochs=3, **options):
    """Train without and with `roam.hook`, compare everything, and return the step."""
    eager = Training(False, **options).epochs(epochs).left()
    training = Training(True, **options).epochs(epochs)
    planned = training.left()
    for name in eager:
        assert same(eager[name], planned[name]), name
    return training.step


ALONE = [{}, {"mixed_precision": "bf16"}, {"scheduled": "out"}, {"accumulate": "none"}, {"rows": 38}]
ALONE += [{"gradient_accumulation_steps": 2, "momentum": 0.9}]
"""One thing at a time: for who looks for what is wrong with one of the other loops, which have them together."""
LOOPS = [
    *(pytest.param(options, marks=pytest.mark.slow) for options in ALONE),
    {"rows": 38, "accumulate": "none", "scheduled": "out", "mixed_precision": "bf16"},
    {"gradient_accumulation_steps": 2, "momentum": 0.9, "accumulate": "out", "scheduled": "out"},
]


@pytest.mark.parametrize("options", LOOPS, ids=lambda one: "-".join(map(str, one.items())) or "plain")
def test_loops(options):
    step = both(epochs=2, **options)
    assert step.planned_steps + step.eager_steps == 10
    few = 1 if "gradient_accumulation_steps" in options else 0  # flags and counters make many ways in few steps
    assert step.eager_steps <= few, step.reasons


@pytest.mark.slow
def test_a_saved_state_is_resumed_from(tmp_path):
    left = []
    for planned in (False, True):
        folder = str(tmp_path / str(planned))
        first = Training(planned).epochs(1)
        first.accelerator.save_state(folder)
        training = Training(planned)
        training.accelerator.load_state(folder)
        training.epochs(2)
        left.append(training.left())
        if planned:
            assert (training.step.planned_steps, training.step.eager_steps) == (10, 0)
    assert same(*left)


@pytest.mark.slow
def test_lora_whose_scaling_changes():
    peft = pytest.importorskip("peft")

    def adapted():
        return peft.get_peft_model(Net(), peft.LoraConfig(r=4, lora_dropout=0.1, target_modules=["net.0", "net.4"]))

    def trained(planned):
        training = Training(planned, model=adapted, mixed_precision="bf16").epochs(1)
        for part in training.model.modules():
            if isinstance(getattr(part, "scaling", None), dict):
                part.scaling["default"] *= 0.5
        return training.epochs(1)

    eager, planned = trained(False), trained(True)
    assert same(eager.left(), planned.left())
    assert (planned.step.planned_steps, planned.step.eager_steps) == (10, 0), planned.step.reasons


@pytest.mark.slow
def test_workers_that_stay_and_a_large_data_set_are_not_walked_into():
    training = Training(True)
    training.loader = training.accelerator.prepare(DataLoader(training.data, 8, num_workers=1, persistent_workers=True))
    training.epochs(2)
    assert (training.step.planned_steps, training.step.eager_steps) == (10, 0), training.step.reasons


def test_a_loss_that_is_scaled_is_refused():
    training = Training(False)
    inner = training.optimizer.optimizer
    scaled = accelerate.optimizer.AcceleratedOptimizer(inner, scaler=torch.amp.GradScaler("cpu"))
    with pytest.raises(CaptureError, match=r"scales the loss \(mixed_precision='fp16'\), .* use 'bf16', or train"):
        roam.hook(training.model, scaled, step=training.one_step)


def test_deepspeed_is_refused():
    training = Training(False)
    wrapper = pytest.importorskip("accelerate.utils.deepspeed").DeepSpeedOptimizerWrapper
    optimizer = wrapper.__new__(wrapper)
    optimizer.optimizer = training.optimizer.optimizer
    with pytest.raises(
        CaptureError, match=r"a DeepSpeedOptimizerWrapper leaves backward pass and step to another engine"
    ):
        roam.hook(training.model, optimizer, step=training.one_step)
