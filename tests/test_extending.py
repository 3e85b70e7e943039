"""docs/extending.md is followed literally: its order, layout, rewriting, source of state and figure work."""

import mmap
import re
import subprocess
import sys
import types
from pathlib import Path
from xml.etree import ElementTree

import pytest

from roam_lab import registry
from roam_lab.capture.sources import stateful
from roam_lab.cli import main
from roam_lab.ir import save_graph
from roam_lab.plan import load_plan, make_plan
from tests.plan.graphs import pumpkin
from tests.report.graphs import branches
from tests.rewrite.graphs import blocks

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()


def blocks_of(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def module_of(name):
    """The code block that begins with the name of its file, as a module."""
    (code,) = [block for block in blocks_of("python") if block.startswith(f"# my_package/{name}.py\n")]
    module = types.ModuleType(f"my_package.{name}")
    sys.modules[module.__name__] = module  # dataclasses look for it
    exec(compile(code, f"my_package/{name}.py", "exec"), vars(module))
    return module


@pytest.fixture
def own_registry(monkeypatch):
    """What a snippet registers is forgotten afterwards."""
    registry.strategies()
    monkeypatch.setattr(registry, "_REGISTRY", registry._Registry(dict(registry._REGISTRY.entries)))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_the_order(own_registry, tmp_path, capsys):
    module_of("orders")
    graph = tmp_path / "g.json"
    save_graph(pumpkin(), graph)
    assert main(["plan", str(graph), "--order", "smallest_first", "-o", str(tmp_path / "p.roam.json")]) == 0
    found = load_plan(tmp_path / "p.roam.json")
    assert found.order_strategy in ("smallest_first", "captured")
    order = registry.find("order", "smallest_first").function(pumpkin())
    assert order == (0, 1, 4, 2, 5, 3, 6, 7)  # a hill is left by its small step before the next is climbed
    assert found.peak_bytes == 116


def test_the_layout(own_registry, tmp_path, capsys):
    module_of("layouts")
    (tmp_path / "two.csv").write_text("id,lower,upper,size\na,0,2,100\nb,1,3,50\nc,3,4,10\n")
    words = ["layout", str(tmp_path / "two.csv"), "--layout", "stack", "--set", "layout.gap=64"]
    assert main([*words, "-o", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[2] == "b,1,3,50,164"


def test_the_rewriting(own_registry):
    module_of("rewrites")
    graph = blocks(6)
    plain = make_plan(graph, alignment=1)
    plan = make_plan(graph, alignment=1, extra_time=0.2, rewrite="largest_first")
    assert (plan.rewrite_strategy, 0 < plan.extra_time <= 0.2) == ("largest_first", True)
    assert plan.arena_bytes < plain.arena_bytes
    assert "recompute" in {rewrite.kind for rewrite in plan.rewrites}


def without(text, diff):
    """`text` before `diff` was applied: each of its hunks stands once, wherever that is."""
    for hunk in diff.split("@@\n")[1:]:
        lines = hunk.rstrip("\n").split("\n")
        before = "\n".join(line[1:] for line in lines if line[:1] != "+")
        after = "\n".join(line[1:] for line in lines if line[:1] != "-")
        assert text.count(after) == 1, f"docs/extending.md: this part of the diff is not in the file:\n{after}"
        text = text.replace(after, before)
    return text


def test_the_source_of_state(monkeypatch):
    (diff,) = blocks_of("diff")
    file = ROOT / "roam_lab" / "capture" / "sources" / "stateful.py"
    assert f"--- a/{file.relative_to(ROOT)}\n" in diff
    module = types.ModuleType("stateful_before")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look for their annotations
    exec(compile(without(file.read_text(), diff), str(file), "exec"), vars(module))
    assert not module.is_stateful(mmap.mmap(-1, 8))
    assert stateful.is_stateful(mmap.mmap(-1, 8))
    (use,) = [block for block in blocks_of("python") if block.startswith("import mmap\n")]
    exec(use, {})


def test_the_situation(own_registry):
    (code,) = [block for block in blocks_of("python") if block.startswith("# tests/situations/")]
    module = types.ModuleType("situation")
    exec(compile(code, "test_mapped_memory.py", "exec"), vars(module))
    module.test_a_counter_in_mapped_memory()


def test_the_figure(own_registry):
    module = module_of("by_phase")
    view = module.by_phase_view(make_plan(branches()))
    made = sum(storage.bytes for storage in branches().storages if not storage.always_there)
    assert sum(view.created_bytes.values()) == made > 0
    assert view.table.rows[0][:2] == ("forward", view.created_bytes["forward"])
    picture = module.by_phase_picture(view)
    drawn = ElementTree.fromstring(picture)
    assert drawn.find("{http://www.w3.org/2000/svg}desc").text == view.alt
    assert "forward" in "".join(drawn.itertext())
    figure = module.by_phase_figure(view)
    assert figure.html_attributes["aria-label"] == view.alt
    assert list(figure.renderers[0].data_source.data["bytes"]) == list(view.created_bytes.values())


def test_the_whole_as_a_package(tmp_path):
    """As a stranger's package: entry points, one process that finds all of it."""
    package, info = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    for name in ("orders", "layouts", "rewrites"):
        (code,) = [block for block in blocks_of("python") if block.startswith(f"# my_package/{name}.py\n")]
        (package / f"{name}.py").write_text(code)
    entries = re.findall(r"^    (\w+ = \"my_package\.\w+\")$", PAGE, re.MULTILINE)
    assert len(entries) == 2
    message = "\n".join(entry.replace('"', "") for entry in [*entries, 'largest_first = "my_package.rewrites"'])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.ENTRY_POINT_GROUP}]\n{message}\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from roam_lab.cli import main; main(['strategies'])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    for name in ("smallest_first", "stack", "largest_first"):
        assert re.search(rf"\b{name}\b", done.stdout), name
    assert done.stderr == ""
