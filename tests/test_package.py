"""What `import roam_lab` offers, and what it costs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import roam_lab as roam
from roam_lab import errors

HEAVY = ("torch", "ortools", "numpy", "IPython", "networkx", "rich", "bokeh", "ipywidgets")


def modules_after(code):
    """Which of HEAVY a fresh Python has loaded after `code`."""
    probe = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_public_names():
    assert {name for name in roam.__all__ if not name.endswith("Error")} == {
        "Plan", "Profile", "RoamWarning", "explain", "full_state_dict", "grid", "hook", "load",
        "load_ipython_extension", "load_sweep", "profile", "shard", "sweep", "unload_ipython_extension", "verify",
    }  # fmt: skip
    assert {name for name in roam.__all__ if name.endswith("Error")} == {
        name for name, value in vars(errors).items() if isinstance(value, type) and name.endswith("Error")
    }
    for name in roam.__all__:
        assert getattr(roam, name) is not None
    assert set(roam.__all__) <= set(dir(roam))
    assert roam.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = roam.nothing


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(roam.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname or alias.name: (node.module, alias.name) for node in imports for alias in node.names}
    assert seen == roam._HOMES


def test_import_is_light():
    assert modules_after("import roam_lab") == []
    assert modules_after("import roam_lab.cli") == []
    assert "numpy" in modules_after("import numpy")  # the probe can fail


def test_planning_loads_no_torch():
    loaded = modules_after("import roam_lab.ir, roam_lab.order, roam_lab.layout, roam_lab.plan, roam_lab.app.session")
    assert not {"torch", "IPython", "bokeh", "ipywidgets", "rich"} & set(loaded)


def imports_of(file):
    """The outermost names that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("room", ["ir", "order", "rewrite", "layout", "plan", "report"])
def test_a_room_that_plans_imports_nothing_heavy_anywhere(room):
    files = sorted((Path(roam.__file__).parent / room).rglob("*.py"))
    assert len({file.parent for file in files}) > 1 or room in ("ir", "rewrite", "plan")  # folders inside are seen, too
    for file in files:
        bokeh = set() if "figures" in file.parts else {"bokeh"}
        assert not imports_of(file) & {"torch", "ipywidgets", "IPython", *bokeh}, file


def test_what_a_file_imports_is_found(tmp_path):
    (tmp_path / "a.py").write_text("import torch.nn\ndef late():\n    from bokeh.models import Text\n")
    assert imports_of(tmp_path / "a.py") == {"torch", "bokeh"}
