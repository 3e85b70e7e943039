"""Every refusal by its wording: one line, the user's place in it where there is one, and the model still trains."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from roam_lab.capture import TrainingStep, as_step, capture_step
from roam_lab.capture.refusal import explain
from roam_lab.errors import CaptureError, DataDependentError, FirstStepError
from roam_lab.measure.eager import record

HERE = r"tests/capture/test_refusal\.py:\d+: "


class Model(nn.Module):
    def __init__(self, act=lambda y: y, layer=None):
        super().__init__()
        self.layer = layer or nn.Linear(4, 4)
        self.act = act

    def forward(self, x):
        return self.act(self.layer(x))


def branch(y):
    return y if y.sum() > 0 else -y


def size(y):
    return y[: int(y.abs().sum().item()) % 3 + 1]


def mask(y):
    return y[y > 0]


def nonzero(y):
    return y.nonzero().float() * y.sum()


def packed(y):
    return nn.utils.rnn.pack_padded_sequence(y[None], torch.tensor([2]), batch_first=True).data


def number(y):
    return y * float(y.detach().sum())


def arithmetic(y):
    return y * y.detach().sum().item()


def array(y):
    return y * torch.from_numpy(y.detach().numpy())


@torch.library.custom_op("roam_tests::opaque", mutates_args=())
def opaque(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def custom(y):
    return y * opaque(y.detach())


def mean(model, batch):
    return model(batch).mean()


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def batch():
    return torch.randn(3, 4)


def refused(kind, model, given=None, optimizer=None, step=None):
    with pytest.raises(CaptureError) as raised:
        capture_step(model, optimizer or sgd(model), batch() if given is None else given, step or as_step(mean))
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    return str(raised.value)


def trains(model, optimizer=None, step=None):
    before = [p.detach().clone() for p in model.parameters()]
    (step or as_step(mean))(model, optimizer or sgd(model), batch())
    assert any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert not any(isinstance(p.grad, torch._subclasses.FakeTensor) for p in model.parameters())


BRANCHES = "the step branches on the value or takes a shape from the contents of a tensor, so no single graph"
SHAPES = "the step takes a shape from a value, which changes from step to step; keep shapes fixed, or keep that part"
DATA = [
    (branch, DataDependentError, f"{HERE}{BRANCHES} describes it; use torch.where, or keep that part outside the step"),
    (size, DataDependentError, HERE + BRANCHES),
    (mask, DataDependentError, HERE + r"aten\.index\.Tensor makes a tensor whose shape depends on values; pad it to a"),
    (nonzero, DataDependentError, HERE + r"aten\.nonzero\.default makes a tensor whose shape depends on values"),
    (packed, DataDependentError, HERE + "a packed sequence has as many rows as its lengths add up to, and these are v"),
    (array, CaptureError, HERE + r"the step takes a tensor to NumPy, where its ops are not seen; use torch's ops, or"),
    (custom, CaptureError, HERE + r"an op cannot be captured \(There was no fake impl.*torch\.library\.register_fake"),
]


@pytest.mark.parametrize(("act", "kind", "message"), DATA, ids=lambda value: getattr(value, "__name__", None))
def test_models_that_no_graph_describes(act, kind, message):
    model = Model(act)
    assert re.match(message, refused(kind, model))
    trains(model)


@pytest.mark.parametrize(("act", "whens"), [(branch, 1), (size, 1), (number, 0), (arithmetic, 0)])
def test_a_log_of_the_eager_step_tells_the_values(act, whens):
    """Then such a step is captured as eager went, on condition that it goes that way again."""
    model, given, step = Model(act), batch(), as_step(mean)
    optimizer = sgd(model)
    log = record(TrainingStep(model, optimizer, step), given).log
    captured = capture_step(model, optimizer, given, step, log=log)
    assert len(captured.conditions) == whens
    assert all(re.match(HERE[:-2] + "$", placed.condition.source) for placed in captured.conditions)


@pytest.mark.parametrize(("act", "kind", "message"), [one for one in DATA if one[0] in (mask, nonzero, packed, array)])
def test_no_log_helps_where_ops_are_not_seen_or_have_no_fixed_shape(act, kind, message):
    model, given, step = Model(act), batch(), as_step(mean)
    optimizer = sgd(model)
    log = record(TrainingStep(model, optimizer, step), given).log
    with pytest.raises(CaptureError, match=HERE + SHAPES if act in (mask, nonzero) else message) as raised:
        capture_step(model, optimizer, given, step, log=log)
    assert type(raised.value) is kind


def test_the_line_named_is_the_very_one():
    lines = Path(__file__).read_text().splitlines()
    number = 1 + lines.index("    return y if y.sum() > 0 else -y")
    assert refused(DataDependentError, Model(branch)).startswith(f"tests/capture/test_refusal.py:{number}: ")


def test_a_size_that_is_a_tensor_is_no_matter_of_the_batch():
    """What takes a tensor for a size fails on a fake one only: the model does accept the batch."""
    message = explain(TypeError("zeros(): argument 'size' failed to unpack the object at pos 2 with FakeTensor"))
    assert isinstance(message, DataDependentError)
    assert str(message).startswith(BRANCHES)
    assert "does not accept this batch" in str(explain(TypeError("forward() takes 2 positional arguments")))


def test_batches_that_the_model_does_not_accept():
    model = Model()
    message = refused(CaptureError, model, torch.randn(3, 7))
    assert re.match(
        HERE + r"the model does not accept this batch, or the step fails \(RuntimeError: .*\[3, 7\]", message
    )
    assert message.endswith(
        "run one eager step to see it (loss= is called with model and batch, unless it is a module)"
    )
    message = refused(CaptureError, model, {"y": batch()}, step=as_step())
    assert "Model.forward (unexpected keyword argument 'y'), and no loss is given; give loss=" in message
    assert "(too many positional arguments), and" in refused(CaptureError, model, (batch(), batch()), step=as_step())
    trains(model)


def keep(model, optimizer, given, *, value):
    loss = model(given)
    loss.mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    return value(loss)


STEPS = [
    (as_step(lambda model, given: model(given)), r"the loss is not a scalar tensor \(shape \(3, 4\)\); reduce it"),
    (as_step(), r"Model returns a tensor of shape \(3, 4\), which is no loss, and none is given; give loss="),
    (as_step(lambda model, given: None), r"the loss is not a scalar tensor \(NoneType\)"),
    (as_step(lambda model, given: 2.5), r"the loss is not a scalar tensor \(float\)"),
    (partial(keep, value=lambda loss: None), r"the step returns no tensor and no number that it computes \(NoneType\)"),
    (as_step(lambda model, given: given.sum()), r".*does not require grad"),
    (as_step(nn.MSELoss()), r"a criterion needs a batch of \(inputs, targets\); give loss=, a function of"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "message"), STEPS)
def test_losses_and_steps(step, message):
    model = Model()
    assert re.match(message, refused(CaptureError, model, step=step))
    trains(model)


def test_a_function_of_inputs_and_targets_as_loss():
    """What most users try first."""
    with pytest.raises(
        CaptureError, match=r"^cross_entropy takes no \(model, batch\); give loss= .*nn\.CrossEntropyLoss"
    ):
        as_step(nn.functional.cross_entropy)


def test_an_output_without_loss():
    model = Model(lambda y: (y, y))
    message = refused(CaptureError, model, step=as_step())
    assert message == (
        "the output of Model has no .loss (tuple); pass labels in the batch, or give loss= (--loss NAME in %roam): a "
        "criterion such as nn.CrossEntropyLoss() for a batch of (inputs, targets), or a function of (model, batch)"
    )


def test_loss_and_step_at_once():
    with pytest.raises(CaptureError, match="give loss= or step=, not both: a step computes its own loss"):
        as_step(mean, keep)


def test_optimizers_over_other_parameters():
    model, other = Model(), Model()
    message = refused(CaptureError, model, optimizer=sgd(other))
    assert "the optimizer holds 2 parameter(s) that are not the model's, the first of shape (4, 4); build it" in message
    frozen = Model().requires_grad_(False)
    assert "no parameter of the optimizer is trainable; set requires_grad_(True)" in refused(CaptureError, frozen)
    trains(model)


class Counting(torch.optim.Optimizer):
    """Keeps its count as a Python number."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["count"] = self.state[p].get("count", 0) + 1
                p.add_(p.grad, alpha=-group["lr"] / self.state[p]["count"])


