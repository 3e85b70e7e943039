"""What a step returns besides its loss: tuples, dicts, model outputs and numbers come back as eagerly, as copies."""

import copy

import pytest
import torch
import transformers
from torch import nn

import roam_lab as roam
from roam_lab.capture.sources.output import Output
from roam_lab.capture.step import loss_in
from roam_lab.capture.torch_internals import pytree
from roam_lab.errors import CaptureError
from roam_lab.runtime.identity import digest, results_named
from tests.twins import sampled


def losses(model, optimizer, batch):
    """A step up to what it returns: loss, logits, norm of the gradients."""
    inputs, labels = batch
    logits = model(inputs)
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()
    optimizer.zero_grad()
    return loss, logits, norm


def pair(model, optimizer, batch):
    loss, logits, _ = losses(model, optimizer, batch)
    return loss.detach(), logits.detach()


def table(model, optimizer, batch):
    loss, logits, norm = losses(model, optimizer, batch)
    right = (logits.argmax(-1) == batch[1]).float().mean()
    return {"loss": loss, "norm": norm, "accuracy": right, "nested": [{"logits": logits}, None, "train"], "of": 3}


def numbers(model, optimizer, batch):
    loss, logits, norm = losses(model, optimizer, batch)
    return loss.item(), (norm * 2).item(), int((logits.argmax(-1) == batch[1]).sum())


def with_its_batch(model, optimizer, batch):
    loss, _, _ = losses(model, optimizer, batch)
    return {"loss": loss, "labels": batch[1]}


def twice(model, optimizer, batch):
    loss, logits, _ = losses(model, optimizer, batch)
    return loss, loss, logits[:, :2], logits.t()


def made():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.GELU(), nn.Linear(8, 5))
    batches = [(torch.randn(4, 6), torch.randint(0, 5, (4,))) for _ in range(4)]
    return model, torch.optim.AdamW(model.parameters(), lr=0.01), batches


def results_of(step, model, optimizer, batches, planned):
    torch.manual_seed(1)
    if not planned:
        return [pytree.tree_map_only(torch.Tensor, lambda one: one.detach().clone(), step(model, optimizer, batch))
                for batch in batches]  # fmt: skip
    profile = roam.profile(model, batches[0], optimizer, step=step)
    hooked = roam.hook(profile.plan(), model, optimizer, step=step, on_mismatch="error")
    found = [hooked(batch) for batch in batches]
    assert (hooked.planned_steps, hooked.eager_steps) == (len(batches), 0)
    return found


@pytest.mark.parametrize(
    "step", sampled([pair, table, numbers, with_its_batch, twice], 3), ids=lambda step: step.__name__
)
def test_results_are_those_of_eager_and_stay_so(step):
    model, optimizer, batches = made()
    twin, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    planned = results_of(step, model, optimizer, batches, True)
    other = torch.optim.AdamW(twin.parameters(), lr=0.01)
    other.load_state_dict(state)
    eager = results_of(step, twin, other, batches, False)
    for one, two in zip(planned, eager, strict=True):
        assert pytree.tree_structure(one) == pytree.tree_structure(two)
        for left, right in zip(pytree.tree_leaves(one), pytree.tree_leaves(two), strict=True):
            assert type(left) is type(right)
            assert digest(left) == digest(right)
            assert not isinstance(left, torch.Tensor) or not left.requires_grad
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_the_batch_comes_back_itself():
    model, optimizer, batches = made()
    results = results_of(with_its_batch, model, optimizer, batches, True)
    assert all(result["labels"] is batch[1] for result, batch in zip(results, batches, strict=True))


def test_a_model_output_comes_back_as_one():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes)).train()
    optimizer = torch.optim.AdamW(model.parameters())
    batch = {"input_ids": torch.randint(0, 20, (2, 6)), "labels": torch.tensor([0, 1])}

    def step(model, optimizer, batch):
        output = model(**batch)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return output

    plan = roam.profile(model, batch, optimizer, step=step).plan()
    hooked = roam.hook(plan, model, optimizer, step=step, on_mismatch="error")
    outputs = [hooked(batch) for _ in range(2)]
    assert all(isinstance(one, transformers.modeling_outputs.SequenceClassifierOutput) for one in outputs)
    assert outputs[0].logits.shape == (2, 2)
    assert not torch.equal(outputs[0].logits, outputs[1].logits)
    assert roam.verify(plan, model, optimizer, batch, step=step, steps=2).identical


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda model, loss: None, r"returns no tensor and no number that it computes \(NoneType\); return the loss"),
        (lambda model, loss: (3, "done"), "returns no tensor and no number"),
        (
            lambda model, loss: (loss, model),
            "the step returns a Linear, which a planned step cannot make again",
        ),
    ],
)
def test_what_cannot_come_back_is_named(result, message):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(model, optimizer, batch):
        loss = model(batch).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return result(model, loss)

    with pytest.raises(CaptureError, match=message):
        roam.profile(model, torch.randn(4, 3), optimizer, step=step)


def test_a_wrong_result_is_seen_by_the_check(monkeypatch):
    model, optimizer, batches = made()
    plan = roam.profile(model, batches[0], optimizer, step=pair).plan()
    hooked = roam.hook(plan, model, optimizer, step=pair)
    apply = Output.apply
    monkeypatch.setattr(Output, "apply", lambda self, leaves, batch: apply(self, [*leaves[:-1], leaves[-1] + 1], batch))
    with pytest.warns(roam.RoamWarning, match="result 1"):
        hooked(batches[0])
    assert hooked.planned_steps == 0


@pytest.mark.parametrize(
    ("result", "number"),
    [(torch.tensor(2.0), 2.0), ({"norm": 1.0, "loss": 3.0}, 3.0), ((torch.ones(4), 5.0), 5.0), ("none", None)],
)
def test_the_loss_is_found(result, number):
    found = loss_in(result)
    assert found == number or (number is None and found != found)


def test_results_have_names():
    assert list(results_named([1.0, (1.0, 2.0)])) == ["loss of step 1", "result 0 of step 2", "result 1 of step 2"]
