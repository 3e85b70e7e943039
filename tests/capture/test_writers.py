"""Writers: bit for bit what the op itself returns, in the place that was given, never resized."""

import warnings

import pytest
import torch

from roam_lab.capture import writers
from roam_lab.capture.workspace import workspace_bytes
from roam_lab.capture.writers import find_writer, out_overload, writer_for
from roam_lab.runtime.identity import digest
from tests.capture.writer_cases import FLOATS, copied_cases, ids, nasty, special_cases, turned, x

aten = torch.ops.aten
MARGIN = 256


def placed(like):
    """A place like an op's result inside a larger block full of rubbish, and that block."""
    block = torch.full((like.untyped_storage().nbytes() + 2 * MARGIN,), 0xA5, dtype=torch.uint8)
    offset = MARGIN // like.element_size() + like.storage_offset()
    return torch.empty(0, dtype=like.dtype).set_(block.untyped_storage(), offset, like.shape, like.stride()), block


def written(op, *args, **kwargs):
    """(results of the op, the same by its writer), or None where it has none; fails when an output moves."""
    torch.manual_seed(7)
    expected = op(*args, **kwargs)
    node = torch.fx.Graph().call_function(op, args, kwargs)
    node.meta["val"] = expected
    writer = find_writer(node)
    if writer is None:
        return None
    expected = list(expected) if isinstance(expected, list | tuple) else [expected]
    if writer.function is None:
        return [], []
    outs, blocks = zip(*((None, None) if one is None else placed(one) for one in expected), strict=True)
    expected, blocks = ([one for one in these if one is not None] for these in (expected, blocks))
    given = [out for out in outs if out is not None]
    addresses = [out.data_ptr() for out in given]
    torch.manual_seed(7)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")  # torch warns when it resizes an output
        if writer.names:
            writer.function(*args, **kwargs, **dict(zip(writer.names, outs, strict=True)))
        else:
            writer.function(outs, *args, **kwargs)
    assert [out.data_ptr() for out in given] == addresses
    assert [out.shape for out in given] == [value.shape for value in expected]
    for block in blocks:
        assert bool((block[:MARGIN] == 0xA5).all() and (block[-MARGIN:] == 0xA5).all()), "it wrote beyond its place"
    return expected, given


def assert_same(op, *args, **kwargs):
    found = written(op, *args, **kwargs)
    assert found is not None, f"{op} has no writer"
    assert [digest(value) for value in found[0]] == [digest(value) for value in found[1]], op


HAND_MADE = {**writers.SPECIAL, **writers.CPU_ONLY, **dict.fromkeys(sorted(writers.EMPTY, key=str))}


@pytest.mark.parametrize("op", HAND_MADE, ids=str)
def test_hand_made(op):
    torch.manual_seed(0)
    for args in special_cases()[op] if op in special_cases() else copied_cases()[op]:
        assert_same(op, *args)


@pytest.mark.parametrize("target", [*FLOATS, torch.int64, torch.bool])
def test_conversions(target):
    torch.manual_seed(0)
    for source in (torch.randn(5, 6), torch.randn(6, 5, dtype=torch.float64).T, ids(4, 3), torch.rand(4) < 0.5):
        assert_same(aten._to_copy.default, source, dtype=target)


def test_ranges_and_fills_of_a_given_dtype():
    for dtype in (torch.float32, torch.int64, torch.bfloat16):
        assert_same(aten.arange.default, 9, dtype=dtype)
        assert_same(aten.full.default, [3], 2.5, dtype=dtype)
        assert_same(aten.scalar_tensor.default, 2, dtype=dtype)


def foreach_cases():
    a, b, c = ([x(3, 4)] for _ in range(3))
    yield from (
        (getattr(aten, f"_foreach_{name}").default, (a,)) for name in ("sqrt", "neg", "abs", "exp", "reciprocal")
    )
    for name in ("add", "sub", "mul", "div", "maximum", "minimum", "clamp_max"):
        op = getattr(aten, f"_foreach_{name}")
        yield from ((op.List, (a, b)), (op.Scalar, (a, 2.5)), (op.ScalarList, (a, [1.5])))
    yield aten._foreach_add.List, (a, [-a[0]])
    yield from ((op.Scalar, (a, b, c, 0.5)) for op in (aten._foreach_addcmul, aten._foreach_addcdiv))
    yield from ((op.ScalarList, (a, b, c, [0.5])) for op in (aten._foreach_addcmul, aten._foreach_addcdiv))
    yield from ((aten._foreach_lerp.Scalar, (a, b, 0.3)), (aten._foreach_pow.Scalar, (a, 2)))
    yield aten._foreach_mul.Tensor, (a, torch.tensor(0.5))
    yield aten._foreach_sign.default, ([nasty(3, 4)],)


