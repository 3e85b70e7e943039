"""What users get wrong at the command line: one line that names the place and the next step, and the right status."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import roam_lab as roam
from roam_lab.cli import command, main
from roam_lab.ir import graph_to_data, save_graph
from roam_lab.plan import make_plan
from roam_lab.registry import strategies
from tests.captured import step_file
from tests.report.graphs import KIB, branches


def refused(capsys, *words, status=2):
    """The one line on standard error of a command that fails with `status`."""
    found = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert (found, out) == (status, "")
    assert err.startswith("roam: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.fixture
def graph_file(tmp_path):
    path = tmp_path / "branches.json"
    save_graph(branches(), path)
    return path


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "branches.roam.json"
    make_plan(branches()).save(path)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pln"], "there is no action 'pln'; did you mean 'plan'?"),
        (["qqq"], "there is no action 'qqq'; choose one of profile, plan"),
        (["--nope"], "unrecognized arguments: --nope; see roam --help"),
        (["plan"], "the following arguments are required: GRAPH; see roam plan --help"),
        (["plan", "g.json", "--ordr", "list"], "unrecognized arguments: --ordr list; see roam plan --help"),
        (["plan", "g.json", "--seed", "x"], "argument --seed: 'x' is not a whole number of at most 2^62; give"),
        (["plan", "g.json", "--seed", str(2**63)], f"'{2**63}' is not a whole number of at most 2^62; give such as 0"),
        (["plan", "g.json", "--alignment", "3"], "argument --alignment: '3' is not a power of two; give such as 64 or"),
        (["plan", "g.json", "--budget", "1GB"], "'1GB' is not a size; give bytes, or such as 512MiB; see roam"),
        (["plan", "g.json", "--budget=-5"], "argument --budget: '-5' is not a size"),
        (["plan", "g.json", "--budget=nanGiB"], "argument --budget: 'nanGiB' is not a size"),
        (["plan", "g.json", "--node-limit", "0"], "argument --node-limit: '0' is not a whole number of at least 1"),
        (["plan", "g.json", "--time-limit", "nan"], "argument --time-limit: 'nan' is not a positive number of seconds"),
        (["plan", "g.json", "--time-limit", "0"], "argument --time-limit: '0' is not a positive number of seconds"),
        (["layout", "a.csv", "--time-limit", "0"], "argument --time-limit: '0' is not a positive number of seconds"),
        (["plan", "g.json", "--set", "effort=3"], "'effort=3' is not ROOM.NAME=VALUE, such as order.node_limit=64"),
        (["plan", "g.json", "--set", "order.=3"], "'order.=3' is not ROOM.NAME=VALUE"),
        (["plan", "g.json", "--set", "order.x"], "'order.x' is not ROOM.NAME=VALUE"),
        (["layout", "a.csv", "--set", "order.x=1"], "`roam layout` orders nothing; set layout.NAME=VALUE"),
        (["explain", "p.roam.json", "--limit", "0"], "argument --limit: '0' is not a whole number of at least 1"),
        (["plan", "g.json", "--time-limit=-1"], "'-1' is not a positive number of seconds"),
        (["run", "f.py:make", "--steps", "0"], "argument --steps: '0' is not a whole number of at least 1"),
        (["fit", "f.py:make", "--memory", "24GB"], "argument --memory: '24GB' is not a size; give bytes, or such as"),
        (["fit", "f.py:make", "--memory", "0"], "argument --memory: '0' is no memory; give such as 24GiB"),
        (["fit", "f.py:make", "--memory=-4GiB"], "argument --memory: '-4GiB' is not a size"),
        (["fit", "f.py:make", "--extra-time", "much"], "argument --extra-time: 'much' is not a fraction"),
        (["fit", "f.py:make", "--memory", "4GiB", "--batch-sizes", "2"], "give it, or --batch-sizes"),
        (["export", "p.roam.json"], "the following arguments are required: -o/--output; see roam export --help"),
    ],
)
def test_usage(capsys, words, message):
    assert message in refused(capsys, *words)


def test_missing_graph(capsys, tmp_path):
    assert f"{tmp_path}/none.json: there is no such file" in refused(capsys, "plan", tmp_path / "none.json")
    assert "give a file that `roam profile -o`" in refused(capsys, "plan", "train.py:make")


def test_a_folder_for_a_graph(capsys, tmp_path):
    assert f"{tmp_path}: cannot be read (Is a directory)" in refused(capsys, "plan", tmp_path)


def test_truncated_graph(capsys, tmp_path, graph_file):
    cut = tmp_path / "cut.json"
    cut.write_bytes(graph_file.read_bytes()[:-40])
    assert f"{cut}:1:" in (message := refused(capsys, "plan", cut))
    assert "the file is truncated or not ours" in message


def test_truncated_and_damaged_gzip(capsys, tmp_path, graph_file):
    packed, cut = gzip.compress(graph_file.read_bytes()), tmp_path / "cut.json.gz"
    cut.write_bytes(packed[:-30])
    assert f"{cut}: the gzip data ends too early (truncated)" in refused(capsys, "plan", cut)
    cut.write_bytes(packed[:40] + b"\xff\x00\xff" + packed[43:])
    assert f"{cut}: damaged gzip data" in refused(capsys, "plan", cut)


@pytest.mark.parametrize("text", [b"", b"\x80\x81", b"[1]", b'{"a": 1}', b"[" * 100_000, b'{"format": "roam-graph/2"}'])
def test_foreign_files_are_no_graph(capsys, tmp_path, text):
    path = tmp_path / "foreign.json"
    path.write_bytes(text)
    assert f"{path}" in refused(capsys, "plan", path)


def test_a_plan_is_no_graph_and_a_graph_no_plan(capsys, tmp_path, graph_file, plan_file):
    assert "format is 'roam-plan/2', not 'roam-graph/2'" in refused(capsys, "plan", plan_file)
    line = refused(capsys, "export", graph_file, "-o", tmp_path / "a.svg")
    assert "format is 'roam-graph/2', not 'roam-plan/2'" in line


BROKEN = [
    ("ops", 2, "after", [99], "op 2 (wide_b): after names 99, outside 0..5"),
    ("ops", 2, "creates", [-1], "op 2 (wide_b): creates names -1, outside 0..5"),
    ("ops", 1, "after", [3], "op 1 (wide_a): after names op 3, which itself must follow op 1: a cycle; remove one"),
    ("ops", 0, "reads", [5], "op 0 (source): reads names storage 5 before any op created it"),
    ("storages", 0, "bytes", -1, "storage 0: bytes is -1; sizes are never negative"),
    ("storages", 0, "bytes", "4", "storage 0: bytes is '4', not an integer"),
]


@pytest.mark.parametrize(("part", "index", "key", "value", "message"), BROKEN)
def test_broken_graphs(capsys, tmp_path, part, index, key, value, message):
    data, path = graph_to_data(branches()), tmp_path / "broken.json"
    data[part][index][key] = value
    path.write_text(json.dumps(data))
    assert f"{path}: {message}" in refused(capsys, "plan", path)


def test_unknown_strategies_suggest_the_nearest(capsys, graph_file):
    line = refused(capsys, "plan", graph_file, "--order", "lisst")
    assert "there is no order strategy 'lisst'; did you mean 'list'?" in line
    line = refused(capsys, "plan", graph_file, "--layout", "best-fit")
    assert "there is no layout strategy 'best-fit'; did you mean 'best_fit'?" in line

    line = refused(capsys, "plan", graph_file, "--order", "zzz")
    assert f"choose one of {', '.join(entry.name for entry in strategies('order'))}" in line


def test_unknown_layouts_of_instances(capsys, tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("id,lower,upper,size\n0,0,5,10\n1,0,5,20\n")
    line = refused(capsys, "layout", path, "--layout", "bestfit")
    assert "there is no layout strategy 'bestfit'; did you mean 'best_fit'?" in line


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("order.tim_limit=1", "order 'auto' has no parameter 'tim_limit'; did you mean 'time_limit'?"),
        ("order.zzz=1", "order 'auto' has no parameter 'zzz'; it has time_limit"),
        ("order.time_limit=soon", "auto: time_limit must be a number, not 'soon'"),
        ("order.time_limit=nan", "auto: time_limit must be a number, not 'nan'"),
        ("order.time_limit=-1", "auto: time_limit is -1.0, outside its range 0 to …"),
    ],
)
def test_settings_that_a_strategy_does_not_take(capsys, graph_file, setting, message):
    assert message in refused(capsys, "plan", graph_file, "--set", setting)


@pytest.mark.parametrize("limit", [7, 1025, 4096])
def test_node_limit_names_its_range(capsys, graph_file, limit):
    line = refused(capsys, "plan", graph_file, "--node-limit", limit)
    assert f"node_limit is {limit}, outside its range 8 to 1024" in line


def test_a_bare_plan_cannot_be_explained(capsys, tmp_path):
    bare = tmp_path / "bare.roam.json"
    make_plan(branches()).save(bare, bare=True)
    assert "this plan is bare" in refused(capsys, "explain", bare)


def test_a_budget_too_small_says_the_least_that_does(capsys, graph_file, tmp_path):
    out = tmp_path / "p.roam.json"
    line = refused(capsys, "plan", graph_file, "-o", out, "--budget", "1000", status=1)
    assert f"no order needs less than {115 * KIB}; raise the budget" in line
    assert not out.exists()


def test_the_output_of_a_plan_needs_its_ending(capsys, graph_file, tmp_path):
    line = refused(capsys, "plan", graph_file, "-o", tmp_path / "plan.json")
    assert "a plan's file must end in .roam.json" in line


def test_unwritable_output(capsys, graph_file, tmp_path):
    line = refused(capsys, "plan", graph_file, "-o", tmp_path / "no" / "p.roam.json")
    assert f"{tmp_path}/no/p.roam.json: cannot be written (No such file or directory); choose another place" in line


def test_no_space_leaves_what_was_there_and_nothing_half_written(capsys, graph_file, tmp_path, monkeypatch):
    out = tmp_path / "p.roam.json"
    out.write_text("what was there")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert f"{out}: cannot be written (No space left on device)" in refused(capsys, "plan", graph_file, "-o", out)
    assert out.read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["branches.json", "p.roam.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_a_device_is_written_to_and_never_replaced(capsys, tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("id,lower,upper,size\n0,0,5,10\n")
    line = refused(capsys, "layout", path, "-o", "/dev/full")
    assert "/dev/full: cannot be written (No space left on device)" in line
    assert Path("/dev/full").is_char_device()
    assert "cannot be written (Is a directory)" in refused(capsys, "layout", path, "-o", tmp_path)


def test_a_link_is_followed(tmp_path):
    path, link = tmp_path / "target.svg", tmp_path / "link.svg"
    path.write_text("old")
    link.symlink_to(path)
    make_plan(branches()).save(tmp_path / "p.roam.json")
    assert main(["export", str(tmp_path / "p.roam.json"), "-o", str(link), "--force"]) == 0
    assert link.is_symlink()
    assert path.read_text().startswith("<svg ")


def test_exports_that_cannot_be(capsys, plan_file, tmp_path):
    line = refused(capsys, "export", plan_file, "-o", tmp_path / "plan.gif")
    assert "plan.gif: no export has this ending; choose one of .svg" in line
    bare = tmp_path / "bare.roam.json"
    make_plan(branches()).save(bare, bare=True)
    for ending in (".svg", ".json", ".dot", ".graphml", ".csv"):
        assert "this plan is bare" in refused(capsys, "export", bare, "-o", tmp_path / f"out{ending}")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("order", [0, 0, 1, 2, 3, 4], "order"),
        ("peak_bytes", 1, "peak_bytes"),
        ("offsets", {}, "offset"),
        ("graph_sha256", "0" * 64, "graph_sha256"),
        ("format", "roam-plan/9", "format"),
    ],
)
def test_plans_that_lie(capsys, plan_file, tmp_path, key, value, message):
    data = json.loads(plan_file.read_text())
    data[key] = value
    plan_file.write_text(json.dumps(data))
    line = refused(capsys, "export", plan_file, "-o", tmp_path / "out.svg")
    assert str(plan_file) in line
    assert message in line


def test_truncated_plan(capsys, plan_file, tmp_path):
    plan_file.write_bytes(plan_file.read_bytes()[:200])
    assert "the file is truncated or not ours" in refused(capsys, "export", plan_file, "-o", tmp_path / "out.svg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the header has no id and no lower and no upper and no size"),
        ("id,lower,upper\n", ":1: the header has no size; the first line must be id,lower,upper,size"),
        ("id,lower,upper,size\n0,0,5,10\n1,5,5,3\n", ":3: lower 5 is not below upper 5; a buffer lives in"),
        ("id,lower,upper,size\n0,0,five,10\n", ":2: upper is 'five', not an integer; write plain digits"),
        ("id,lower,upper,size\n0,0,5,1.5\n", ":2: size is '1.5', not an integer"),
        ("id,lower,upper,size\n0,0,5,-1\n", ":2: size is -1; sizes are never negative"),
        ("id,lower,upper,size\n0,0,5\n", ":2: 3 cells where the header has 4; the line is truncated"),
        ("id,lower,upper,size\n0,0,5,1\n\n0,0,5,1\n", ":4: id '0' stands on line 2 already; ids must differ"),
        (f"id,lower,upper,size\n0,0,5,{2**63}\n", ":2: the sizes add up to more than 2**62 bytes; check their unit"),
        ('id,lower,upper,size\n0,0,5,"1\n', ":2:"),
    ],
)
def test_broken_instances_name_the_line(capsys, tmp_path, text, message):
    path = tmp_path / "broken.csv"
    path.write_text(text)
    assert f"{path}{message}" in refused(capsys, "layout", path)


def test_instances_that_are_no_text(capsys, tmp_path):
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    assert f"{path}: not a text; give a CSV with the columns id,lower,upper,size" in refused(capsys, "layout", path)


def test_a_capacity_too_small(capsys, tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("id,lower,upper,size\n0,0,5,10\n1,0,5,20\n")
    line = refused(capsys, "layout", path, "--capacity", "29", "-o", tmp_path / "out.csv", status=1)
    assert f"{path}: a capacity of 29 bytes is too small: the least known to do is 30 bytes" in line
    assert "no layout needs less than 30; raise --capacity" in line
    assert not (tmp_path / "out.csv").exists()


FACTORY = """
import torch

