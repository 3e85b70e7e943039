"""What CUDA takes beside a step's tensors: cuBLAS's workspaces, and the stage of a sum over rows."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from roam_lab.capture.cuda_workspace import cublas_workspace_bytes, staging_bytes

BLOCK = 512


def taken(run):
    """Bytes that `run` allocates at its peak above its result."""
    run()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = run()
    return torch.cuda.max_memory_allocated() - before - -(-result.nbytes // BLOCK) * BLOCK


def foretold(call, tensor):
    graph = make_fx(call, tracing_mode="fake")(tensor).graph
    return max(staging_bytes(node) for node in graph.nodes)


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((1024, 8000), [0]),
        ((1024, 384), [0]),
        ((8, 128, 384), [0, 1]),
        ((4096, 30522), [0]),
        ((4096, 30523), [0]),
        ((20_000, 7), [0]),
        ((100_000, 64), [0]),
        ((3000, 2), [0]),
        ((1023, 384), [0]),
        ((512, 384), [0]),
        ((1024, 1_000_000), [0]),
        ((1, 2048, 1, 96), [1]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_stage_of_a_sum(shape, dims, dtype):
    tensor = torch.empty(shape, dtype=dtype, device="cuda")
    found = foretold(lambda x: x.sum(dims, keepdim=True), tensor)
    real = taken(lambda: tensor.sum(dims, keepdim=True))
    semaphores = 4 * BLOCK if found else 0
    assert -(-found // BLOCK) * BLOCK <= real <= -(-found // BLOCK) * BLOCK + semaphores


def test_something_is_staged_at_all():
    assert foretold(lambda x: x.sum([0]), torch.empty(1024, 8000, device="cuda")) == 65_536_000
    assert foretold(lambda x: x.sum([1]), torch.empty(1024, 8000, device="cuda")) == 0
    assert foretold(lambda x: x.t().sum([0]), torch.empty(1024, 8000, device="cuda")) == 0
    assert foretold(lambda x: x.sum([0]), torch.empty(1024, 8000)) == 0
    assert foretold(lambda x: x.mul(2), torch.empty(1024, 8000, device="cuda")) == 0


def test_the_workspace_of_cublas():
    torch._C._cuda_clearCublasWorkspaces()
    matrix = torch.empty(64, 64, device="cuda", requires_grad=True)
    before = torch.cuda.memory_allocated()
    product = (matrix @ matrix).sum()
    assert torch.cuda.memory_allocated() - before == pytest.approx(cublas_workspace_bytes(matrix.device), abs=64 * 1024)
    product.backward()
    both = 2 * cublas_workspace_bytes(matrix.device)
    assert torch.cuda.memory_allocated() - before == pytest.approx(both, abs=64 * 1024)
    assert cublas_workspace_bytes(torch.device("cpu")) == 0
