"""Other shapes, accumulation, checkpointing, optimizers in hooks, layers with habits of their own."""

import copy
import functools
import inspect

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import adamw, classifier, data, inputs, mlp, sgd, slow_unless

CROSS = nn.functional.cross_entropy
NOT_ALL = {"eager", "planned"}


@pytest.mark.parametrize("on_mismatch", ["eager", "error", "replan"])
def test_last_batch_smaller(on_mismatch):
    right = {"eager": {"eager", "planned"}, "error": {"refused"}, "replan": PLANNED}[on_mismatch]
    batches = data(3) + data(1, rows=5)
    compare(lambda: classifier(batches=batches), steps=8, on_mismatch=on_mismatch, variants=2).must_be(right)


@pytest.mark.parametrize("on_mismatch", ["eager", "replan"])
def test_variable_lengths(on_mismatch):
    """Token batches of four lengths, twice round."""

    class LM(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.head = nn.Embedding(20, 12), nn.Linear(12, 20)
            self.layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True, dropout=0.1)

        def forward(self, ids):
            return CROSS(self.head(self.layer(self.emb(ids)))[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    def make():
        model, g = LM(), torch.Generator().manual_seed(3)
        batches = [torch.randint(0, 20, (4, n), generator=g) for n in (9, 6, 12, 3)]
        return Situation(model, sgd(model), batches)

    right = PLANNED if on_mismatch == "replan" else NOT_ALL
    compare(make, steps=8, on_mismatch=on_mismatch, variants=4).must_be(right)


@pytest.mark.parametrize("shape", ["one row", "no rows", "one dimension more", "other dtype"])
def test_odd_batches_in_the_middle(shape):
    def make():
        batches = data(6)
        x, y = batches[3]
        batches[3] = {
            "one row": (x[:1], y[:1]),
            "no rows": (x[:0], y[:0]),
            "one dimension more": (x[:, None].expand(8, 1, 12).transpose(1, 2).mT.squeeze(1), y),
            "other dtype": (x.double(), y),
        }[shape]
        return classifier(batches=batches)

    compare(make, steps=6, raises=RuntimeError).must_be(HONEST)


def windows(first, every=3, set_to_none=True):
    """One call a micro-batch; every third one steps. A counter decides."""

    class Trainer:
        def __init__(self):
            self.n = 0

        def __call__(self, model, optimizer, batch):
            if first and self.n % every == 0:
                optimizer.zero_grad(set_to_none=set_to_none)
            loss = CROSS(model(batch[0]), batch[1]) / every
            loss.backward()
            self.n += 1
            if self.n % every == 0:
                optimizer.step()
                if not first:
                    optimizer.zero_grad(set_to_none=set_to_none)
            return loss.detach()

    return Trainer()


@pytest.mark.parametrize("first", [True, False], ids=["cleared first", "cleared last"])
@pytest.mark.parametrize("set_to_none", [True, False], ids=["none", "zero"])
@pytest.mark.parametrize("fake", [False, True], ids=["", "fake"])
def test_accumulation_across_calls(first, set_to_none, fake):
    slow_unless(set_to_none)
    compare(lambda: classifier(step=windows(first, set_to_none=set_to_none)), steps=8, fake=fake).must_be(HONEST)


@pytest.mark.parametrize("fake", [False, True], ids=["", "fake"])
def test_accumulation_within_a_step(fake):
    def step(model, optimizer, batch):
        total = torch.zeros(())
        for x, y in zip(batch[0].chunk(4), batch[1].chunk(4), strict=True):
            loss = CROSS(model(x), y) / 4
            loss.backward()
            total += loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        return total

    compare(lambda: classifier(step=step), fake=fake).must_be(PLANNED)


@pytest.mark.parametrize(
    "how", ["backward only", "forward only", "step only", "cleared first", "zeroed", "never cleared"]
)
def test_gradients_that_stay(how):
    """Steps that leave gradients, or find them."""

    def step(model, optimizer, batch):
        if how == "cleared first":
            optimizer.zero_grad()
        loss = CROSS(model(batch[0]), batch[1])
        if how not in ("forward only", "step only"):
            loss.backward()
        if how not in ("backward only", "forward only"):
            optimizer.step()
        if how == "zeroed":
            optimizer.zero_grad(set_to_none=False)
        return loss.detach()

    compare(lambda: classifier(step=step)).must_be(HONEST)


@pytest.mark.parametrize("how", ["one each", "all in one", "galore"])
def test_optimizer_in_the_backward_pass(how):
    """An optimizer a parameter, stepped in a hook when its gradient is there."""

    def make():
        model = mlp()
        each = {p: torch.optim.SGD([p], lr=0.05, momentum=0.9) for p in model.parameters()}

        def update(p):
            if how == "galore":
                p.grad = p.grad.clamp(-0.1, 0.1)
            each[p].step()
            each[p].zero_grad()

        for p in model.parameters():
            p.register_post_accumulate_grad_hook(update)

        def step(model, optimizer, batch):
            loss = CROSS(model(batch[0]), batch[1])
            loss.backward()
            return loss.detach()

        every = tuple(each.values())
        given = every if how != "one each" else every[0]
        return Situation(model, given, data(), step=step, others={f"o{i}": o for i, o in enumerate(every)})

    verdict = compare(make).must_be(HONEST)
    assert "does not accept this batch" not in verdict.sentence


def policy(ctx, op, *args, **kwargs):
    saved = op in (torch.ops.aten.addmm.default, torch.ops.aten.mm.default)
    return CheckpointPolicy.MUST_SAVE if saved else CheckpointPolicy.PREFER_RECOMPUTE


def recompute_all(ctx, op, *args, **kwargs):
    return CheckpointPolicy.PREFER_RECOMPUTE


class Block(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.net = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 48), nn.GELU(), nn.Dropout(0.2), nn.Linear(48, 12))

    def forward(self, x):
        if self.how == "none":
            return x + self.net(x)
        if self.how in ("reentrant", "not reentrant"):
            return x + checkpoint(self.net, x, use_reentrant=self.how == "reentrant")
        if self.how == "list of ops":
            contexts = functools.partial(create_selective_checkpoint_contexts, [torch.ops.aten.addmm.default])
        else:
            contexts = functools.partial(
                create_selective_checkpoint_contexts, policy if self.how == "selective" else recompute_all
            )
        return x + checkpoint(self.net, x, use_reentrant=False, context_fn=contexts)


CHECKPOINTS = ["none", "not reentrant", "reentrant", "selective", "selective all", "list of ops"]


def checkpointed(how, rows=16):
    def make():
        model = nn.Sequential(Block(how), Block(how), nn.Linear(12, 4))
        batches = data(6, rows=rows)
        if how == "reentrant":
            batches = [(x.requires_grad_(), y) for x, y in batches]
        return classifier(model, batches=batches)

    return make


@pytest.mark.parametrize("how", CHECKPOINTS)
def test_checkpointing(how):
    compare(checkpointed(how)).must_be(HONEST if how == "reentrant" else PLANNED)


@pytest.mark.parametrize("how", ["not reentrant", "selective", "selective all", "list of ops"])
def test_checkpointing_is_not_switched_off(how):
    """What a checkpoint does not store, the captured step does not store either."""
    import roam_lab as roam

    peaks = {}
    for kind in ("none", how):
        made = checkpointed(kind, rows=2048)()
        profile = roam.profile(made.model, made.batch(0), made.optimizer, loss=made.loss)
        peaks[kind] = profile.plan().captured_peak_bytes
        assert peaks[kind] < 1.3 * profile.measured.peak_bytes
    assert peaks[how] < 0.9 * peaks["none"]


class Transposed(nn.Module):
    """A norm of an activation whose layout is not that of its shape."""

    def __init__(self, how):
        super().__init__()
        self.lift, self.norm, self.head, self.how = nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 4), how

    def forward(self, x):
        h = self.lift(x).transpose(1, 2)
        if self.how == "contiguous":
            h = h.contiguous()
        h = self.norm(h)
        return self.head(h.mean(2) if self.how == "mean" else h.transpose(1, 2)).reshape(x.shape[0], -1, 4).mean(1)


