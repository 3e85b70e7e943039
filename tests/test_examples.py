"""The examples build what they say, checked on the meta device: no weights, no time."""

import importlib.util
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "factory", "parameters", "batch"),
    [
        ("gpt2", "factory_batch1", 124_439_808, 1),
        ("gpt2", "factory_batch4", 124_439_808, 4),
        ("gpt2_xl", "factory", 1_557_611_200, 1),
        ("resnet50", "factory_batch1", 25_557_032, 1),
        ("resnet50", "factory_batch8", 25_557_032, 8),
    ],
)
def test_factories(name, factory, parameters, batch):
    with torch.device("meta"):
        made = getattr(example(name), factory)()
    assert sum(p.numel() for p in made["model"].parameters()) == parameters
    assert made["model"].training
    leaves = made["batch"].values() if isinstance(made["batch"], dict) else made["batch"]
    assert {len(tensor) for tensor in leaves} == {batch}


def test_the_demo_tells_every_figure_that_it_promises():
    text = (EXAMPLES / "demo.py").read_text()
    for figure in (
        "whole step, eager", "whole step, planned", "resident", "eager peak",
        "simulated eager reservation", "planned peak", "lower bound", "proven optimal",
        "arena", "measured peak, eager", "measured peak, planned", "step time, planned / eager", "bit-identical",
    ):  # fmt: skip
        assert f'("{figure}' in text
