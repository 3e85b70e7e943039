"""roam-graph/1: what a reader refuses, by wording, and that nothing is lost on the way through a file."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roam_lab.errors import FormatError, InputError
from roam_lab.ir import fingerprint, load_graph, save_graph
from tests.plan.graphs import random_graph


def data(**changes: Any) -> dict[str, Any]:
    """A whole small graph, with top-level keys replaced."""
    whole = {
        "format": "roam-graph/1",
        "name": "small",
        "storages": [{"bytes": 8}, {"bytes": 4, "output": True}],
        "ops": [
            {"name": "make", "target": "t", "after": [], "creates": [0], "touches": []},
            {"name": "use", "target": "t", "after": [0], "creates": [1], "touches": [0]},
        ],
    }
    return {**whole, **changes}


def op(**changes: Any) -> list[dict[str, Any]]:
    """The ops of `data()`, the second changed."""
    first, second = data()["ops"]
    return [first, {**second, **changes}]


BROKEN = {
    "cycle": (
        data(ops=[{**data()["ops"][0], "after": [1]}, data()["ops"][1]]),
        "op 0 (make): after names op 1, which itself must follow op 0: a cycle; remove one of the two dependences",
    ),
    "not in a legal order": (
        data(ops=[{**data()["ops"][0], "after": [1]}, {"name": "free", "target": "t"}]),
        "op 0 (make): after names op 1, which stands later; ops must stand in a legal order, so sort them",
    ),
    "after out of range": (data(ops=op(after=[7])), "op 1 (use): after names 7, outside 0..1"),
    "creates out of range": (data(ops=op(creates=[9])), "op 1 (use): creates names 9, outside 0..1"),
    "touches out of range": (data(ops=op(touches=[-1])), "op 1 (use): touches names -1, outside 0..1"),
    "negative size": (data(storages=[{"bytes": -5}, {"bytes": 4}]), "storage 0: bytes is -5; sizes are never negative"),
    "sizes beyond any machine": (data(storages=[{"bytes": 2**70}, {"bytes": 4}]), "storages take 1180591620717411303"),
    "touch before creation": (
        data(ops=[{**data()["ops"][0], "touches": [1]}, data()["ops"][1]]),
        "op 0 (make): touches names storage 1 before any op created it",
    ),
    "created twice": (data(ops=op(creates=[0])), "creates names storage 0, which an earlier op created"),
    "another format": (data(format="onnx"), "format is 'onnx', not 'roam-graph/1'; give a captured graph"),
    "no ops": (data(ops=None), "ops is missing or not a list"),
    "storages a number": (data(storages=10**9), "storages is missing or not a list"),
    "bytes a text": (data(storages=[{"bytes": "8"}]), "storage 0: bytes is '8', not an integer"),
    "after not integers": (data(ops=op(after=[0.5])), "op 1 (use): after is not a list of integers"),
    "environment a text": (data(environment="cpu"), "environment is str data, not an object; check the file's writer"),
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