@pytest.mark.parametrize("how", ["transposed", "mean", "contiguous"])
@pytest.mark.parametrize("shape", [(4, 4, 4), (2, 16, 4), (8, 3, 4)], ids=str)
def test_norm_of_a_transpose(how, shape):
    slow_unless(shape == (2, 16, 4) or how == "transposed")

    def make():
        batches = [(x, torch.arange(shape[0]) % 4) for x in inputs(6, shape)]
        return classifier(Transposed(how), batches=batches)

    compare(make).must_be(PLANNED)


class Strided(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.first, self.last, self.how = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4), how
        self.norm = {
            "batch norm": nn.BatchNorm2d(8), "group norm": nn.GroupNorm(2, 8), "instance norm": nn.InstanceNorm2d(8),
            "silu": nn.SiLU(), "pool": nn.AvgPool2d(2), "max pool": nn.MaxPool2d(2), "prelu": nn.PReLU(8),
            "upsample": nn.Upsample(scale_factor=2), "layer norm": nn.LayerNorm([6, 6]), "dropout": nn.Dropout2d(0.3),
            "shuffle": nn.ChannelShuffle(2),
        }[how]  # fmt: skip

    def forward(self, x):
        return self.last(self.norm(self.first(x)).mean((2, 3)))


CHANNELS = [
    "batch norm", "group norm", "instance norm", "silu", "pool", "max pool", "upsample", "layer norm", "prelu",
    "dropout", "shuffle",
]  # fmt: skip


