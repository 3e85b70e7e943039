"""The `roam` command where all goes well: every action, both ways of printing."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import networkx
import pytest
import torch

import roam_lab as roam
from roam_lab import registry
from roam_lab.app.session import Session, made_by
from roam_lab.cli import main
from roam_lab.errors import MismatchError
from roam_lab.ir import captured_order, fingerprint, load_graph, save_graph
from roam_lab.ir.layout_csv import load_instance
from roam_lab.registry import Parameter, Strategy, strategies
from roam_lab.report.explanation import explain
from roam_lab.runtime.measured_run import RunFigures
from roam_lab.runtime.verification import Verification
from tests.captured import DATA, JUDGE, step_file
from tests.report.graphs import KIB, branches

FACTORY = """
import torch

def make():
    model = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(64, 4))
    batch = (torch.randn(8, 16), torch.randint(0, 4, (8,)))
    optimizer = torch.optim.AdamW(model.parameters())
    return {"model": model, "optimizer": optimizer, "batch": batch, "loss": torch.nn.CrossEntropyLoss()}
"""


@pytest.fixture
def graph_file(tmp_path):
    path = tmp_path / "branches.json.gz"
    save_graph(branches(), path)
    return path


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "train_small.py"
    path.write_text(FACTORY)
    return f"{path}:make"


def run(capsys, *words):
    """Run in this process; its status is 0, and what it wrote to standard output is returned."""
    out, err = run_with_notes(capsys, *words)
    assert err == ""
    return out


def run_with_notes(capsys, *words):
    """The same of a command that may remark something on standard error: both are returned."""
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr()


def test_plan_prints_a_report_and_writes_a_plan(capsys, graph_file, tmp_path):
    out = tmp_path / "p.roam.json"
    text = run(capsys, "plan", graph_file, "-o", out)
    assert re.search(r"planned peak +105\.0 KiB", text)
    plan = roam.load(out)
    assert plan.peak_bytes == 105 * KIB
    assert plan.graph_sha256 == fingerprint(branches())


def test_plan_json_is_one_object(capsys, graph_file):
    data = json.loads(run(capsys, "plan", graph_file, "--json"))
    assert data["format"] == "roam-plan/2"
    assert data["peak_bytes"] == 105 * KIB
    assert data["resident_bytes"] == 10 * KIB
    assert "graph" not in data


def test_plan_bare_leaves_the_graph_out(capsys, graph_file, tmp_path):
    out = tmp_path / "p.roam.json"
    run(capsys, "plan", graph_file, "-o", out, "--bare")
    assert "graph" not in json.loads(out.read_text())


def test_plan_takes_every_setting(capsys, graph_file):
    words = ["--order", "captured", "--layout", "best_fit", "--node-limit", "64"]
    words += ["--time-limit", "5", "--seed", "3", "--budget", "1MiB", "--json"]
    out, err = run_with_notes(capsys, "plan", graph_file, *words)
    data = json.loads(out)
    assert (data["order_strategy"], data["layout_strategy"], data["seed"]) == ("captured", "best_fit", 3)
    assert data["peak_bytes"] == data["captured_peak_bytes"] == 204 * KIB
    assert err == (
        "roam: note: order 'captured' and layout 'best_fit' take no --node-limit and --seed; "
        "the plan is the same without\n"
    )


def test_an_order_that_is_not_kept_is_named(capsys):
    graph = DATA / "graphs" / "resnet50_batch1_adamw.json.gz"
    out, err = run_with_notes(capsys, "plan", graph, "--order", "dfs", "--rewrites", "none")
    assert err == "roam: order dfs is worse than captured here, which the plan keeps\n"
    assert "order captured" in out


def test_set_reaches_the_strategy(capsys, graph_file, monkeypatch):
    given = {}

    def seen(graph, **values):
        given.update(values)
        return captured_order(graph)

    own = (Parameter("tries", int, 3, "tries", low=1), Parameter("half", float, None, "half"))
    own += (Parameter("deep", bool, False, "deep"), Parameter("how", str, "a", "how", choices=("a", "b")))
    entry = Strategy("order", "captured", seen, "Seen.", "a test", own)
    strategies()
    monkeypatch.setitem(registry._REGISTRY.entries, ("order", "captured"), entry)
    words = ["--order", "captured"]
    for setting in ("tries=9", "tries=4", "half=1", "deep=yes", "how=b"):
        words += ["--set", f"order.{setting}"]
    run(capsys, "plan", graph_file, *words)
    assert given == {"tries": 4, "half": 1.0, "deep": True, "how": "b"}


def test_explain(capsys, graph_file, tmp_path):
    out = tmp_path / "p.roam.json"
    planned = json.loads(run(capsys, "plan", graph_file, "-o", out, "--json"))
    text = run(capsys, "explain", out)
    assert text == explain(roam.load(out)).text() + "\n"
    data = json.loads(run(capsys, "explain", out, "--json"))
    assert data == planned["explanation"]
    short = json.loads(run(capsys, "explain", out, "--json", "--limit", "1"))
    assert len(short["at_peak"]["largest"]) == 1
    assert short["at_peak"]["rest_count"] == data["at_peak"]["count"] - 1


def test_plan_is_judged_good_and_loads_no_torch(tmp_path):
    graph, plan = step_file("resnet50_batch1_adamw"), tmp_path / "p.roam.json"
    code = (
        "import sys; from roam_lab.cli import main; status = main(sys.argv[1:]); "
        "assert not {'torch', 'bokeh', 'ipywidgets', 'rich'} & set(sys.modules); sys.exit(status)"
    )
    subprocess.run([sys.executable, "-c", code, "plan", graph, "-o", plan], check=True, capture_output=True)
    judged = subprocess.run([sys.executable, JUDGE, graph, plan], capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout


def test_layout(capsys, tmp_path):
    out = tmp_path / "placed.csv"
    text = run(capsys, "layout", DATA / "somas_resnet50.csv", "-o", out)
    assert "live peak  1,515,472,556 bytes, no layout is lower" in text
    assert out.read_text().splitlines()[0] == "id,lower,upper,size,offset"
    assert load_instance(out).peak_bytes == 1_515_472_556


def test_layout_json(capsys):
    data = json.loads(run(capsys, "layout", DATA / "A.1048576.csv", "--layout", "best_fit", "--json"))
    assert data["lower_bound_bytes"] == 1_048_576 <= data["height_bytes"]
    assert len(data["offsets"]) == data["buffers"] == 154


def test_layout_reads_gzip_and_keeps_its_ids(capsys, tmp_path):
    file = tmp_path / "named.csv.gz"
    file.write_bytes(gzip.compress(b"size,id,upper,lower\r\n5,weights,10,0\r\n7,x,20,10\r\n0,nothing,3,1\r\n"))
    data = json.loads(run(capsys, "layout", file, "--json"))
    assert data["offsets"] == {"weights": 0, "x": 0, "nothing": 0}
    assert data["optimal"] is True


@pytest.mark.parametrize("ending", [".svg", ".json", ".json.gz", ".dot", ".graphml", ".csv", ".roam.json"])
def test_export(capsys, graph_file, tmp_path, ending):
    plan, out = tmp_path / "p.roam.json", tmp_path / f"out{ending}"
    run(capsys, "plan", graph_file, "-o", plan)
    assert run(capsys, "export", plan, "-o", out) == ""
    if ending == ".svg":
        assert "planned order" in "".join(ElementTree.parse(out).getroot().itertext())
    elif ending == ".graphml":
        drawn = networkx.read_graphml(out)
        assert (len(drawn), drawn.number_of_edges()) == (6, 6)
        assert drawn.nodes["2"]["module"] == "<b>&"
    elif ending == ".dot":
        text = out.read_text()
        assert text.startswith('digraph "branches" {')
        assert text.count(" -> ") == 6
    elif ending == ".csv":
        assert load_instance(out).peak_bytes == 105 * KIB
    elif ending == ".roam.json":
        assert roam.load(out) == roam.load(plan)
    else:
        assert load_graph(out) == branches()


def test_strategies(capsys):
    data = json.loads(run(capsys, "strategies", "--json"))
    assert [(entry["room"], entry["name"]) for entry in data["strategies"]] == [
        (entry.room, entry.name) for entry in strategies()
    ]
    assert "List scheduling" in run(capsys, "strategies")


def test_profile_then_plan_then_run(capsys, factory, tmp_path):
    graph, plan = tmp_path / "g.json.gz", tmp_path / "p.roam.json"
    text = run(capsys, "profile", factory, "-o", graph, "--name", "small")
    assert text.startswith("small: ")
    assert "measured peak" in text
    run(capsys, "plan", graph, "-o", plan)
    lines = run(capsys, "run", factory, "--plan", plan, "--steps", "2").splitlines()
    assert [re.sub(r"loss [\d.]+, [\d.]+ s", "loss L, T s", line) for line in lines] == [
        "step 1: loss L, T s",
        "step 2: loss L, T s",
    ]
    data = json.loads(run(capsys, "run", factory, "--steps", "1", "--json"))
    assert len(data["steps"]) == 1


@pytest.mark.parametrize("fake", [(), ("--fake",)], ids=["measured", "fake"])
def test_a_plan_of_a_profiles_file_knows_what_it_is_for(capsys, factory, tmp_path, fake):
    graph, plan, exported = tmp_path / "g.json.gz", tmp_path / "p.roam.json", tmp_path / "again.json"
    run(capsys, "profile", factory, "-o", graph, *fake)
    run(capsys, "plan", graph, "-o", plan)
    made = made_by(factory)
    found = roam.load(plan)
    expected = roam.profile(**made, fake=True).plan()
    assert found.environment == expected.environment
    assert found.environment.keys() == {"python", "torch", "device", "batch", "model"}
    run(capsys, "export", plan, "-o", exported)
    assert load_graph(exported).environment == load_graph(graph).environment

    step = roam.hook(found, made["model"], made["optimizer"], loss=made["loss"])
    inputs, labels = made["batch"]
    assert step((inputs[:3], labels[:3])).isfinite()  # another shape first: an eager step, no error
    strict = roam.hook(found, made["model"], made["optimizer"], loss=made["loss"], on_mismatch="error")
    with pytest.raises(MismatchError, match=r"this batch is .* the plan was made for"):
        strict((inputs[:3], labels[:3]))
    other = torch.nn.Linear(3, 3)
    with pytest.raises(MismatchError, match="was made for another model than this Linear"):
        roam.hook(found, other, torch.optim.SGD(other.parameters(), lr=1.0))


def test_profile_fake_holds_no_weights(capsys, factory):
    data = json.loads(run(capsys, "profile", factory, "--fake", "--json"))
    assert data["measured_peak_bytes"] is None
    assert data["resident"]["parameter"] == 4 * (16 * 64 + 64 + 64 * 4 + 4)
    assert data["name"] == "make"


def test_verify(capsys, factory):
    data = json.loads(run(capsys, "verify", factory, "--steps", "2", "--json"))
    assert data["identical"] is True


@pytest.mark.parametrize("identical", [True, False])
def test_a_verification_is_noted_in_the_plan(capsys, tmp_path, factory, monkeypatch, identical):
    figures = RunFigures(0, 0, "not", (1.0,), (0.0,))
    found = Verification(identical, (), 2, "cpu", figures, figures)
    monkeypatch.setattr(Session, "verify", lambda *_: found)
    run(capsys, "profile", factory, "-o", str(tmp_path / "step.json"))
    plan = tmp_path / "step.roam.json"
    run(capsys, "plan", str(tmp_path / "step.json"), "-o", str(plan))
    assert main(["verify", factory, "--note"]) == 2
    assert "--note writes into a plan's file" in capsys.readouterr().err
    before = plan.read_text()
    assert main(["verify", factory, "--plan", str(plan)]) == (not identical)
    assert plan.read_text() == before
    assert main(["verify", factory, "--plan", str(plan), "--note"]) == (not identical)
    assert (f"noted in {plan}" in capsys.readouterr().out) == identical
    made = made_by(factory)
    hooked = roam.hook(str(plan), made["model"], made["optimizer"], loss=made["loss"])
    hooked(made["batch"])
    message = "not checked against the eager step: the plan was verified in this environment"
    assert hooked.notes == ([message] if identical else [])


def test_help_and_version(capsys):
    assert run(capsys, "--version") == f"roam {roam.__version__}\n"
    overview = run(capsys)
    for action in ("profile", "plan", "layout", "run", "verify", "explain", "export", "strategies"):
        assert action in overview
        assert run(capsys, action, "--help").startswith(f"usage: roam {action}")


def test_the_console_script_is_installed():
    script = Path(sys.executable).parent / "roam"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, env={**os.environ}, check=True)
    assert done.stdout == f"roam {roam.__version__}\n"
