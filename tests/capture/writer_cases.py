"""Arguments for the writers of ops that have no `out=` of their own."""

import math
from functools import cache

import torch

aten = torch.ops.aten
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
NASTY = (math.nan, -0.0, 0.0, math.inf, -math.inf, 1e-30, -1.5)


def nasty(*shape, dtype=torch.float32):
    """Random numbers with NaN, both zeros and infinities among them."""
    made = torch.randn(shape)
    flat = made.view(-1)
    count = min(len(NASTY), flat.numel())
    flat[torch.randperm(flat.numel())[:count]] = torch.tensor(NASTY[:count])
    return made.to(dtype)


def turned(*shape, **kwargs):
    """Not contiguous."""
    return nasty(*shape[::-1], **kwargs).permute(*range(len(shape))[::-1])


def ids(*shape, high=7):
    return torch.randint(0, high, shape)


def x(*shape, dtype=torch.float32):
    return torch.randn(shape, dtype=dtype)


@cache
def special_cases():
    """op -> lists of arguments, for all writers that are put together by hand."""
    sources = [*(nasty(5, 6, dtype=dtype) for dtype in FLOATS), turned(5, 6), nasty(0, 6), nasty(), ids(5, 6)]
    numbers = (2, -0.0, 2.5, math.inf)
    pads = ([1, 2], [1, -2], [-1, 0, 2, 3], [0, 0], [-1, -1, -1, -1])
    mask = torch.rand(5, 6) < 0.4
    hidden = torch.randn(3, 4, 5)
    hidden[0, 1], hidden[1, 2, :3], hidden[2, 0, 1], hidden[2, 1, :] = -math.inf, -math.inf, math.nan, math.inf
    hidden[2, :, 3] = -math.inf
    cases = {
        aten.mul.Scalar: [(x, n) for x in sources for n in numbers],
        aten.div.Scalar: [(x, n) for x in sources for n in (2, 2.5, math.inf, 0.0)],
        aten.add.Scalar: [(x, n, *alpha) for x in sources for n in (2, -0.0) for alpha in ((), (3,))],
        aten.sub.Scalar: [(x, n, *alpha) for x in sources for n in (2, -0.0) for alpha in ((), (3,))],
        aten.clone.default: [(x,) for x in sources],
        aten.lift_fresh_copy.default: [(x,) for x in sources],
        aten._to_copy.default: [(x,) for x in sources],
        aten.arange.default: [(0,), (7,), (2.5,)],
        aten.zeros.default: [([3, 4],), ([0, 2],), ([],)],
        aten.ones.default: [([3, 4],), ([0, 2],), ([],)],
        aten.full.default: [([3, 4], 2.5), ([3], -0.0), ([], math.nan), ([2], 3)],
        aten.zeros_like.default: [(x,) for x in sources],
        aten.ones_like.default: [(x,) for x in sources],
        aten.full_like.default: [(x, 3) for x in sources],
        aten.new_zeros.default: [(x, [2, 3]) for x in sources],
        aten.new_ones.default: [(x, [2, 3]) for x in sources],
        aten.new_full.default: [(x, [2, 3], 3) for x in sources],
        aten.scalar_tensor.default: [(2.5,), (math.nan,), (-0.0,), (3,)],
        aten.masked_fill.Scalar: [(x, mask, n) for x in (sources[0], turned(5, 6)) for n in (-0.0, math.inf, 2)],
        aten.masked_fill.Tensor: [(nasty(6), mask, torch.tensor(n)) for n in (math.nan, -3.0)],
        aten.slice_backward.default: [(nasty(2, 6), [5, 6], 0, 1, 5, 2), (turned(5, 3), [5, 6], 1, 3, 2**63 - 1, 1)],
        aten.select_backward.default: [(nasty(6), [5, 6], 0, -1), (turned(5, 2)[:, 0], [5, 6], 1, 3)],
        aten.constant_pad_nd.default: [(x, pad, 2) for x in (sources[0], turned(5, 6), sources[5]) for pad in pads[:4]]
        + [(nasty(5, 6), pads[4])],
        aten.relu.default: [(source,) for source in (*sources, turned(5, 6), nasty(0))],
        aten._safe_softmax.default: [
            (source, dim) for source in (hidden, hidden.bfloat16(), hidden.mT, hidden[:0]) for dim in (-1, 1)
        ],
        aten.stack.default: [([nasty(2, 3), turned(2, 3)], dim) for dim in (0, 1, -1)] + [([ids(3), ids(3)],)],
        aten.sum.default: [(nasty(5, 6),), (turned(50, 600),), (ids(4, 4),), (torch.randn(7, 9).bfloat16(),)],
        aten.mean.default: [(torch.randn(50, 600),), (turned(5, 600),), (torch.randn(7, 9).half(),), (nasty(8),)],
        aten.embedding.default: [
            (nasty(7, 4, dtype=dtype), index, -1, False, False)
            for dtype in FLOATS
            for index in (ids(3, 5), ids(5, 3).T, ids(0, 3), ids(2).int())
        ]
        + [(turned(7, 4), ids(3), 2, False, False)],
        aten.embedding_dense_backward.default: [
            (make(*index.shape, 4, dtype=dtype), index, 7, padding, False)
            for dtype in (torch.float32, torch.float64)
            for make in (nasty, turned)
            for index in (ids(9, 50), ids(0, 3))
            for padding in (-1, 3, 9)
        ],
    }  # fmt: skip
    empties = (
        (aten.empty.memory_format, ([2],)),
        (aten.empty_like.default, (sources[0],)),
        (aten.empty_strided.default, ([2], [1])),
        (aten.new_empty.default, (sources[0], [2])),
        (aten.new_empty_strided.default, (sources[0], [2], [1])),
    )
    cases.update((op, [args]) for op, args in empties)
    return cases


