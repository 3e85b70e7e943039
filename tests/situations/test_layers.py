"""Layers with habits of their own: checkpoints, layouts, complex numbers, fast paths, recurrent kernels."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from tests.situations.judge import HONEST, PLANNED, Situation, compare
from tests.situations.models import classifier, data, inputs, sgd, slow_unless


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
