"""The log of an eager step leads a trace: where they part, capture ends; what fakes do not know comes from the log."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import roam_lab as roam
from roam_lab.capture import TrainingStep, as_step, capture_step
from roam_lab.capture.guide import Guide, is_compared
from roam_lab.capture.moves import is_view
from roam_lab.errors import PartedError
from roam_lab.ir.op_log import LoggedOp, LoggedTensor, OpLog
from roam_lab.measure.eager import record
from roam_lab.runtime.identity import digests

ADD, RELU = torch.ops.aten.add.Tensor, torch.ops.aten.relu.default


def tensor(shape=(2, 3), storage=0, stride=None, dtype="float32", size=None):
    stride = stride or tuple(torch.empty(shape).stride())
    return LoggedTensor(shape, stride, dtype, "cpu", storage, size or 4 * torch.Size(shape).numel(), 0)


def op(target, arguments, results, **more):
    return LoggedOp(target, tuple(arguments), (), tuple(results), **more)


def add(result=None):
    return op("aten.add.Tensor", [tensor(storage=0), tensor(storage=1)], [result or tensor(storage=2)])


def guide(*ops):
    return Guide(OpLog(ops))


@pytest.fixture
def fakes():
    """Makes fake tensors."""
    mode = FakeTensorMode()

    def make(shape=(2, 3), stride=None, dtype=torch.float32):
        with mode:
            return torch.empty_strided(shape, stride or torch.empty(shape).stride(), dtype=dtype)

    return make


def parted(message):
    return pytest.raises(PartedError, match=message)


def test_step_for_step_and_over(fakes):
    led = guide(add(), op("aten.relu.default", [tensor(storage=2)], [tensor(storage=3)]))
    a, b, c, d = (fakes() for _ in range(4))
    led.begin(ADD, (a, b), {}, None)
    led.end(c, None)
    led.begin(RELU, (c,), {}, None)
    led.end(d, None)
    led.finish()
    assert led.bytes_of == {one.untyped_storage()._cdata: 24 for one in (a, b, c, d)}


def test_another_op(fakes):
    led = guide(add())
    with parted(
        r"^train\.py:7: the captured step runs aten\.relu\.default where the eager step runs aten\.add\.Tensor"
    ):
        led.begin(RELU, (fakes(),), {}, "train.py:7")


def test_an_op_too_many(fakes):
    led = guide()
    with parted(
        r"^the captured step runs aten\.relu\.default, and the eager step is over by then \(op 0\), so the plan"
    ):
        led.begin(RELU, (fakes(),), {}, None)


def test_an_op_too_few():
    led = guide(op("aten.relu.default", [tensor()], [tensor(storage=1)], source="train.py:9"))
    with parted(r"^train\.py:9: the captured step is over where the eager step goes on with aten\.relu\.default"):
        led.finish()


def test_another_shape_is_given(fakes):
    led = guide(add())
    with parted(r"aten\.add\.Tensor is given float32\[2, 4\], in the eager step float32\[2, 3\]"):
        led.begin(ADD, (fakes((2, 4)), fakes()), {}, None)


def test_another_shape_is_returned(fakes):
    led = guide(add())
    led.begin(ADD, (fakes(), fakes()), {}, None)
    with parted(r"aten\.add\.Tensor returns float32\[3, 2\], in the eager step float32\[2, 3\]"):
        led.end(fakes((3, 2)), None)


def test_another_type(fakes):
    led = guide(add())
    with parted(r"is given float64\[2, 3\], in the eager step float32\[2, 3\]"):
        led.begin(ADD, (fakes(dtype=torch.float64), fakes()), {}, None)


def test_other_strides(fakes):
    led = guide(add())
    with parted(r"is given float32\[2, 3\] with strides \[1, 2\], in the eager step \[3, 1\]"):
        led.begin(ADD, (fakes(stride=(1, 2)), fakes()), {}, None)


def test_the_stride_of_a_dimension_of_one_entry_does_not_matter(fakes):
    led = guide(op("aten.relu.default", [tensor((1, 3), stride=(77, 1))], [tensor((1, 3), 1)]))
    led.begin(RELU, (fakes((1, 3)),), {}, None)
    led.end(fakes((1, 3)), None)
    led.finish()


def test_another_number_of_tensors(fakes):
    led = guide(add())
    with parted(r"is given 1 tensors, in the eager step 2"):
        led.begin(ADD, (fakes(), 1.0), {}, None)


def test_another_tensor_of_the_same_form(fakes):
    """Eager adds two tensors, the trace one to itself; and the other way round."""
    led = guide(add())
    one = fakes()
    with parted(r"is given another tensor than in the eager step \(float32\[2, 3\]\)"):
        led.begin(ADD, (one, one), {}, None)
    led = guide(add(), op("aten.relu.default", [tensor(storage=0)], [tensor(storage=3)]))
    a, b, c = (fakes() for _ in range(3))
    led.begin(ADD, (a, b), {}, None)
    led.end(c, None)
    with parted("is given another tensor"):
        led.begin(RELU, (b,), {}, None)


def test_a_result_that_is_an_argument(fakes):
    """Eager returned a tensor of its own, the trace returns what it was given."""
    led = guide(add())
    a, b = fakes(), fakes()
    led.begin(ADD, (a, b), {}, None)
    with parted(r"returns another tensor than in the eager step"):
        led.end(a, None)


def test_strides_of_the_real_kernel(fakes):
    led = guide(add(tensor(storage=2, stride=(1, 2))))
    a, b = fakes(), fakes()
    led.begin(ADD, (a, b), {}, None)
    given = led.correct(ADD, fakes())
    assert (given.shape, given.stride(), given.dtype) == ((2, 3), (1, 2), torch.float32)
    led.end(given, None)
    led.finish()


def test_only_the_op_that_was_asked_for_is_corrected(fakes):
    """Ops that run below it have results of their own."""
    led = guide(add(tensor(storage=2, stride=(1, 2))))
    led.begin(ADD, (fakes(), fakes()), {}, None)
    below = fakes()
    assert led.correct(RELU, below) is below
    assert led.correct(ADD, fakes()).stride() == (1, 2)


def test_views_keep_their_base(fakes):
    """The strides of a view follow from its base, whatever the log says."""
    view = torch.ops.aten.view.default
    led = guide(op("aten.view.default", [tensor()], [tensor((3, 2), stride=(1, 3))]))
    base = fakes()
    led.begin(view, (base, [3, 2]), {}, None)
    seen = base.view(3, 2)
    assert led.correct(view, seen) is seen
    with parted(r"returns float32\[3, 2\] with strides \[2, 1\], in the eager step \[1, 3\]"):
        led.end(seen, None)


def test_a_view_gets_the_strides_of_its_dimensions_of_one_entry(fakes):
    """By them kernels choose a memory format, so they are eager's, where fakes have others."""
    view = torch.ops.aten.view.default
    base_told = tensor((4, 1, 3, 3), stride=(9, 1, 3, 1))
    led = guide(op("aten.view.default", [base_told], [tensor((4, 1, 3, 3), stride=(9, 9, 3, 1), size=144)]))
    base = fakes((4, 1, 3, 3), (9, 1, 3, 1))
    led.begin(view, (base, [4, 1, 3, 3]), {}, None)
    given = led.correct(view, base.as_strided((4, 1, 3, 3), (9, 1, 3, 1)))
    assert given.stride() == (9, 9, 3, 1)
    assert given.untyped_storage()._cdata == base.untyped_storage()._cdata
    led.end(given, None)
    led.finish()