def test_optimizers_that_no_graph_describes():
    model = Model()
    counting = Counting(model.parameters())
    message = refused(FirstStepError, model, optimizer=counting)
    assert message.startswith("Counting makes state in its first step, or counts in Python numbers, which a captured")
    assert message.endswith("run one eager step first, or use an optimizer with state in tensors")
    trains(model, counting)
    captured = capture_step(model, counting, batch(), as_step(mean))
    assert sorted(place.path for place in captured.trace.places) == [
        f"optimizer[0].state[layer.{name}]['count']" for name in ("bias", "weight")
    ]
    assert [counting.state[p]["count"] for p in model.parameters()] == [1, 1]
    lbfgs = torch.optim.LBFGS(model.parameters())
    assert refused(CaptureError, model, optimizer=lbfgs).startswith(
        "LBFGS.step needs a closure, which it calls as often"
    )


def test_sparse_gradients():
    model = Model(layer=nn.Embedding(7, 4, sparse=True))
    message = refused(CaptureError, model, torch.tensor([1, 2]))
    assert re.match(
        HERE + r"aten\._sparse_coo_\S* makes a sparse tensor, which cannot be planned; make it dense", message
    )


WRAPPED = [
    (lambda: torch.compile(Model()), "OptimizedModule was compiled by torch.compile, which hides its ops; capture"),
    (lambda: torch.jit.trace(Model(), batch()), "TopLevelTracedModule is TorchScript, which hides its ops; capture"),
    (lambda: nn.DataParallel(Model()), "the model is wrapped in DataParallel; capture its .module, on one device"),
]  # fmt: skip


@pytest.mark.parametrize(("wrap", "message"), WRAPPED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrapped_models(wrap, message):
    assert refused(CaptureError, wrap()).startswith(message)


def test_torch_logs_no_traceback(capfd, caplog):
    refused(CaptureError, Model(), torch.randn(3, 7))
    refused(DataDependentError, Model(branch))
    assert capfd.readouterr().err == ""
    assert "Traceback" not in caplog.text
