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
    loaded = modules_after("import roam_lab.ir, roam_lab.order, roam_lab.layout, roam_lab.plan, roam_lab.session")
    assert not {"torch", "IPython", "bokeh", "ipywidgets", "rich"} & set(loaded)


def test_the_house_imports_torch_in_two_rooms_only():
    root = Path(roam.__file__).parent
    for room in ("ir", "order", "layout", "plan", "report"):
        for file in (root / room).glob("*.py"):
            names = {
                name.split(".")[0]
                for node in ast.walk(ast.parse(file.read_text()))
                for name in (
                    [alias.name for alias in node.names] if isinstance(node, ast.Import)
                    else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                )
            }  # fmt: skip
            assert not names & {"torch", "bokeh", "ipywidgets", "IPython"}, file