def test_a_workspace_gets_its_true_size(fakes):
    """Fakes give some kernels' workspaces no entries; eager saw how large they are."""
    led = guide(op("aten.relu.default", [tensor()], [tensor((5,), 1, dtype="uint8", size=5)]))
    led.begin(RELU, (fakes(),), {}, None)
    given = led.correct(RELU, fakes((0,), dtype=torch.uint8))
    assert tuple(given.shape) == (5,)
    led.end(given, None)
    assert led.bytes_of[given.untyped_storage()._cdata] == 5


SELECT = torch.ops.aten.select.int


def test_views_that_only_one_of_both_makes_are_passed_over(fakes):
    """Autograd makes a view once more when a proxy asks for its history; nothing is computed by it."""
    select = op("aten.select.int", [tensor()], [tensor((3,))])
    relu = op("aten.relu.default", [tensor()], [tensor(storage=1)])
    for log, views in (((relu,), 1), ((select, relu), 0), ((select, relu, select), 1), ((select, select, relu), 3)):
        led, base = guide(*log), fakes()
        for _ in range(views):
            led.begin(SELECT, (base, 0, 0), {}, None)
            led.end(base.select(0, 0), None)
        led.begin(RELU, (base,), {}, None)
        led.end(fakes(), None)
        led.finish()


def test_no_other_op_is_passed_over(fakes):
    select = op("aten.select.int", [tensor()], [tensor((3,))])
    led = guide(select, add(), op("aten.relu.default", [tensor()], [tensor(storage=1)]))
    with parted(r"runs aten\.relu\.default where the eager step runs aten\.add\.Tensor"):
        led.begin(RELU, (fakes(),), {}, None)


@pytest.mark.parametrize(
    ("target", "view"),
    [
        ("aten.select.int", True),
        ("aten.t.default", True),
        ("aten.split.Tensor", True),
        ("aten.add.Tensor", False),
        ("aten.add_.Tensor", False),
        ("aten.clone.default", False),
        ("aten.nothing_of_the_kind.default", False),
    ],
)
def test_which_ops_are_views(target, view):
    assert is_view(target) is view


def test_two_results_that_are_two_tensors_in_eager(fakes):
    """A fake kernel that returns one tensor twice where the real one returns two."""
    led = guide(op("aten.relu.default", [tensor()], [tensor(storage=1), tensor(storage=2)]))
    led.begin(RELU, (fakes(),), {}, None)
    one = fakes()
    first, second = led.correct(RELU, (one, one))
    assert first.untyped_storage()._cdata != second.untyped_storage()._cdata
    led.end((first, second), None)


