"""A step under autocast, from its graph in 32 bits: casts, narrow results, and what stays as it is."""

from dataclasses import replace

from roam_lab.ir import Graph, Op, Storage, captured_order, check_order
from roam_lab.plan.autocast import with_autocast

F32 = {"dtype": "float32", "shape": (8,)}
X, W, H, G, N, OUT, GW, COUNT = range(8)


def step() -> Graph:
    """mm, gelu, layer norm, mm, and a gradient for the weight, which an update then reads."""
    storages = (
        Storage(32, region="resident", **F32),
        Storage(32, region="resident", **F32),
        Storage(32, kind="activation", **F32),
        Storage(32, kind="activation", **F32),
        Storage(32, kind="activation", **F32),
        Storage(32, kind="output", output=True, **F32),
        Storage(33, kind="gradient", **F32),
        Storage(8, dtype="int64", kind="temporary"),
    )
    ops = (
        Op("mm", "aten.mm.default", creates=(H,), reads=(X, W), phase="forward"),
        Op("gelu", "aten.gelu.default", after=(0,), creates=(G,), reads=(H,), phase="forward", module="h"),
        Op("norm", "aten.native_layer_norm.default", after=(1,), creates=(N,), reads=(G,), phase="forward"),
        Op("mm_1", "aten.mm.default", after=(2,), creates=(OUT,), reads=(N, W), phase="forward", module="m"),
        Op("mm_2", "aten.mm.default", after=(3,), creates=(GW,), reads=(G, X), phase="backward"),
        Op("count", "aten.add.Tensor", after=(), creates=(COUNT,), phase="update"),
        Op("sgd", "aten.add_.Tensor", after=(4,), reads=(W, GW), writes=(W,), phase="update"),
        Op("mm_3", "aten.mm.default", after=(6,), creates=(), reads=(W, X), phase="update"),
    )
    return Graph("step", storages, ops, times="measured")


def named(graph: Graph, name: str) -> Op:
    return next(op for op in graph.ops if op.name == name)


def test_products_read_and_make_16_bits():
    graph = with_autocast(step())
    assert graph is not None
    check_order(graph, captured_order(graph))
    dtype = [storage.dtype for storage in graph.storages]
    names = [op.name for op in graph.ops]
    assert names == ["cast", "cast", "mm", "gelu", "norm", "cast", "mm_1", "mm_2", "cast", "count", "sgd", "mm_3"]
    mm = named(graph, "mm")
    assert [dtype[storage] for storage in (*mm.reads, *mm.creates)] == ["bfloat16"] * 3
    assert (graph.storages[H].bytes, graph.storages[H].kind) == (16, "activation")
    assert set(mm.after) == {0, 1}
    assert graph.times is None


def test_what_is_cast_is_cast_once_and_parameters_stay():
    graph = with_autocast(step())
    assert graph is not None
    casts = [op for op in graph.ops if op.name == "cast"]
    assert [op.reads for op in casts[:3]] == [(X,), (W,), (N,)]
    assert [(op.phase, op.module) for op in casts] == [
        ("forward", None), ("forward", None), ("forward", "m"), ("backward", None),
    ]  # fmt: skip
    copies = [graph.storages[op.creates[0]] for op in casts[:3]]
    assert [(one.bytes, one.dtype, one.region, one.kind) for one in copies] == [
        (16, "bfloat16", "arena", "temporary")
    ] * 3
    assert [graph.storages[s].dtype for s in (X, W)] == ["float32", "float32"]
    assert named(graph, "mm_1").reads[1] == named(graph, "mm").reads[1]  # the weight's copy, used again
    cast_of_norm = graph.ops.index(casts[2])
    assert casts[2].after == (names_before(graph, "norm"),)
    assert cast_of_norm in named(graph, "mm_1").after


def names_before(graph: Graph, name: str) -> int:
    return next(index for index, op in enumerate(graph.ops) if op.name == name)


def test_results_follow_their_operands_but_for_the_rules():
    graph = with_autocast(step())
    assert graph is not None
    narrow = {H: "bfloat16", G: "bfloat16", N: "float32", OUT: "float32", GW: "float32", COUNT: "int64"}
    assert {storage: graph.storages[storage].dtype for storage in narrow} == narrow


def test_a_gradient_of_a_parameter_is_made_in_16_bits_and_converted_at_once():
    graph = with_autocast(step())
    assert graph is not None
    product = named(graph, "mm_2")
    (half,) = product.creates
    assert (graph.storages[half].bytes, graph.storages[half].dtype) == (17, "bfloat16")  # rounded up
    cast = graph.ops[graph.ops.index(product) + 1]
    assert (cast.reads, cast.creates, cast.after) == ((half,), (GW,), (graph.ops.index(product),))
    assert named(graph, "sgd").after == (graph.ops.index(cast),)


def test_the_update_is_left_alone():
    graph = with_autocast(step())
    assert graph is not None
    assert named(graph, "sgd").reads == (W, GW)
    assert named(graph, "mm_3").reads == (W, X)


def test_a_parameter_that_is_written_is_cast_anew():
    before = step()
    again = Op("mm_4", "aten.mm.default", after=(6,), creates=(8,), reads=(W,), phase="forward")
    graph = with_autocast(replace(before, storages=(*before.storages, Storage(32, **F32)), ops=(*before.ops, again)))
    assert graph is not None
    assert [op.reads for op in graph.ops if op.name == "cast"].count((W,)) == 2


def test_batch_norm_has_the_type_of_its_first_operand():
    before = step()
    norm = replace(before.ops[2], target="aten.native_batch_norm.default", reads=(G, W))
    graph = with_autocast(replace(before, ops=(*before.ops[:2], norm, *before.ops[3:])))
    assert graph is not None
    assert graph.storages[N].dtype == "bfloat16"
    other = replace(norm, target="aten.add.Tensor")
    graph = with_autocast(replace(before, ops=(*before.ops[:2], other, *before.ops[3:])))
    assert graph is not None
    assert graph.storages[N].dtype == "float32"  # the widest of both


def test_what_has_no_product_stays_as_it_is():
    before = step()
    assert with_autocast(replace(before, ops=before.ops[:0], storages=())) is None
    assert with_autocast(Graph("pointwise", before.storages, (replace(before.ops[1], after=(), reads=(X,)),))) is None
