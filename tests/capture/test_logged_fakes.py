"""Results that a fake kernel leaves out, and the real one makes."""

import copy

import torch
from torch import nn
from torch.nn import functional

import roam_lab as roam
from roam_lab.capture.logged_fakes import filled
from roam_lab.capture.torch_internals import FakeTensorMode
from roam_lab.ir.op_log import LoggedTensor


class Warped(nn.Module):
    """Looks at an image through a grid that needs no gradient."""

    def __init__(self):
        super().__init__()
        self.map = nn.Conv2d(2, 3, 1)

    def forward(self, image):
        made = self.map(image)
        grid = functional.affine_grid(
            torch.eye(2, 3)[None].expand(len(image), 2, 3) * 0.9, made.shape, align_corners=False
        )
        return functional.grid_sample(made, grid, align_corners=False).square().mean()


def test_a_grid_that_needs_no_gradient():
    torch.manual_seed(0)
    model = Warped()
    twin, batches = copy.deepcopy(model), [torch.randn(2, 2, 6, 6) for _ in range(3)]
    optimizers = [torch.optim.SGD(one.parameters(), 0.1) for one in (model, twin)]

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = model(batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = roam.hook(model, optimizers[0], step=step, cache=False, on_mismatch="error")
    for batch in batches:
        assert torch.equal(run(batch), step(twin, optimizers[1], batch))
    assert torch.equal(model.map.weight, twin.map.weight)
    assert run.planned_steps == 3


def told(*shape):
    made = torch.empty(shape)
    return LoggedTensor(shape, made.stride(), "float32", "cpu", storage=0, storage_bytes=4 * made.numel(), offset=0)


def test_what_is_filled():
    with FakeTensorMode() as mode:
        one = torch.empty(2, 3)
    full = filled((one, None), (told(2, 3), told(4, 5)))
    assert full[0] is one
    assert (full[1].shape, full[1].fake_mode) == ((4, 5), mode)
    for result in (one, (one,), (one, one), (None, None), (one, 3)):
        assert filled(result, (told(2, 3), told(4, 5))) is result
