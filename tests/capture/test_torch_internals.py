"""No other file of the package names what torch keeps to itself."""

import ast
from pathlib import Path

import pytest

import roam_lab
from roam_lab.capture import torch_internals

PACKAGE = Path(roam_lab.__file__).parent
DOOR = "torch_internals.py"
INTERNAL = ("torch.fx.experimental", "torch.nn.utils.stateless")
PLAIN = {"torch.nn.Module._apply", "torch.Tensor.__format__", "torch.SymFloat.__pow__"} | {
    f"torch.{name}" for name in ("__version__", "__file__", "__config__", "__config__.show")
}


def names_in(source):
    """Every dotted name of torch that a file imports or reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def private(name):
    if not name.startswith("torch.") or "(" in name or name in PLAIN or name.startswith("torch.ops."):
        return False
    return name.startswith(INTERNAL) or any(part.startswith("_") for part in name.split("."))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from torch._subclasses import FakeTensor", True),
        ("import torch._dynamo", True),
        ("from torch.utils import _pytree", True),
        ("torch._C._current_graph_task_id()", True),
        ("from torch.fx.experimental.proxy_tensor import make_fx", True),
        ("from torch.fx import Node", False),
        ("torch.ops.aten._foreach_add", False),
        ("torch.optim.Optimizer", False),
    ],
)
def test_a_private_name_is_seen(line, found):
    assert any(map(private, names_in(line))) == found


def test_private_names_come_through_one_door():
    files = [path for path in PACKAGE.rglob("*.py") if path.name != DOOR]
    seen = {str(path.relative_to(PACKAGE)): sorted(filter(private, names_in(path.read_text()))) for path in files}
    assert {path: names for path, names in seen.items() if names} == {}


def test_all_that_is_offered_is_there_and_used():
    sources = [path.read_text() for path in PACKAGE.rglob("*.py") if path.name != DOOR]
    for name in torch_internals.__all__:
        assert getattr(torch_internals, name) is not None
        assert any(name in source for source in sources), name
