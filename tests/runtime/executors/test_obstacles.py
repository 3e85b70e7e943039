"""What keeps a step from being a CUDA graph: told from the traced graph alone, with fakes of CUDA tensors."""

from types import SimpleNamespace

import pytest
import torch
from torch.fx import Graph, GraphModule

from roam_lab.capture.inputs import Input
from roam_lab.capture.provenance import META_KEY, Provenance
from roam_lab.capture.torch_internals import FakeTensorMode
from roam_lab.runtime.executors.choice import choose
from roam_lab.runtime.executors.obstacles import generators, obstacle

aten = torch.ops.aten


class Traced:
    """A captured step made by hand, as far as the rules look at it."""

    def __init__(self):
        self.graph, self.inputs, self.root = Graph(), [], torch.nn.Module()

    def tensor(self, *size, device="cuda", dtype=torch.float32):
        with FakeTensorMode():
            return torch.empty(size, device=device, dtype=dtype)

    def input(self, kind, path, value):
        node = self.graph.placeholder(f"{kind}_{len(self.inputs)}")
        node.meta["val"] = value
        self.inputs.append(Input(kind, path))
        return node

    def op(self, target, args, value=None):
        node = self.graph.call_function(target, args)
        node.meta["val"] = value
        node.meta[META_KEY] = Provenance("forward", None, "train.py:7")
        return node

    def captured(self, device="cuda", conditions=()):
        self.graph.output(None)
        module = GraphModule(self.root, self.graph)
        nodes = tuple(node for node in module.graph.nodes if node.op == "call_function")
        trace = SimpleNamespace(module=module, inputs=self.inputs, begun={}, left=range(0))
        return SimpleNamespace(trace=trace, step=SimpleNamespace(nodes=nodes), conditions=conditions, device=device)


@pytest.fixture
def traced():
    return Traced()


@pytest.fixture
def weight(traced):
    return traced.input("parameter", ("weight",), traced.tensor(4))


def test_nothing_is_in_the_way_of_kernels(traced, weight):
    scale = traced.op(aten.mul.Tensor, (weight, 2.0), traced.tensor(4))
    traced.op(aten.add_.Tensor, (weight, scale), traced.tensor(4))
    assert obstacle(traced.captured()) is None


def test_a_number_that_is_read(traced, weight):
    number = traced.op(aten._local_scalar_dense.default, (weight,), 1.0)
    assert obstacle(traced.captured()) is None  # nobody reads it
    traced.graph.erase_node(traced.graph._root.prev)
    traced.op(aten.mul.Tensor, (weight, number), traced.tensor(4))
    assert obstacle(traced.captured()) == (
        "op _local_scalar_dense_default (aten._local_scalar_dense.default, train.py:7) gives a number to the host"
    )


def test_steps_that_are_counted_on_the_host(traced):
    step = traced.input("state", (0, "weight", "step"), traced.tensor(device="cpu"))
    traced.op(aten.add_.Tensor, (step, 1), traced.tensor(device="cpu"))
    assert "state 0.weight.step lies on the host" in obstacle(traced.captured())


def test_a_batch_on_the_host(traced):
    batch = traced.input("batch", (0,), traced.tensor(4, device="cpu"))
    traced.op(aten._to_copy.default, (batch,), traced.tensor(4))
    assert obstacle(traced.captured()) == "batch 0 lies on the host, which a replay does not read again"


def test_copies_from_the_device_and_to_it(traced, weight):
    made = traced.op(aten._to_copy.default, (weight,), traced.tensor(4, device="cpu"))
    assert "_to_copy.default, train.py:7) copies between the host and the device" in obstacle(traced.captured())
    assert made.meta["val"].device.type == "cpu"


def test_numbers_on_the_host_are_arguments_of_kernels(traced, weight):
    one = traced.op(aten.scalar_tensor.default, (1.0,), traced.tensor(device="cpu"))
    traced.op(aten.add_.Tensor, (weight, one), traced.tensor(4))
    assert obstacle(traced.captured()) is None


def test_random_state(traced):
    import roam_lab.capture.rng  # noqa: F401  # defines the op

    traced.op(torch.ops.roam_lab.get_cuda_rng_state.default, (0,), traced.tensor(16, device="cpu", dtype=torch.uint8))
    assert "reads or sets the random state" in obstacle(traced.captured())


@pytest.mark.parametrize(("dtype", "waits"), [(torch.bool, True), (torch.int64, False)])
def test_an_index_by_a_mask(traced, weight, dtype, waits):
    index = traced.input("buffer", ("index",), traced.tensor(4, dtype=dtype))
    traced.op(aten.index.Tensor, (weight, [index]), traced.tensor(4))
    assert (obstacle(traced.captured()) is not None) is waits


def test_a_check_that_raises(traced, weight):
    traced.op(aten._linalg_check_errors.default, (weight, "inverse"))
    assert "waits for what a tensor holds" in obstacle(traced.captured())


def test_a_write_into_the_batch(traced, weight):
    batch = traced.input("batch", (0,), traced.tensor(4))
    traced.op(aten.add_.Tensor, (batch, weight), traced.tensor(4))
    assert "writes into the batch" in obstacle(traced.captured())


def test_a_branch_on_a_value(traced):
    condition = SimpleNamespace(text="x0 > 1", source="train.py:9")
    placed = SimpleNamespace(when="inside", condition=condition)
    assert obstacle(traced.captured(conditions=(placed,))) == "the step branches on a value (x0 > 1, train.py:9)"


def test_a_generator_of_the_cpu(traced):
    traced.root.generator = torch.Generator()
    traced.graph.get_attr("generator")
    captured = traced.captured()
    assert generators(captured) == [traced.root.generator]
    assert obstacle(captured) == "the step draws from a generator of the CPU"


def test_the_choice_has_a_reason(traced, monkeypatch):
    captured = traced.captured()
    assert choose("python", captured) == ("python", "ops run one by one from Python, which is the default")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose("cuda_graph", captured) == ("python", "torch finds no CUDA device on this machine")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose("cuda_graph", captured)[0] == "cuda_graph"
    captured.device = "cpu"
    name, reason = choose("cuda_graph", captured)
    assert (name, reason) == ("python", "the step runs on cpu, and a CUDA graph on CUDA alone")