@cache
def copied_cases():
    """op -> lists of arguments, for the ops that allocate their results, which are copied."""
    image, norm, query = x(2, 4, 8, 8), x(2, 4, 64), x(2, 3, 16, 8)
    last = image.contiguous(memory_format=torch.channels_last)
    plain = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    forms = [
        (source, x(6, 4, 3, 3), x(6), *plain) for source in (image, last, image.bfloat16().float(), image[:, :, ::2])
    ]
    forms += [(image, x(6, 2, 3, 3), None, [2, 2], [1, 1], [1, 1], False, [0, 0], 2)]
    forms += [(image, x(4, 6, 3, 3), x(6), [2, 2], [1, 1], [1, 1], True, [1, 1], 1)]
    forms += [(x(2, 4, 9), x(6, 4, 3), x(6), [1], [0], [1], False, [0], 1), (x(1, 2, 4, 5, 6), x(3, 2, 1, 1, 1), None,
              [1] * 3, [0] * 3, [1] * 3, False, [0] * 3, 1)]  # fmt: skip
    backward = [
        (
            x(*aten.convolution(*form).shape),
            *form[:2],
            [form[1].shape[0]] if form[2] is not None else None,
            *form[3:],
            mask,
        )
        for form in forms
        for mask in ([True, True, form[2] is not None], [False, True, False], [True, False, False])
    ]
    layer = aten.native_layer_norm(norm, [64], x(64), x(64), 1e-5)
    group = aten.native_group_norm(image, x(4), x(4), 2, 4, 64, 2, 1e-5)
    out, logsumexp = aten._scaled_dot_product_flash_attention_for_cpu(query, query, query, 0.0, True)
    return {
        aten.convolution.default: forms,
        aten.convolution_backward.default: backward,
        aten.native_batch_norm_backward.default: [
            (image, source, x(4), x(4), torch.rand(4), x(4), torch.rand(4), True, 1e-5, [True, mask, mask])
            for source in (image, last)
            for mask in (True, False)
        ],
        aten.native_layer_norm.default: [(norm, [64], x(64), x(64), 1e-5), (norm, [4, 64], None, None, 1e-5)],
        aten.native_layer_norm_backward.default: [
            (norm, norm, [64], *layer[1:], x(64), x(64), [True, mask, mask]) for mask in (True, False)
        ],
        aten.native_group_norm.default: [
            (image, x(4), x(4), 2, 4, 64, 2, 1e-5),
            (image, None, None, 2, 4, 64, 1, 1e-5),
        ],
        aten.native_group_norm_backward.default: [
            (image, image, *group[1:], x(4), 2, 4, 64, 2, [True, mask, mask]) for mask in (True, False)
        ],
        aten._scaled_dot_product_flash_attention_for_cpu.default: [
            (query, query, query, 0.0, causal) for causal in (0, 1)
        ],
        aten._scaled_dot_product_flash_attention_for_cpu_backward.default: [
            (query, query, query, query, out, logsumexp, 0.0, True)
        ],
    }