def make():
    model = torch.nn.Linear(4, 1)
    return {"model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "batch": torch.ones(2, 4),
            "loss": lambda model, batch: model(batch).sum()}

def vector_loss():
    return {**make(), "loss": lambda model, batch: model(batch)}

def wide_batch():
    return {**make(), "batch": torch.ones(2, 5)}

def on_cuda():
    return {**make(), "model": torch.nn.Linear(4, 1).cuda()}

def frozen():
    made = make()
    for parameter in made["model"].parameters():
        parameter.requires_grad_(False)
    return made

def foreign():
    return {**make(), "optimizer": torch.optim.SGD(torch.nn.Linear(4, 1).parameters(), lr=0.1)}
"""


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train_bad.py"
    path.write_text(FACTORY)
    return path


@pytest.mark.parametrize("action", ["profile", "run", "verify"])
def test_factories_that_are_not_there(capsys, train, tmp_path, action):
    assert "none.py: there is no such file" in refused(capsys, action, tmp_path / "none.py:make")
    assert "there is no function mak; did you mean make?" in refused(capsys, action, f"{train}:mak")
    assert "not FILE.py:FACTORY" in refused(capsys, action, train)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vector_loss", "the loss is not a scalar tensor (shape (2, 1)); reduce it, for example with .mean()"),
        ("wide_batch", "train_bad.py:7: the model does not accept this batch, or the step fails"),
        ("frozen", "no parameter of the optimizer is trainable; set requires_grad_(True) on some"),
        ("foreign", "the optimizer holds 2 parameter(s) that are not the model's"),
    ],
)
def test_steps_that_cannot_be_captured(capsys, train, name, message):
    assert message in refused(capsys, "profile", f"{train}:{name}")


def test_torch_does_not_add_a_traceback_of_its_own(train):
    process = roam_process("profile", f"{train}:wide_batch", stdout=subprocess.PIPE)
    out, err = process.communicate()
    assert (out, err.count("\n"), process.returncode) == ("", 1, 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_cuda_where_there_is_none(capsys, train):
    line = refused(capsys, "verify", f"{train}:make", "--device", "cuda")
    assert line.startswith("roam: cuda: torch finds no CUDA device on this machine (torch ")
    assert line.endswith("; use --device cpu\n")
    for more in ([], ["--fake"]):
        line = refused(capsys, "profile", f"{train}:make", "--device", "cuda", *more)
        assert line.startswith("roam: cuda: torch finds no CUDA device on this machine (torch ")
        assert "; capture on the CPU, where other kernels may be chosen, or capture and time it on a machine" in line
        assert "roam profile --device cuda --timing -o GRAPH.json.gz" in line
    line = refused(capsys, "profile", f"{train}:on_cuda")
    assert "on_cuda() raised" in line
    assert "; capture on the CPU" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
@pytest.mark.parametrize(("build", "message"), [(None, "is built without CUDA"), ("13.0", "is built for CUDA 13.0")])
def test_what_is_missing_is_the_build_or_the_device(capsys, train, monkeypatch, build, message):
    monkeypatch.setattr(torch.version, "cuda", build)
    assert message in refused(capsys, "profile", f"{train}:make", "--device", "cuda")


def test_unknown_devices(capsys, train):
    for action in ("verify", "profile"):
        assert "tpu9: no such device; use cpu or cuda" in refused(capsys, action, f"{train}:make", "--device", "tpu9")


def test_a_plan_for_another_model(capsys, train, plan_file):
    assert "the plan was made for another training step" in refused(capsys, "run", f"{train}:make", "--plan", plan_file)


def test_a_bug_of_ours_asks_for_a_report(capsys, graph_file, monkeypatch):
    def broken(arguments, progress):
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setitem(command.HANDLERS, "plan", broken)
    line = refused(capsys, "plan", graph_file)
    assert "unexpected ZeroDivisionError: one two; this is a bug in roam-lab: please report it" in line
    assert "ROAM_DEBUG=1" in line
    monkeypatch.setenv("ROAM_DEBUG", "1")
    assert main(["plan", str(graph_file)]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_interruption(capsys, graph_file, monkeypatch):
    def interrupted(arguments, progress):
        raise KeyboardInterrupt

    monkeypatch.setitem(command.HANDLERS, "plan", interrupted)
    assert "interrupted" in refused(capsys, "plan", graph_file, status=130)


def roam_process(*words, **settings):
    command = [sys.executable, "-c", "import sys; from roam_lab.cli import main; sys.exit(main())"]
    return subprocess.Popen([*command, *map(str, words)], stderr=subprocess.PIPE, text=True, **settings)


def test_a_real_interruption_leaves_no_traceback():
    graph = step_file("gpt2_seq128_batch1_adamw")
    code = "import sys; from roam_lab.cli import main; print('begun', flush=True); sys.exit(main())"
    command = [sys.executable, "-c", code, "plan", str(graph)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert "Traceback" not in err
    assert process.returncode in (130, 0)


def test_a_reader_that_goes_away_is_no_error(graph_file):
    read, write = os.pipe()
    os.close(read)
    process = roam_process("plan", graph_file, "--json", stdout=write)
    os.close(write)
    assert (process.communicate()[1], process.returncode) == ("", 141)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
def test_a_full_standard_output(graph_file):
    with open("/dev/full", "w") as full:
        process = roam_process("plan", graph_file, "--json", stdout=full)
        err = process.communicate()[1]
    assert err == "roam: standard output: cannot be written (No space left on device); choose another place\n"
    assert process.returncode == 2


def test_names_cannot_write_to_the_terminal(capsys, tmp_path):
    path = tmp_path / "evil.json"
    data = graph_to_data(branches()) | {"name": "\x1b[2J\ud800"}
    data["ops"][0]["target"] = data["ops"][2]["name"] = "\x1b]0;owned\x07"
    path.write_text(json.dumps(data))
    assert main(["plan", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    data["ops"][2]["after"] = [99]
    path.write_text(json.dumps(data))
    assert "\x1b" not in refused(capsys, "plan", path)


def test_roam_errors_keep_their_exit_status():
    assert {name for name in roam.__all__ if getattr(getattr(roam, name), "exit_status", 2) == 1} == {"InfeasibleError"}