def test_foreach_lists_of_one():
    torch.manual_seed(0)
    for op, args in foreach_cases():
        assert_same(op, *args)


def reductions():
    y = x(4, 5, 6)
    for dims, keep in (([1], False), ([0, 2], True), ([-1], True), ([0, 1, 2], False)):
        yield from ((op.dim_IntList, (y, dims, keep)) for op in (aten.sum,))
        yield from ((op, (y, dims, keep)) for op in (aten.mean.dim, aten.amax.default, aten.amin.default))
        yield from ((aten.var.correction, (y, dims)), (aten.logsumexp.default, (y, dims, keep)))
        yield from ((aten.linalg_vector_norm.default, (y, 2, dims, keep)), (aten.var_mean.correction, (y, dims)))
    yield from ((op.default, (y,)) for op in (aten.sum, aten.mean, aten.max, aten.prod, aten.any))
    yield from ((aten.max.dim, (y, 1)), (aten.argmax.default, (y, 1)), (aten.cumsum.default, (y, 1)))
    yield from ((aten.topk.default, (y, 3)), (aten.sort.default, (y, 1)), (aten.cumprod.default, (y, 1)))
    yield from (
        (aten.all.dim, (y > 0, 1)),
        (aten.sum.dim_IntList, (turned(4, 5), [0])),
        (aten.mean.dim, (x(0, 3), [1])),
    )


def losses():
    y, t = x(6, 5), torch.randint(0, 5, (6,))
    for how in (0, 1, 2):
        for op in (aten.mse_loss, aten.smooth_l1_loss, aten.huber_loss, aten.soft_margin_loss):
            yield op.default, (y, x(6, 5), how)
            yield getattr(aten, f"{op.__name__}_backward").default, (
                x(6, 5) if how == 0 else x(), y, x(6, 5), how, *([1.0] if op.__name__[0] in "h" else []),
                *([1.0] if op.__name__.startswith("smooth") else []),
            )  # fmt: skip
        yield aten.binary_cross_entropy.default, (torch.rand(6, 5), torch.rand(6, 5), None, how)
        yield aten.binary_cross_entropy_with_logits.default, (y, torch.rand(6, 5), None, None, how)
        yield aten.nll_loss_forward.default, (y, t, None, how, -100)
        yield aten.nll_loss_forward.default, (y, t, torch.rand(5), how, 2)
        yield aten.multi_margin_loss.default, (y, t, 1, 1, None, how)
        yield aten.nll_loss2d_forward.default, (x(6, 5, 2, 2), torch.randint(0, 5, (6, 2, 2)), None, how, -100)
        total = torch.tensor(6.0)
        grad = x(6) if how == 0 else x()
        yield aten.nll_loss_backward.default, (grad, y, t, None, how, -100, total)
        yield aten.kl_div.default, (y, torch.rand(6, 5), how)


