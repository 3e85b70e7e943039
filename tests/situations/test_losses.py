"""Losses and models off the beaten track, and models that ask whether they are traced."""

import inspect

import pytest
import torch
from torch import nn

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import adamw, classifier, data, mlp, slow_unless

CROSS = nn.functional.cross_entropy


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.kept = x.shape
        ctx.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() < 1)


def functional(model, batch):
    """One inner step of MAML."""
    params = dict(model.named_parameters())
    inner = CROSS(torch.func.functional_call(model, params, (batch[0][:4],)), batch[1][:4])
    grads = torch.autograd.grad(inner, list(params.values()), create_graph=True)
    moved = {k: p - 0.1 * g for (k, p), g in zip(params.items(), grads, strict=True)}
    return CROSS(torch.func.functional_call(model, moved, (batch[0][4:],)), batch[1][4:])


def per_sample(model, batch):
    """Gradients of each sample by vmap, their norms as a penalty."""
    params = {k: v.detach() for k, v in model.named_parameters()}

    def one(p, x, y):
        return CROSS(torch.func.functional_call(model, p, (x[None],)), y[None])

    grads = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 0))(params, *batch)
    return CROSS(model(batch[0]), batch[1]) * (1 + sum(g.square().mean() for g in grads.values()))


def penalised(model, batch):
    x = batch[0].clone().requires_grad_()
    slope = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
    return CROSS(model(batch[0]), batch[1]) + slope.square().sum(1).mean()


LOSSES = {
    "custom function": lambda model, batch: CROSS(Straight.apply(model(batch[0]) * 3), batch[1]),
    "inner step": functional,
    "per-sample gradients": per_sample,
    "gradient penalty": penalised,
    "forward mode": lambda model, b: torch.func.jvp(lambda x: CROSS(model(x), b[1]), (b[0],), (b[0],))[0],
    "ctc": lambda model, batch: nn.functional.ctc_loss(
        model(batch[0]).view(4, 2, 4).log_softmax(-1), torch.tensor([[1, 2], [3, 1]]), (4, 4), (2, 2)
    ),
    "ctc with tensor lengths": lambda model, batch: nn.functional.ctc_loss(
        model(batch[0]).view(4, 2, 4).log_softmax(-1),
        torch.tensor([[1, 2], [3, 1]]),
        torch.tensor([4, 4]),
        torch.tensor([2, 2]),
    ),
    "in place on an activation": lambda model, batch: CROSS(model(batch[0]).mul_(2).relu_(), batch[1]),
    "detour by NumPy": lambda model, batch: CROSS(model(batch[0]), batch[1]) * float(numpy_mean(batch[0])),
    "sorted": lambda model, batch: model(batch[0]).sort(0).values[:4].square().mean(),
    "scattered": lambda model, batch: torch.zeros(4, 4).index_add(0, batch[1], model(batch[0])).square().mean(),
    "cdist": lambda model, batch: torch.cdist(model(batch[0]), model(batch[0]).flip(0)).mean(),
    "linear algebra": lambda model, batch: torch.linalg.svdvals(model(batch[0])).sum(),
    "einsum": lambda model, batch: torch.einsum("ij,kj->ik", model(batch[0]), model(batch[0])).logsumexp(1).mean(),
    "where nan": lambda model, batch: torch.nan_to_num(model(batch[0]).log()).mean(),
}  # fmt: skip


def numpy_mean(x):
    return x.numpy().mean()


@pytest.mark.parametrize("kind", LOSSES)
def test_losses(kind):
    slow_unless(kind not in ("einsum", "where nan", "cdist", "scattered"))
    compare(lambda: classifier(loss=LOSSES[kind])).must_be(HONEST)


def test_tied_weights():
    """Embedding and head share a parameter."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.head = nn.Embedding(12, 8), nn.Linear(8, 12, bias=False)
            self.head.weight = self.emb.weight

        def forward(self, ids):
            return CROSS(self.head(self.emb(ids))[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    def make():
        model, g = Tied(), torch.Generator().manual_seed(3)
        return Situation(model, adamw(model), [torch.randint(0, 12, (4, 6), generator=g) for _ in range(6)])

    compare(make).must_be(PLANNED)


def test_frozen_body_in_eval_mode():
    """A backbone that is frozen and stays in eval mode, whatever train() says."""

    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Dropout(0.5)).requires_grad_(False)
            self.head = nn.Linear(12, 4)

        def train(self, mode=True):
            super().train(mode)
            self.body.eval()
            return self

        def forward(self, x):
            with torch.no_grad():
                h = self.body(x)
            return self.head(h)

    compare(lambda: classifier(Frozen().train())).must_be(PLANNED)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_whole_model_in_another_dtype(dtype):
    def make():
        return classifier(mlp().to(dtype), batches=[(x.to(dtype), y) for x, y in data()])

    compare(make).must_be(PLANNED)


def test_autocast_within_the_step():
    def loss(model, batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return CROSS(model(batch[0]), batch[1])

    compare(lambda: classifier(loss=loss)).must_be(PLANNED)


@pytest.mark.parametrize("kind", ["script", "trace", "compile disabled"])
@pytest.mark.filterwarnings("ignore")
def test_compiled_parts(kind):
    def make():
        model = mlp()
        if kind == "script":
            model = torch.jit.script(model)
        elif kind == "trace":
            model = torch.jit.trace(model, torch.zeros(8, 12))
        else:
            model.forward = torch.compiler.disable(model.forward)
        return classifier(model)

    compare(make).must_be(HONEST)


ASKED = {
    "torch.compiler.is_compiling": torch.compiler.is_compiling,
    "torch.compiler.is_dynamo_compiling": torch.compiler.is_dynamo_compiling,
    "torch.compiler.is_exporting": torch.compiler.is_exporting,
    "torch.jit.is_tracing": torch.jit.is_tracing,
    "torch.jit.is_scripting": torch.jit.is_scripting,
    "torch._C._get_tracing_state": lambda: torch._C._get_tracing_state() is not None,
    "torch.fx proxies": lambda: torch.fx._symbolic_trace.is_fx_tracing(),
    "a dispatch mode": lambda: torch.utils._python_dispatch._get_current_dispatch_mode() is not None,
    "a function mode": lambda: torch.overrides._is_torch_function_mode_enabled(),
    "type of a parameter": lambda m: type(m[0].weight) is not nn.Parameter,
    "type of the batch": lambda m, x: type(x) is not torch.Tensor,
    "a fake tensor": lambda m, x: isinstance(x, torch._subclasses.FakeTensor),
    "a pointer": lambda m, x: x.data_ptr() == 0,
    "transformers' is_tracing": lambda m, x: __import__("transformers").utils.import_utils.is_tracing(x),
    "transformers' is_torchdynamo_compiling": lambda: __import__("transformers").utils.is_torchdynamo_compiling(),
}


@pytest.mark.parametrize("kind", ASKED)
def test_models_that_ask_whether_they_are_traced(kind):
    """They take another way then; eager's is right."""

    def loss(model, batch):
        if ASKED[kind](*(model, batch[0])[: len(inspect.signature(ASKED[kind]).parameters)]):
            return model(batch[0]).square().mean() * 3
        return CROSS(model(batch[0]), batch[1])

    compare(lambda: classifier(loss=loss)).must_be(HONEST)
