"""The registry as other packages meet it: a throw-away package registers strategies through its entry points."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from roam_lab import registry
from roam_lab.errors import JudgementError, ParameterError, UnknownStrategyError
from roam_lab.ir import load_graph, save_graph
from roam_lab.registry import Parameter, Strategy, find, strategies
from tests.report.graphs import branches

THEIRS = '''
from roam_lab.ir import Layout
from roam_lab.registry import Parameter, strategy

GAP = Parameter("gap", int, 0, "bytes left free above each buffer", low=0, high=1024)

@strategy("order", "theirs", source="a test")
def theirs(graph):
    """The captured order again."""
    return tuple(range(len(graph.ops)))

@strategy("order", "backwards", source="a test")
def backwards(graph):
    """An order that breaks every dependence."""
    return tuple(reversed(range(len(graph.ops))))

@strategy("layout", "stack", source="a test", parameters=(GAP,))
def stack(lifetimes, gap):
    """Every buffer above the one before it."""
    offsets, top = {}, 0
    for life in lifetimes:
        offsets[life.storage] = top
        top += life.bytes + gap
    return Layout(offsets, top)

@strategy("layout", "heap", source="a test")
def heap(lifetimes):
    """All buffers at one address."""
    return Layout({life.storage: 0 for life in lifetimes}, max(life.bytes for life in lifetimes))
'''


def offer(site, distribution, entries):
    """What `pip install` leaves of a package: a dist-info folder with metadata and entry points."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{registry.ENTRY_POINT_GROUP}]\n{lines}")


@pytest.fixture
def site(tmp_path):
    """A folder on the path of the child processes, with one package that offers strategies."""
    folder = tmp_path / "site"
    offer(folder, "their-strategies", {"theirs": "their_strategies"})
    (folder / "their_strategies.py").write_text(THEIRS)
    return folder


@pytest.fixture
def graph_file(tmp_path):
    path = tmp_path / "branches.json"
    save_graph(branches(), path)
    return path


def roam(site, *words):
    """(exit status, standard output, standard error) of a fresh `roam` that finds the packages in `site`."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-c", "import sys; from roam_lab.cli import main; sys.exit(main())", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    return done.returncode, done.stdout, done.stderr


def listed(out):
    return {(entry["room"], entry["name"]): entry for entry in json.loads(out)["strategies"]}


def test_entry_points_are_listed_beside_ours(site):
    status, out, err = roam(site, "strategies", "--json")
    assert (status, err) == (0, "")
    found = listed(out)
    assert found["layout", "stack"]["summary"] == "Every buffer above the one before it."
    assert found["layout", "stack"]["parameters"][0]["high"] == 1024
    # A process of its own, since other tests may register more in this one
    ours = listed(roam(site / "empty", "strategies", "--json")[1])
    assert set(found) == set(ours) | {
        ("order", "theirs"),
        ("order", "backwards"),
        ("layout", "stack"),
        ("layout", "heap"),
    }


def test_their_strategies_plan(site, graph_file, tmp_path):
    out = tmp_path / "p.roam.json"
    words = ["--order", "theirs", "--layout", "stack", "--set", "layout.gap=64"]
    status, said, err = roam(site, "plan", graph_file, "-o", out, *words)
    assert (status, err) == (0, "")
    assert "order theirs, layout stack" in said
    plan = json.loads(out.read_text())
    assert plan["order"] == list(range(len(load_graph(graph_file).ops)))
    assert plan["offsets"]["1"] == 4 * 1024 + 64
    status, said, err = roam(site, "plan", graph_file, "--layout", "stack", "--set", "layout.gp=64")
    assert (status, err) == (2, "roam: layout 'stack' has no parameter 'gp'; did you mean 'gap'?\n")


def test_their_illegal_layout_of_an_instance_is_refused_by_name(site, tmp_path):
    file = tmp_path / "two.csv"
    file.write_text("id,lower,upper,size\na,0,2,100\nb,1,3,50\n")
    status, out, err = roam(site, "layout", file, "--layout", "heap")
    assert (status, out) == (2, "")
    assert err == (
        "roam: layout 'heap' broke a rule: storages 0 and 1 overlap in the arena at step 1; "
        "choose another and tell its author\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--order", "backwards"], "order 'backwards' broke a rule: op 1 (wide_a) runs before op 0, which it must"),
        (["--layout", "heap"], "layout 'heap' broke a rule: storages 0 and"),
    ],
)
def test_their_illegal_plans_are_refused_by_name(site, graph_file, tmp_path, words, message):
    out = tmp_path / "p.roam.json"
    status, said, err = roam(site, "plan", graph_file, "-o", out, *words)
    assert (status, said, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not out.exists()


BROKEN = {
    "missing": ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    "leaving": ("raise SystemExit('no')", "SystemExit: no"),
    "taken": (THEIRS.replace('"theirs"', '"captured"'), "ValueError: order strategy 'captured' is registered twice"),
    "late": (THEIRS.replace("theirs", "early").replace('"heap"', '"best_fit"'), "ValueError: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_named_and_left_out(site, name):
    code, message = BROKEN[name]
    offer(site, "broken-strategies", {"broken": "broken_strategies"})
    (site / "broken_strategies.py").write_text(code)
    status, out, err = roam(site, "strategies", "--json")
    assert status == 0
    assert err.count("\n") == 1
    start = "roam: warning: strategies 'broken' of package broken-strategies (broken_strategies) cannot be loaded, so "
    assert err.startswith(f"{start}they are left out ({message}")
    assert err.endswith("); repair or uninstall the package\n")
    assert ("order", "early") not in listed(out)
    assert ("order", "captured") in listed(out)


def test_a_broken_package_is_a_warning_in_python(site):
    offer(site, "broken-strategies", {"broken": "broken_strategies:nothing"})
    (site / "broken_strategies.py").write_text("")
    code = """
    import sys, warnings
    from roam_lab.registry import PluginWarning, find
    sys.path.insert(0, sys.argv[1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert find("order", "captured").name == "captured"
        assert find("order", "theirs").name == "theirs"
    assert [warning.category for warning in caught] == [PluginWarning], caught
    assert "'broken'" in str(caught[0].message)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), site], check=True)