def pointwise():
    y, z = x(4, 5), x(4, 5)
    for name in ("relu", "gelu", "silu", "tanh", "sigmoid", "exp", "log", "sqrt", "rsqrt", "neg", "abs", "erf", "sin",
                 "cos", "reciprocal", "hardswish", "mish", "softplus", "elu", "leaky_relu", "hardtanh", "sign", "log1p",
                 "bitwise_not", "logical_not", "isnan", "softshrink", "log_sigmoid_forward"):  # fmt: skip
        yield getattr(aten, name).default, (ids(4, 5) if name.startswith("bitwise") else y,)
    for name in ("add", "sub", "mul", "div", "pow", "atan2", "maximum", "minimum", "fmod", "remainder"):
        packet = getattr(aten, name)
        overload = {"pow": "Tensor_Tensor", "maximum": "default", "minimum": "default", "atan2": "default"}
        yield getattr(packet, overload.get(name, "Tensor")), (y.abs(), turned(4, 5) if name in "addmul" else z)
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        yield from ((getattr(aten, name).Tensor, (y, z)), (getattr(aten, name).Scalar, (y, 0.5)))
    yield from ((getattr(aten, name).Tensor, (ids(4), ids(4))) for name in ("bitwise_and", "bitwise_or", "bitwise_xor"))
    yield from ((aten.logical_and.default, (y > 0, z > 0)), (aten.where.self, (y > 0, y, z[:1])))
    yield from ((aten.pow.Tensor_Scalar, (y, 2)), (aten.pow.Scalar, (2.0, y)), (aten.clamp.default, (y, -0.5, 0.5)))
    yield from ((aten.lerp.Scalar, (y, z, 0.3)), (aten.addcmul.default, (y, z, z)), (aten.addcdiv.default, (y, z, z)))
    yield aten.add.Tensor, (x(4, 1), x(5))
    for name in ("tanh_backward", "sigmoid_backward", "gelu_backward", "silu_backward", "hardswish_backward"):
        yield getattr(aten, name).default, (y, z)
    yield from ((aten.threshold_backward.default, (y, z, 0)), (aten.leaky_relu_backward.default, (y, z, 0.1, False)))
    yield from ((aten.elu_backward.default, (y, 1, 1, 1, False, z)), (aten.softplus_backward.default, (y, z, 1, 20)))
    yield from ((aten.hardtanh_backward.default, (y, z, -1, 1)), (aten.glu.default, (x(4, 6),)))
    yield aten.glu_backward.default, (x(4, 3), x(4, 6), 1)


def matrices_and_shapes():
    y = x(4, 5)
    yield from ((aten.mm.default, (y, x(5, 3))), (aten.addmm.default, (x(3), y, x(5, 3))))
    yield from (
        (aten.bmm.default, (x(2, 4, 5), x(2, 5, 3))),
        (aten.baddbmm.default, (x(2, 4, 3), x(2, 4, 5), x(2, 5, 3))),
    )
    yield from ((aten.addmm.default, (x(4, 3), y, x(3, 5).T)), (aten.mm.default, (x(0, 5), x(5, 3))))
    yield from ((aten.mv.default, (y, x(5))), (aten.dot.default, (x(5), x(5))), (aten.cat.default, ([y, x(2, 5)], 0)))
    yield from ((aten.cat.default, ([y, y[:, :0], turned(4, 3)], 1)), (aten.stack.default, ([y, y], 1)))
    yield from ((aten.index.Tensor, (y, [ids(3, high=4)])), (aten.index_select.default, (y, 0, ids(3, high=4))))
    yield from (
        (aten.gather.default, (y, 1, ids(4, 2, high=5))),
        (aten.tril.default, (y,)),
        (aten.flip.default, (y, [0])),
    )
    yield aten.scatter.src, (y, 1, ids(4, 2, high=5), x(4, 2))
    yield from (
        (aten.scatter.value, (y, 1, ids(4, 2, high=5), 2)),
        (aten.scatter_add.default, (y, 1, ids(4, 2, high=5), x(4, 2))),
    )
    yield aten.index_add.default, (y, 0, ids(3, high=4), x(3, 5))
    yield from (
        (aten.roll.default, (y, [1], [0])),
        (aten.repeat.default, (y, [2, 1])),
        (aten.bernoulli.default, (y.abs() % 1,)),
    )
    for op in (aten._softmax, aten._log_softmax):
        yield from ((op.default, (y, 1, False)), (op.default, (x(4, 5, 6), 1, False)))
        yield getattr(aten, f"{op.__name__}_backward_data").default, (y, x(4, 5), 1, torch.float32)


