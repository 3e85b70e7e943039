"""Imports run downwards only: the table of rooms in docs/architecture.md is their order. Files stay short."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "roam_lab"
parsed = functools.cache(ast.parse)


def rooms():
    """Every module or folder of the package that the table names, the highest first."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (`[^|]+`) \|", page.partition("## The rooms")[2], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]


def imported(source, package):
    """The rooms that a module imports from, wherever in it that stands."""
    for node in ast.walk(parsed(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [f"{package}.{node.module or ''}"]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("roam_lab."):
                yield name.split(".")[1]


def upwards(order, room, source, known):
    """The rooms below `room` that a module of it imports from."""
    return [name for name in imported(source, f"roam_lab.{room}") if name in known and order[name] > order[room]]


def test_the_table_names_every_room_once():
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py"}
    there |= {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    named = rooms()
    assert len(named) == len(set(named))
    assert set(named) == there, "docs/architecture.md, The rooms: name what was added, take out what is gone"


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_from_rooms_above_it_alone(room):
    order = {name: place for place, name in enumerate(rooms())}
    folder = PACKAGE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]
    assert files
    for file in files:
        assert not upwards(order, room, file.read_text(), order), file


def test_an_import_upwards_is_found():
    order = {"ir": 0, "order": 1, "plan": 2}
    for line in ("from roam_lab.plan import Plan", "import roam_lab.plan.plan", "from roam_lab import plan"):
        assert upwards(order, "order", f"def late():\n    {line}\n", order) == ["plan"], line
    assert upwards(order, "order", "from roam_lab.ir import Graph", order) == []


DOORS = {
    "numba": {"solvers/compiled.py"},
    "pulp": {"solvers/ilp.py"},
    "highspy": {"solvers/highs_child.py"},
    "ortools": {"solvers/flows.py", "layout/cp_sat.py"},
}
"""Library -> the files that may import it. CP-SAT is a strategy of its own, which nothing else builds a model for."""


def importers(library, files):
    """Those of `files`, (name, source), that import `library` anywhere."""
    found = set()
    for name, source in files:
        for node in ast.walk(parsed(source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if library in {each.partition(".")[0] for each in names}:
                found.add(name)
    return found


@pytest.mark.parametrize("library", DOORS)
def test_a_solver_has_one_door(library):
    files = [(str(file.relative_to(PACKAGE)), file.read_text()) for file in PACKAGE.rglob("*.py")]
    assert importers(library, files) == DOORS[library]


def test_another_door_is_found():
    assert importers("pulp", [("a.py", "def late():\n    from pulp import x"), ("b.py", "import pulpit")]) == {"a.py"}


MOST_LINES = 300


def sources():
    """What is written by hand in the package and beside it: Python, JavaScript, TypeScript."""
    written = [*PACKAGE.rglob("*.py"), *(PACKAGE / "report").rglob("*.js")]
    return [*written, *(ROOT / "labextension" / "src").rglob("*.ts"), *(ROOT / "tools").rglob("*.py")]


def test_files_stay_short():
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in sources()}
    assert len(lengths) > 500
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def at_import(body):
    """The imports that run when a module is imported: none in functions, none for type checks alone."""
    for one in body:
        if isinstance(one, ast.Import | ast.ImportFrom):
            yield one
        elif isinstance(one, ast.If | ast.Try | ast.With) and "TYPE_CHECKING" not in ast.unparse(
            getattr(one, "test", one)
        ):
            for name in ("body", "orelse", "finalbody"):
                yield from at_import(getattr(one, name, []))
            yield from (found for handler in getattr(one, "handlers", []) for found in at_import(handler.body))


def circle(imports):
    """Modules that import each other in a circle, the first also at its end; none if there is no circle."""
    done = set()

    def follow(way):
        for name in imports.get(way[-1], ()):
            if name in way:
                return [*way[way.index(name) :], name]
            if name not in done and (found := follow([*way, name])):
                return found
        done.add(way[-1])
        return []

    return next((found for name in imports if name not in done and (found := follow([name]))), [])


def test_no_modules_import_each_other():
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    imports = {}
    for module, path in paths.items():
        names = [
            f"{one.module}.{alias.name}" if f"{one.module}.{alias.name}" in paths else one.module
            for one in at_import(parsed(path.read_text()).body)
            if isinstance(one, ast.ImportFrom)
            for alias in one.names
        ]
        imports[module] = [name for name in names if name in paths and name != module]
    assert sum(map(len, imports.values())) > 1000
    assert circle(imports) == []


def test_a_circle_is_found():
    assert circle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]
    late = ast.parse(
        "if TYPE_CHECKING:\n    from a import b\ndef f():\n    import c\ntry:\n    import d\nexcept E:\n    import e"
    )
    assert [ast.unparse(one) for one in at_import(late.body)] == ["import d", "import e"]