def test_every_strategy_is_whole():
    for entry in strategies():
        assert entry.summary[0].isupper(), entry.name
        assert entry.summary.endswith("."), entry.name
        assert entry.source, entry.name
        given = {parameter.name: parameter.default for parameter in entry.parameters if parameter.default is not None}
        assert entry.accept(given) == entry.accept({}), entry.name  # each default is in its own range
        json.dumps(entry.describe(), allow_nan=False)


def test_names_that_are_nearly_right():
    with pytest.raises(UnknownStrategyError, match=r"there is no order strategy 'captred'; did you mean 'captured'\?"):
        find("order", "captred")
    with pytest.raises(UnknownStrategyError, match=r"there is no layout strategy 'best-fit'; did you mean 'best_fit'"):
        find("layout", "best-fit")
    with pytest.raises(ParameterError, match=r"order 'captured' has no parameter 'x'; it has none"):
        find("order", "captured").accept({"x": 1})


READ = [
    (Parameter("a", int, 1, ""), "7", 7),
    (Parameter("a", float, 1.0, ""), "7", 7.0),
    (Parameter("a", bool, False, ""), "No", False),
    (Parameter("a", bool, False, ""), "true", True),
    (Parameter("a", str, "", "", choices=("x", "y")), "y", "y"),
]


@pytest.mark.parametrize(("parameter", "text", "value"), READ)
def test_values_from_the_command_line(parameter, text, value):
    read = parameter.read("s", text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("parameter", "text", "message"),
    [
        (READ[0][0], "1.5", "s: a must be a whole number, not '1.5'"),
        (READ[1][0], "nan", "s: a must be a number, not 'nan'"),
        (READ[2][0], "perhaps", "s: a must be yes or no, not 'perhaps'"),
        (READ[4][0], "z", "s: a is 'z'; choose one of x, y"),
        (Parameter("a", int, 9, "", low=8, high=10), "11", "s: a is 11, outside its range 8 to 10"),
    ],
)
def test_values_that_do_not_fit(parameter, text, message):
    with pytest.raises(ParameterError) as caught:
        parameter.read("s", text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("room", "parameters", "message"),
    [
        ("orders", (), r"'mine' is for the room 'orders'; there are order, layout, rewrite"),
        ("order", (), r"takes the parameters \['width'\], and declares \[\]"),
        ("rewrite", (Parameter("width", int, 1, ""),), r"takes the parameters \[\], and declares \['width'\]"),
    ],
)
def test_what_is_declared_is_checked(room, parameters, message):
    def mine(graph, width):
        """Mine."""

    with pytest.raises(ValueError, match=message):
        registry.strategy(room, "mine", source="a test", parameters=parameters)(mine)


def test_what_fails_names_the_strategy():
    def broken(graph):
        return graph.nothing

    with pytest.raises(
        JudgementError, match=r"^order 'mine' failed: AttributeError: .*'nothing' \(test_registry\.py:\d+\)"
    ):
        Strategy("order", "mine", broken, "Mine.", "a test").call(tuple, branches())
    with pytest.raises(
        JudgementError, match=r"^order 'mine' broke a rule: it returned NoneType, not tuple or list; choose"
    ):
        Strategy("order", "mine", lambda graph: None, "Mine.", "a test").call((tuple, list), branches())
    with pytest.raises(OSError, match="full"), Strategy("order", "mine", broken, "Mine.", "a test").judged():
        raise OSError("full")


def test_what_the_judge_refuses_names_the_strategy():
    entry = Strategy("order", "mine", lambda graph: (), "Mine.", "a test")
    with pytest.raises(JudgementError, match=r"^order 'mine' broke a rule: a rule; choose another"), entry.judged():
        raise JudgementError("a rule")
