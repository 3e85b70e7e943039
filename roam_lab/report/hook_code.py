"""Python that trains by a plan: for a plain loop, transformers' Trainer, Lightning and Accelerate.

A cell or the end of a script: model, optimizer, batch, loss and step are names that are there before it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from roam_lab.errors import InputError

Loop = Literal["plain", "trainer", "lightning", "accelerate"]
LOOPS: tuple[Loop, ...] = ("plain", "trainer", "lightning", "accelerate")
LOOP_NAMES = {
    "plain": "plain PyTorch",
    "trainer": "transformers Trainer",
    "lightning": "Lightning",
    "accelerate": "Accelerate",
}
STEPS = 4
"""How many steps the code runs: enough to try it before it is put into one's own loop."""

BatchKind = Literal["mapping", "sequence", "other"]


@dataclass(frozen=True, slots=True)
class Hooked:
    """What the code is for. `plan`: an expression for the path of the plan's file; `in_words`: the plan in words.
    `goals`: budget in bytes and extra_time as a fraction, for the loops that plan by themselves. `names`: of model,
    optimizer, batch, and loss or step where they were given. `batch`: how the model takes it; `criterion`: whether the
    loss is one for (inputs, targets); `several`: whether `optimizer` is a tuple of them."""

    plan: str
    in_words: str
    names: Mapping[str, str]
    batch: BatchKind = "other"
    criterion: bool = False
    goals: Mapping[str, Any] = field(default_factory=dict)
    several: bool = False

    def name(self, what: str) -> str:
        """The expression for the model, the optimizer, ... in the user's code; "a,b" in parentheses."""
        text = self.names.get(what, what)
        return ast.unparse(ast.parse(text, mode="eval")) if "," in text else text


def hook_code(loop: Loop, hooked: Hooked) -> str:
    """The code, which runs STEPS steps. Raises InputError where that loop cannot take such a step."""
    if loop != "plain" and loop != "accelerate" and "step" in hooked.names:
        raise InputError(
            f"{LOOP_NAMES[loop]} has a training step of its own, and this profile was made with --step; export the "
            "code for plain PyTorch or Accelerate"
        )
    if hooked.several and loop in ("trainer", "lightning"):
        raise InputError(
            f"{LOOP_NAMES[loop]} trains by one optimizer, and this step has several; export the code for plain PyTorch "
            "or Accelerate"
        )
    made = "" if "optimizer" in hooked.names else _default_optimizer(hooked)
    return made + {"plain": _plain, "trainer": _trainer, "lightning": _lightning, "accelerate": _accelerate}[loop](
        hooked
    )


def _default_optimizer(hooked: Hooked) -> str:
    """A line that makes the optimizer that a profile assumes where none was given."""
    return f"import torch\n\noptimizer = torch.optim.AdamW({hooked.name('model')}.parameters())\n\n"


def _plain(hooked: Hooked) -> str:
    how = "".join(f", {key}={hooked.name(key)}" for key in ("loss", "step") if key in hooked.names)
    return f"""import roam_lab as roam

plan = roam.load({hooked.plan})  # {hooked.in_words}
step = roam.hook(plan, {hooked.name("model")}, {hooked.name("optimizer")}{how})
for number in range({STEPS}):
    result = step({hooked.name("batch")})  # parameters and optimizer state are updated in place
    print(f"step {{number}}: {{result}}")
print(f"{{step.planned_steps}} planned, {{step.eager_steps}} eager", step.reasons or "")
"""