@pytest.mark.parametrize("how", CHANNELS)
@pytest.mark.parametrize("what", ["model", "batch"])
def test_channels_last(how, what):
    slow_unless(how in ("batch norm", "silu") or (what == "batch" and how in ("group norm", "max pool")))

    def make():
        model = Strided(how)
        if what == "model":
            model = model.to(memory_format=torch.channels_last)
        batches = [(x.to(memory_format=torch.channels_last), torch.arange(4)) for x in inputs(6, (4, 3, 6, 6))]
        return classifier(model, batches=batches)

    compare(make, steps=4).must_be(HONEST if how in ("shuffle", "dropout") else PLANNED)


class Complex(nn.Module):
    """Float gradients that are viewed as complex, and back."""

    def __init__(self, how):
        super().__init__()
        self.q, self.how = nn.Linear(8, 8), how
        if how == "complex parameter":
            self.turn = nn.Parameter(torch.ones(4, dtype=torch.complex64))

    def forward(self, x):
        h = self.q(x)
        if self.how == "fft":
            y = torch.fft.irfft(torch.fft.rfft(h) * 0.5, n=8)
        elif self.how == "stft":
            y = torch.view_as_real(torch.stft(h.flatten(1), 8, window=torch.hann_window(8), return_complex=True))
        elif self.how == "abs":
            y = torch.view_as_complex(h.unflatten(-1, (4, 2))).abs()
        elif self.how == "conj":
            c = torch.view_as_complex(h.unflatten(-1, (4, 2)))
            y = (c * c.conj()).real + c.imag
        else:
            turn = torch.polar(torch.ones(x.shape[1], 4), torch.outer(torch.arange(x.shape[1]).float(), torch.ones(4)))
            turn = turn * self.turn if self.how == "complex parameter" else turn
            y = torch.view_as_real(torch.view_as_complex(h.unflatten(-1, (4, 2))) * turn).flatten(-2)
        if self.how == "rotary without a norm":
            return y.pow(3).mean()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5) - 1).pow(3).mean()


@pytest.mark.parametrize("how", ["rotary", "rotary without a norm", "complex parameter", "fft", "stft", "abs", "conj"])
def test_complex_gradients(how):
    def make():
        model = Complex(how)
        return Situation(model, sgd(model), inputs(6, (2, 6, 8)))

    compare(make).must_be(PLANNED if how.startswith("rotary") else HONEST)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("padding", [False, True], ids=["", "padding"])
@pytest.mark.parametrize("grad", ["no_grad", "inference_mode"])
def test_teacher_on_the_fast_path(padding, grad):
    """In eval mode without gradients nn.TransformerEncoderLayer runs another kernel than in training."""

    def make():
        student = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True, dropout=0.1)
        teacher = copy.deepcopy(student).eval()
        mask = torch.zeros(4, 5, dtype=torch.bool)
        mask[0, 3:] = True

        def loss(model, x):
            with getattr(torch, grad)():
                goal = teacher(x, src_key_padding_mask=mask if padding else None)
            return (model(x) - goal.clone()).square().mean()

        return Situation(student, sgd(student), inputs(6, (4, 5, 12)), loss, others={"teacher": teacher})

    compare(make).must_be(HONEST)


class Recurrent(nn.Module):
    def __init__(self, kind, **given):
        super().__init__()
        self.rnn = getattr(nn, kind)(12, 8, batch_first=True, **given)
        self.head = nn.Linear(given.get("proj_size", 16 if given.get("bidirectional") else 8), 4)
        self.packed = False

    def forward(self, x):
        if self.packed:
            x = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 4, 4, 2]), batch_first=True)
            return self.head(nn.utils.rnn.pad_packed_sequence(self.rnn(x)[0], batch_first=True)[0].mean(1))
        return self.head(self.rnn(x)[0][:, -1])


RECURRENT = {
    "LSTM": ("LSTM", {}), "GRU": ("GRU", {}), "RNN": ("RNN", {}), "projected": ("LSTM", {"proj_size": 4}),
    "both ways": ("LSTM", {"bidirectional": True}), "two layers": ("LSTM", {"num_layers": 2, "dropout": 0.2}),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*RECURRENT, "packed"])
def test_recurrent(kind):
    slow_unless(kind in ("LSTM", "GRU", "packed", "projected"))

    def make():
        name, given = RECURRENT.get(kind, ("LSTM", {}))
        model = Recurrent(name, **given)
        model.packed = kind == "packed"
        return classifier(model, batches=[(x, torch.arange(4)) for x in inputs(6, (4, 5, 12))])

    compare(make, steps=4).must_be(PLANNED if kind in ("LSTM", "GRU") else HONEST)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_workspace_of_recurrent_layers_is_counted(kind):
    """What the layer's kernel keeps for itself is in the plan's figures."""
    import roam_lab as roam

    torch.manual_seed(0)
    model = Recurrent(kind)
    batch = (torch.randn(64, 64, 12), torch.randint(0, 4, (64,)))
    profile = roam.profile(model, batch, sgd(model), loss=nn.CrossEntropyLoss())
    planned, measured = profile.plan().captured_peak_bytes, profile.measured.peak_bytes
    assert 0.7 * measured < planned < 1.3 * measured


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
