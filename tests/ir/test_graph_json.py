"""roam-graph/2 and /1: what a reader refuses, by wording, and that nothing is lost on the way through a file."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roam_lab.errors import FormatError, InputError
from roam_lab.ir import Device, Graph, Op, Storage, fingerprint, load_graph, save_graph
from roam_lab.ir.graph import MOST_BYTES
from roam_lab.ir.graph_json import graph_from_data, graph_to_data
from tests.plan.graphs import random_graph


def data(**changes: Any) -> dict[str, Any]:
    """A whole small graph, with top-level keys replaced."""
    whole = {
        "format": "roam-graph/2",
        "name": "small",
        "storages": [{"bytes": 8}, {"bytes": 4, "output": True}],
        "ops": [
            {"name": "make", "target": "t", "after": [], "creates": [0], "reads": [], "writes": [], "pure": True},
            {"name": "use", "target": "t", "after": [0], "creates": [1], "reads": [0], "writes": [], "pure": True},
        ],
    }
    return {**whole, **changes}


RATES = {"flops_per_s": 1.0, "bytes_per_s": 2.0, "launch_us": 3.0, "cache_bytes": 4, "host_bytes_per_s": 5.0}


def op(**changes: Any) -> list[dict[str, Any]]:
    """The ops of `data()`, the second changed."""
    first, second = data()["ops"]
    return [first, {**second, **changes}]


BROKEN = {
    "cycle": (
        data(ops=[{**data()["ops"][0], "after": [1]}, data()["ops"][1]]),
        "op 0 (make): after names op 1, which itself must follow op 0: a cycle; remove one of the two dependences",
    ),
    "after itself": (
        data(ops=op(after=[1])),
        "op 1 (use): after names op 1, which itself must follow op 1: a cycle; remove one of the two dependences",
    ),
    "not in a legal order": (
        data(ops=[{**data()["ops"][0], "after": [1]}, {"name": "free", "target": "t"}]),
        "op 0 (make): after names op 1, which stands later; ops must stand in a legal order, so sort them",
    ),
    "after out of range": (data(ops=op(after=[7])), "op 1 (use): after names 7, outside 0..1"),
    "creates out of range": (data(ops=op(creates=[9])), "op 1 (use): creates names 9, outside 0..1"),
    "reads out of range": (data(ops=op(reads=[-1])), "op 1 (use): reads names -1, outside 0..1"),
    "writes out of range": (data(ops=op(writes=[2])), "op 1 (use): writes names 2, outside 0..1"),
    "pure a text": (data(ops=op(pure="yes")), "op 1 (use): pure is 'yes', not true or false"),
    "rows negative": (data(ops=op(rows=-1)), "op 1 (use): rows is -1, outside 0 to"),
    "call huge": (data(ops=op(call=10**40)), "op 1 (use): call is 1000"),
    "time negative": (data(ops=op(time_us=-1)), "op 1 (use): time_us is -1, not a number from 0 to 1e+24"),
    "time nan": (data(ops=op(time_us=float("nan"))), "op 1 (use): time_us is nan, not a number from 0"),
    "time without end": (data(ops=op(time_us=float("inf"))), "op 1 (use): time_us is inf, not a number from 0"),
    "time true": (data(ops=op(time_us=True)), "op 1 (use): time_us is True, not a number from 0"),
    "flops huge": (data(ops=op(flops=1e30)), "op 1 (use): flops is 1e+30, not a number from 0 to 1e+24"),
    "environment deep": (data(environment={"device": [[]]}), "environment holds more than texts"),
    "rows a text": (data(ops=op(rows="4")), "op 1 (use): rows is '4', not an integer"),
    "reuse no pairs": (data(ops=op(reuse=[1])), "op 1 (use): reuse is not a list of pairs"),
    "reuse of what it does not read": (data(ops=op(reuse=[[1, 1]])), "op 1 (use): reuse pairs storages 1 and 1"),
    "device a text": (data(device="H100"), "device is str data, not an object"),
    "device without a rate": (data(device={"flops_per_s": 1.0}), "device: bytes_per_s is None, not a number from 0"),
    "region unknown": (
        data(storages=[{"bytes": 1, "region": "disk"}, {"bytes": 1}]),
        "storage 0: region is 'disk', not one of arena, op, resident, host",
    ),
    "resident created": (
        data(storages=[{"bytes": 1, "region": "resident"}, {"bytes": 1}]),
        "op 0 (make): creates names storage 0, which is resident",
    ),
    "negative size": (data(storages=[{"bytes": -5}, {"bytes": 4}]), "storage 0: bytes is -5; sizes are never negative"),
    "sizes beyond any machine": (data(storages=[{"bytes": 2**70}, {"bytes": 4}]), "storages take 1180591620717411303"),
    "read before creation": (
        data(ops=[{**data()["ops"][0], "reads": [1]}, data()["ops"][1]]),
        "op 0 (make): reads names storage 1 before any op created it",
    ),
    "created twice": (data(ops=op(creates=[0])), "creates names storage 0, which an earlier op created"),
    "another format": (data(format="onnx"), "format is 'onnx', not 'roam-graph/2'; give a captured graph"),
    "no ops": (data(ops=None), "ops is missing or not a list"),
    "storages a number": (data(storages=10**9), "storages is missing or not a list"),
    "storage a number": (data(storages=[5]), "storage 0: has no bytes; every storage needs its size"),
    "storage without a size": (data(storages=[{"bytes": 1}, {}]), "storage 1: has no bytes; every storage needs its"),
    "bytes a text": (data(storages=[{"bytes": "8"}]), "storage 0: bytes is '8', not an integer"),
    "after not integers": (data(ops=op(after=[0.5])), "op 1 (use): after is not a list of integers"),
    "environment a text": (data(environment="cpu"), "environment is str data, not an object; check the file's writer"),
    "after a number": (data(ops=op(after=5)), "op 1 (use): after is not a list of integers"),
    "reuse a number": (data(ops=op(reuse=5)), "op 1 (use): reuse is not a list of pairs"),
    "reuse of what it does not make": (data(ops=op(reuse=[[0, 0]])), "op 1 (use): reuse pairs storages 0 and 0"),
    "reuse in threes": (data(ops=op(reuse=[[1, 0, 0]])), "op 1 (use): reuse is not a list of pairs"),
    "a longer cycle": (
        data(ops=[{**data()["ops"][0], "after": [2]}, data()["ops"][1], {"name": "end", "after": [1]}]),
        "op 0 (make): after names op 2, which itself must follow op 0: a cycle; remove one",
    ),
    "creates just out of range": (data(ops=op(creates=[2])), "op 1 (use): creates names 2, outside 0..1"),
    "after just out of range": (data(ops=op(after=[2])), "op 1 (use): after names 2, outside 0..1"),
    "sizes just too large": (
        data(storages=[{"bytes": MOST_BYTES}, {"bytes": 1}]),
        f"storages take {MOST_BYTES + 1} bytes",
    ),
    "residents of negative size": (data(resident_bytes=-1), "resident_bytes is -1; sizes are never negative"),
    "residents in part": (data(resident_bytes=0.5), "resident_bytes is 0.5, not an integer"),
    "a rate of nothing": (data(device={**RATES, "launch_us": 0}), "device: launch_us is 0, not a number above 0"),
    "a peak below nothing": (data(eager_peak_bytes=-1), "eager_peak_bytes is -1, outside 0 to"),
    "a peak too high": (data(eager_peak_bytes=MOST_BYTES + 1), f"eager_peak_bytes is {MOST_BYTES + 1}, outside 0 to"),
    "bytes true": (data(storages=[{"bytes": True}]), "storage 0: bytes is True, not an integer"),
    "op a list": (data(ops=[[]]), "op 0: is not an object"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_format_is_named(name: str, tmp_path: Path) -> None:
    broken, wording = BROKEN[name]
    path = tmp_path / "g.json"
    path.write_text(json.dumps(broken))
    with pytest.raises(FormatError) as caught:
        load_graph(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert wording in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_unbroken_graph_is_read(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    path.write_text(json.dumps(data(unknown=[1, 2])))
    assert len(load_graph(path).ops) == 2


TEXTS = {
    "truncated": (json.dumps(data())[:40], "not valid JSON"),
    "deep": ("[" * 200_000, "not a JSON text (RecursionError)"),
    "list": ("[]", "holds a JSON list, not an object"),
    "not text": ("\udcff", "not a JSON text (UnicodeDecodeError)"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_json_is_named(name: str, tmp_path: Path) -> None:
    text, wording = TEXTS[name]
    path = tmp_path / "g.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(FormatError, match=r"g\.json") as caught:
        load_graph(path)
    assert wording in str(caught.value)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_gzip_is_named(tmp_path: Path, keep: float) -> None:
    whole = gzip.compress(json.dumps(data()).encode())
    path = tmp_path / "g.json.gz"
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(FormatError, match="truncated"):
        load_graph(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file; check the path"):
        load_graph(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["g.json", "g.json.gz"])
@pytest.mark.parametrize("seed", range(5))
def test_a_graph_survives_its_file(tmp_path: Path, name: str, seed: int) -> None:
    graph = random_graph(seed, external=True)
    save_graph(graph, tmp_path / name)
    assert load_graph(tmp_path / name) == graph
    assert fingerprint(load_graph(tmp_path / name)) == fingerprint(graph)


def test_what_an_op_reads_writes_and_repeats_survives(tmp_path: Path) -> None:
    device = Device(2e14, 2.5e12, 2.0, 50_000_000, 4e10, 0.5)
    shaped = Storage(8, region="op", kind="activation", shape=(2, 1), dtype="float32")
    storages = (Storage(8, shape=()), shaped, Storage(4, region="resident"), Storage(8, region="host"))
    ops = (
        Op("make", "t", creates=(0,), reads=(2,), pure=True, rows=4, time_us=1.5),
        Op("use", "t", after=(0,), creates=(1,), reads=(0,), pure=True, reuse=((1, 0),)),
        Op("write", "t", after=(1,), reads=(1, 2), writes=(2,), pure=False),
    )
    graph = Graph("g", storages, ops, times="roofline", device=device)
    save_graph(graph, tmp_path / "g.json.gz")
    assert load_graph(tmp_path / "g.json.gz") == graph
    assert graph.can_be_rewritten
    assert graph.resident_bytes == 4
    assert graph.uses == ((0,), (0, 1), (1,))


def test_the_first_version_is_still_read_and_is_the_same_plans_graph(tmp_path: Path) -> None:
    ops = [
        {"name": "make", "target": "t", "after": [], "creates": [0], "touches": []},
        {"name": "use", "target": "t", "after": [0], "creates": [1], "touches": [0]},
    ]
    storages: list[Any] = [{"bytes": 8, "external": True}, {"bytes": 8, "output": True}]
    first = {"format": "roam-graph/1", "name": "g", "resident_bytes": 12, "storages": storages, "ops": ops}
    (tmp_path / "g.json").write_text(json.dumps(first))
    graph = load_graph(tmp_path / "g.json")
    assert (graph.resident_bytes, graph.storages[0].region, graph.ops[1].reads) == (12, "op", (0,))
    assert not graph.can_be_rewritten
    core = [[["t", [], [0], []], ["t", [0], [1], [0]]], [[8, False, True], [8, True, False]]]
    digest = hashlib.sha256(json.dumps(core, separators=(",", ":")).encode()).hexdigest()
    with_residents = replace(graph, storages=(*graph.storages, Storage(12, region="resident")))
    reading = replace(with_residents, ops=(replace(graph.ops[0], reads=(2,), writes=(2,)), graph.ops[1]))
    assert fingerprint(graph) == fingerprint(reading) == digest
    assert fingerprint(replace(reading, ops=(reading.ops[0], replace(reading.ops[1], reads=())))) != digest


def test_the_environment_survives_and_is_no_part_of_the_graph(tmp_path: Path) -> None:
    bare = random_graph(0)
    graph = replace(bare, environment={"torch": "2.13.0", "device": "cuda:0"})
    save_graph(bare, tmp_path / "bare.json")
    save_graph(graph, tmp_path / "g.json")
    assert "environment" not in json.loads((tmp_path / "bare.json").read_text())
    assert load_graph(tmp_path / "bare.json").environment == {}
    assert load_graph(tmp_path / "g.json").environment == {"torch": "2.13.0", "device": "cuda:0"}
    assert fingerprint(graph) == fingerprint(bare)
    assert graph == bare


def test_the_fingerprint_sees_what_a_plan_depends_on() -> None:
    prints = {fingerprint(random_graph(seed, external=True)) for seed in range(30)}
    graphs = {repr((g.ops, g.storages)) for g in (random_graph(seed, external=True) for seed in range(30))}
    assert len(prints) > 20
    assert len(prints) <= len(graphs)


def test_what_a_first_format_did_not_list_is_kept(tmp_path: Path) -> None:
    graph = Graph("g", (), (), unlisted_resident_bytes=5)
    save_graph(graph, tmp_path / "g.json")
    assert load_graph(tmp_path / "g.json").unlisted_resident_bytes == 5


def test_what_is_not_known_has_no_key(tmp_path: Path) -> None:
    """Files say nothing of what is not known, rather than null."""
    save_graph(Graph("bare", (Storage(8),), (Op("one", "t", creates=(0,)),)), path := tmp_path / "bare.json")
    data = json.loads(path.read_text())
    assert data["storages"] == [{"bytes": 8, "region": "arena"}]
    assert all(value is not None for op in data["ops"] for value in op.values())
    assert set(data) == {"format", "name", "storages", "ops"}
    assert set(data["ops"][0]) == {"name", "target", "after", "creates", "reads", "writes"}


@pytest.mark.parametrize("key", ["source", "module"])
def test_what_describes_an_op_is_text(tmp_path: Path, key: str) -> None:
    path = tmp_path / "graph.json"
    save_graph(Graph("g", (Storage(8),), (Op("a", "f", creates=(0,)),)), path)
    data = json.loads(path.read_text())
    data["ops"][0][key] = 12
    path.write_text(json.dumps(data))
    assert getattr(load_graph(path).ops[0], key) == "12"


def test_what_a_file_does_not_say_is_not_made_up() -> None:
    graph = graph_from_data({"format": "roam-graph/2", "storages": [{"bytes": 8}], "ops": [{}]})
    assert (graph.name, graph.unlisted_resident_bytes, graph.times, graph.device) == ("", 0, None, None)
    assert (graph.environment, graph.eager_peak_bytes) == ({}, None)
    assert graph.storages == (Storage(8),)
    assert graph.ops == (Op("op_0", ""),)
    external = [{"bytes": 8, "external": True}, {"bytes": 8, "external": False}]
    assert [one.region for one in graph_from_data(data(storages=external)).storages] == ["op", "arena"]
    device = graph_from_data(data(device=RATES)).device
    assert device == Device(1.0, 2.0, 3.0, 4, 5.0, fused_share=1.0)


@pytest.mark.parametrize("peak", [0, 7, MOST_BYTES])
def test_the_eager_peak_survives(peak: int) -> None:
    graph = replace(random_graph(0), eager_peak_bytes=peak)
    assert graph_from_data(graph_to_data(graph)).eager_peak_bytes == peak


def test_what_lies_just_within_is_read() -> None:
    rows = {"rows": MOST_BYTES, "call": 0, "time_us": 1e24, "flops": 0, "name": 5, "phase": "x"}
    found = graph_from_data(data(ops=op(**rows), storages=[{"bytes": MOST_BYTES, "shape": [0]}, {"bytes": 0}]))
    read = found.ops[1]
    assert (read.rows, read.call, read.time_us, read.flops, read.name) == (MOST_BYTES, 0, 1e24, 0, "5")
    assert (found.storages[0].shape, found.storages[1].bytes) == ((0,), 0)
    assert graph_from_data(data(device={**RATES, "fused_share": 0.25})).device == Device(1.0, 2.0, 3.0, 4, 5.0, 0.25)
