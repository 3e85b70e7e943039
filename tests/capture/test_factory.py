"""Factories: found, called and checked; every refusal is one sentence that names the place."""

import pytest
import torch

from roam_lab.capture.factory import load_factory
from roam_lab.errors import InputError

GOOD = """
import torch

def make():
    model = torch.nn.Linear(2, 1)
    return {"model": model, "optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "batch": torch.ones(3, 2),
            "loss": lambda model, batch: model(batch).sum()}

def broken():
    value = torch.ones(2, 3)
    return value @ value

def listed():
    return [1]

def misspelt():
    return {**make(), "optimiser": 1}

def partial():
    return {"model": make()["model"]}

def both():
    return {**make(), "step": print}

def wrong():
    return {**make(), "model": 3}

count = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "train_file.py"
    path.write_text(GOOD)
    return path


def test_good(file):
    made = load_factory(f"{file}:make")
    assert sorted(made) == ["batch", "loss", "model", "optimizer"]
    assert isinstance(made["model"], torch.nn.Linear)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mak", "there is no function mak; did you mean make?"),
        ("qqqq", "functions in the file: both, broken"),
        ("count", "count is not a function"),
        ("broken", ":11: broken() raised RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        ("listed", "returned list, not a dict"),
        ("misspelt", "unknown key 'optimiser'; did you mean 'optimizer'?"),
        ("partial", "the dict has no 'optimizer' and no 'batch'"),
        ("both", "both 'loss' and 'step'"),
        ("wrong", "'model' is a int, not a torch Module"),
    ],
)
def test_refusals(file, name, words):
    with pytest.raises(InputError) as error:
        load_factory(f"{file}:{name}")
    text = str(error.value)
    assert words in text
    assert str(file) in text
    assert "\n" not in text


def test_missing_file_and_bad_spec(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        load_factory(f"{tmp_path}/none.py:make")
    with pytest.raises(InputError, match=r"not FILE\.py:FACTORY"):
        load_factory("none.py")


def test_file_that_does_not_import(tmp_path):
    path = tmp_path / "syntax.py"
    path.write_text("def make(:\n    pass\n")
    with pytest.raises(InputError, match=r"syntax\.py:1: .*fix the syntax"):
        load_factory(f"{path}:make")
    path.write_text("x = 1\nimport no_such_module_at_all\n")
    with pytest.raises(InputError, match=r"syntax\.py:2: importing the file raised ModuleNotFoundError"):
        load_factory(f"{path}:make")