def test_the_answer_of_an_op_that_returns_a_number(fakes):
    led = guide(op("aten._local_scalar_dense.default", [tensor(())], [], answer=2.5))
    assert led.answer() is None
    led.begin(torch.ops.aten._local_scalar_dense.default, (fakes(()),), {}, None)
    assert led.answer() == 2.5


def test_a_parameter_that_was_given_other_memory(fakes):
    """Eager's `p.data = q` makes p's storage that of q from then on."""
    led = guide(add(), op("aten.relu.default", [tensor(storage=2)], [tensor(storage=3)]))
    a, b, c = (fakes() for _ in range(3))
    led.begin(ADD, (a, b), {}, None)
    led.end(c, None)
    led.rebound(a, c)
    led.begin(RELU, (a,), {}, None)
    led.end(fakes(), None)
    led.finish()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("aten.add.Tensor", True),
        ("aten.clone.default", True),
        ("aten.detach.default", False),
        ("aten.lift_fresh.default", False),
        ("profiler._record_function_enter_new.default", False),
        ("prim.device.default", False),
        ("roam_lab.rand.default", False),
    ],
)
def test_of_which_ops_the_log_tells(target, message):
    assert is_compared(target) is message


class Changing(nn.Module):
    """Takes another op from its second step on."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.other = False

    def forward(self, x):
        y = self.linear(x)
        return y.relu() if self.other else y.tanh()


def test_a_capture_that_does_not_follow_its_log():
    model, batch, step = Changing(), torch.randn(3, 4), as_step(lambda model, batch: model(batch).mean())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    log = record(TrainingStep(model, optimizer, step), batch).log
    assert capture_step(model, optimizer, batch, step, log=log).trace.guided
    model.other = True
    with parted(r"test_guide\.py:\d+: the captured step runs aten\.relu\.default where the eager step runs aten\.tanh"):
        capture_step(model, optimizer, batch, step, log=log)


class ByMask(torch.optim.Optimizer):
    """Writes a setting where a mask is true, as Rprop does."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                step = p.grad.sign()
                step[step.gt(0)] = group["lr"]
                p.sub_(step)


def test_a_setting_that_is_written_by_a_mask_is_an_input():
    def trained(hooked):
        torch.manual_seed(0)
        model, batch = nn.Linear(3, 2), torch.randn(4, 3)
        optimizer = ByMask(model.parameters())
        loss = lambda model, batch: model(batch).pow(2).mean()  # noqa: E731
        step = lambda batch: as_step(loss)(model, optimizer, batch)  # noqa: E731
        if hooked:
            plan = roam.profile(model, batch, optimizer, loss=loss).plan()
            step = roam.hook(plan, model, optimizer, loss=loss, on_mismatch="error")
        losses = []
        for rate in (0.1, 0.2, 0.05):
            optimizer.param_groups[0]["lr"] = rate
            losses.append(step(batch).item())
        return losses, digests(model, optimizer)

    assert trained(hooked=True) == trained(hooked=False)


class ViewedForConvolution(nn.Module):
    """A view of the same shape: eager's has other strides in the dimension of one entry, so another kernel runs."""

    def __init__(self):
        super().__init__()
        self.linear, self.convolution = nn.Linear(5, 5), nn.Conv2d(1, 1, 4)

    def forward(self, x):
        y = self.linear(x).unsqueeze(-1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
        return self.convolution(torch.ops.aten.view(y, y.shape)).pow(2).mean()


def test_a_kernel_chosen_by_the_stride_of_a_dimension_of_one_entry():
    torch.manual_seed(0)
    model, batch, step = ViewedForConvolution(), torch.randn(6, 5, 5), as_step(lambda model, batch: model(batch))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    log = record(TrainingStep(model, optimizer, step), batch).log
    message = next(one for one in log.ops if one.target == "aten.convolution.default").arguments[0]
    captured = capture_step(model, optimizer, batch, step, log=log)
    nodes = captured.trace.module.graph.nodes
    node = next(one for one in nodes if one.target is torch.ops.aten.convolution.default)
    assert node.args[0].meta["val"].stride() == message.stride == (25, 25, 5, 1)


class Chunks(nn.Module):
    """A view without an offset, for which eager gives the tensor's own."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        y = self.linear(x).clone()
        y.as_strided((3, 2), (4, 1)).mul_(2)
        return y.as_strided((4, 2, 4), (4, 4, 1)).square().mean()


def test_a_view_without_an_offset_is_planned():
    torch.manual_seed(0)
    model = Chunks()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hook = roam.hook(model, optimizer, loss=lambda model, batch: model(batch), cache=False, on_mismatch="error")
    twin = copy.deepcopy(model)
    twins = torch.optim.SGD(twin.parameters(), lr=0.1)
    step = as_step(lambda model, batch: model(batch))
    for _ in range(3):
        batch = torch.randn(5, 4)
        assert torch.equal(hook(batch), step(twin, twins, batch))
    assert torch.equal(model.linear.weight, twin.linear.weight)
    assert hook.planned_steps == 3