def images():
    y = x(2, 4, 8, 8)
    for z in (y, y.contiguous(memory_format=torch.channels_last)):
        yield from ((aten.max_pool2d_with_indices.default, (z, [2, 2], [2, 2])), (aten.avg_pool2d.default, (z, [2, 2])))
        yield from ((aten._adaptive_avg_pool2d.default, (z, [3, 3])), (aten.upsample_nearest2d.default, (z, [16, 16])))
        yield from (
            (aten.upsample_bilinear2d.default, (z, [16, 16], False)),
            (aten.reflection_pad2d.default, (z, [1, 1, 1, 1])),
        )
        pooled, where = aten.max_pool2d_with_indices(z, [2, 2], [2, 2])
        yield aten.max_pool2d_with_indices_backward.default, (
            x(*pooled.shape), z, [2, 2], [2, 2], [0, 0], [1, 1], False, where)  # fmt: skip
        yield aten.avg_pool2d_backward.default, (x(*pooled.shape), z, [2, 2], [], [0, 0], False, True, None)
        yield aten._adaptive_avg_pool2d_backward.default, (x(2, 4, 3, 3), z)
        yield aten.upsample_nearest2d_backward.default, (x(2, 4, 16, 16), [16, 16], [2, 4, 8, 8])
        yield aten.upsample_bilinear2d_backward.default, (x(2, 4, 16, 16), [16, 16], [2, 4, 8, 8], False)
        yield aten.native_batch_norm.default, (z, x(4), x(4), None, None, True, 0.1, 1e-5)
        yield aten.native_group_norm.default, (y, x(4), x(4), 2, 4, 64, 2, 1e-5)
        yield aten.native_layer_norm.default, (z, [8, 8], x(8, 8), x(8, 8), 1e-5)
        yield aten.convolution.default, (z, x(3, 4, 3, 3), x(3), [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    yield aten.native_dropout.default, (y, 0.3, True)


GROUPS = (reductions, losses, pointwise, matrices_and_shapes, images)
REQUIRED = {
    "reductions": 24, "losses": 28, "pointwise": 70, "matrices_and_shapes": 23, "images": 18,
}  # fmt: skip
"""At least so many cases of each group are written in place: a change that loses writers costs memory."""


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_common_ops(group):
    """Where ATen writes by itself, it writes the same bits into the very place, without a resize."""
    torch.manual_seed(0)
    differing, count = [], 0
    for op, args in group():
        try:
            found = written(op, *args)
        except (UserWarning, AssertionError) as moved:
            differing.append(f"{op}: {moved}")
            continue
        if found is not None:
            count += 1
            if [digest(value) for value in found[0]] != [digest(value) for value in found[1]]:
                differing.append(f"{op} differs")
    assert differing == []
    assert count >= REQUIRED[group.__name__]


def test_no_writer_for_what_a_place_cannot_hold():
    node = torch.fx.Graph().call_function(aten.add_.Tensor, (x(2), x(2)))
    node.meta["val"] = x(2)
    assert find_writer(node) is None  # writes in place
    assert out_overload(aten.convolution.default, "cpu") is None  # generated: it would run and copy
    assert out_overload(aten.mm.default, "cpu") is aten.mm.out
    assert out_overload(aten.mm.default, "xpu") is None
    assert written(aten.embedding_dense_backward.default, x(3, 4), ids(3), 7, -1, True) is None  # scaled by frequency
    half = x(3, 4, dtype=torch.bfloat16)
    assert written(aten.embedding_dense_backward.default, half, ids(3), 7, -1, False) is None  # sums in another way


@pytest.mark.parametrize(
    "name", ["mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "soft_margin_loss"]
)
@pytest.mark.parametrize("reduction", [1, 2])
def test_a_reduced_loss_keeps_its_place_and_no_unreduced_storage(name, reduction):
    """ATen's result is as large as the unreduced loss; what is written is not, and is the same number."""
    op = getattr(aten, name).default
    values = (torch.rand(300), torch.rand(300), *([None] if "cross_entropy" in name else []), reduction)
    out = torch.empty(())
    address = out.data_ptr()
    writer_for(op, values, out).function([out], *values)
    assert out.data_ptr() == address
    assert out.untyped_storage().nbytes() == 4
    assert torch.equal(out, op(*values))
    given = torch.fx.Graph()
    places = [given.placeholder(f"x{index}") for index in range(2)]
    for place in places:
        place.meta["val"] = values[0]
    node = given.call_function(op, (*places, *values[2:]))
    node.meta["val"] = out
    assert workspace_bytes(node) == 4 * 300
    if name != "huber_loss":
        assert op(*values).untyped_storage().nbytes() == 4 * 300