def _accelerate(hooked: Hooked) -> str:
    model, optimizer, batch = (hooked.name(key) for key in ("model", "optimizer", "batch"))
    if "step" in hooked.names:
        defined, step = "", hooked.name("step")
    else:
        step = "train_step"
        each = "for each in optimizer:\n        each" if hooked.several else "optimizer"
        defined = f"""

def train_step(model, optimizer, batch):
    loss = {_loss(hooked)}
    accelerator.backward(loss)
    {each}.step()
    {each}.zero_grad()
    return loss.detach()

"""
    prepared = f"{model}, {optimizer} = accelerator.prepare({model}, {optimizer})"
    if hooked.several:
        prepared = f"{model}, *prepared = accelerator.prepare({model}, *{optimizer})\n{optimizer} = tuple(prepared)"
    return f"""import roam_lab as roam
from accelerate import Accelerator

accelerator = Accelerator(cpu={_on_cpu(hooked)})
{prepared}
{defined}
step = roam.hook({model}, {optimizer}, step={step}{_goals(hooked)})  # planned at its first call, kept on disk
for number in range({STEPS}):
    result = step({batch})
    print(f"step {{number}}: {{result}}")
print(f"{{step.planned_steps}} planned, {{step.eager_steps}} eager", step.reasons or "")
"""


def _trainer(hooked: Hooked) -> str:
    if hooked.batch != "mapping" or "loss" in hooked.names:
        raise InputError(
            "transformers' Trainer calls model(**batch) and takes the output's own loss; this step is another, so "
            "export the code for plain PyTorch, Lightning or Accelerate"
        )
    model, optimizer, batch = (hooked.name(key) for key in ("model", "optimizer", "batch"))
    return f"""from tempfile import mkdtemp

from transformers import Trainer, TrainingArguments

from roam_lab.integrations.trainer import RoamMixin


class PlannedTrainer(RoamMixin, Trainer): ...


size = len(next(iter({batch}.values())))
rows = [{{key: value[row] for key, value in {batch}.items()}} for row in range(size)]  # put your own dataset here
arguments = TrainingArguments(
    mkdtemp(), per_device_train_batch_size=size, max_steps={STEPS}, max_grad_norm=0.0, logging_steps=1,
    save_strategy="no", report_to=[], use_cpu={_on_cpu(hooked)}, disable_tqdm=True,
)  # fmt: skip
trainer = PlannedTrainer(
    model={model}, args=arguments, train_dataset=rows, optimizers=({optimizer}, None){_goals(hooked)}
)
trainer.train()
planned = trainer.roam_step.planned_steps if trainer.roam_step else 0
print(f"{{planned}} planned; the first step is Trainer's own", trainer.roam_reasons or "")
"""


def _lightning(hooked: Hooked) -> str:
    model, optimizer, batch = (hooked.name(key) for key in ("model", "optimizer", "batch"))
    return f"""import lightning
from torch.utils.data import DataLoader

from roam_lab.integrations.lightning import RoamCallback


class Planned(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = {model}

    def training_step(self, batch, index):
        return {_loss(hooked, "self.model")}

    def configure_optimizers(self):
        return {optimizer}


planned = RoamCallback({_goals(hooked).removeprefix(", ")})
trainer = lightning.Trainer(
    max_steps={STEPS}, accelerator="{"cpu" if _on_cpu(hooked) else "auto"}", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, callbacks=[planned],
)  # fmt: skip
trainer.fit(Planned(), DataLoader([{batch}] * {STEPS}, batch_size=None))  # put your own loader here
print(f"{{planned.planned_steps}} planned, {{planned.eager_steps}} eager", planned.reasons or "")
"""


def _loss(hooked: Hooked, model: str = "model") -> str:
    """An expression of `model` and `batch`, as `roam.profile` computes the loss."""
    if hooked.criterion:
        return f"{hooked.name('loss')}({model}(batch[0]), batch[1])"
    if "loss" in hooked.names:
        return f"{hooked.name('loss')}({model}, batch)"
    calls = {"mapping": f"{model}(**batch).loss", "sequence": f"{model}(*batch)", "other": f"{model}(batch)"}
    return calls[hooked.batch]


def _goals(hooked: Hooked) -> str:
    return "".join(f", {key}={hooked.goals[key]!r}" for key in ("budget", "extra_time") if hooked.goals.get(key))


def _on_cpu(hooked: Hooked) -> bool:
    return bool(hooked.goals.get("device", "cpu") == "cpu")
