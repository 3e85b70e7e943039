"""What a factory made, at another size, dtype, or with another optimizer."""

from typing import Any

import pytest
import torch

from roam_lab.capture.variants import optimizer_of, variant
from roam_lab.errors import InputError


def made() -> dict[str, Any]:
    """A model of which only the last layer is trained."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 2))
    return {
        "model": model,
        "optimizer": torch.optim.AdamW(model[1].parameters()),
        "batch": (torch.randn(4, 8), torch.zeros(4, dtype=torch.int64)),
    }


def test_each_alone_and_nothing_else() -> None:
    own = made()
    same = variant(own)
    assert all(same[key] is own[key] for key in own)
    assert [leaf.shape[0] for leaf in variant(own, batch=7)["batch"]] == [7, 7]
    half = variant(own, dtype="bfloat16")
    assert [leaf.dtype for leaf in half["batch"]] == [torch.bfloat16, torch.int64]
    assert {parameter.dtype for parameter in half["model"].parameters()} == {torch.bfloat16}
    trained = {id(parameter) for parameter in half["model"][1].parameters()}
    assert {id(parameter) for parameter in half["optimizer"].param_groups[0]["params"]} == trained


def test_another_optimizer_has_the_same_parameters() -> None:
    own = made()
    other = variant(own, optimizer="sgd(momentum=0.5, lr=0.25)")["optimizer"]
    assert type(other) is torch.optim.SGD
    (group,) = other.param_groups
    assert (group["momentum"], group["lr"]) == (0.5, 0.25)
    assert list(map(id, group["params"])) == list(map(id, own["optimizer"].param_groups[0]["params"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AdmW", "torch.optim has no optimizer 'AdmW'; did you mean 'AdamW'"),
        ("Optimizer", "has no optimizer 'Optimizer'"),
        ("SGD(", "'SGD(' is no optimizer"),
        ("SGD(0.1)", "'SGD(0.1)' is no optimizer"),
        ("SGD(lr=open('x'))", "is no optimizer"),
        ("__import__('os')", "is no optimizer"),
    ],
)
def test_what_names_no_optimizer(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        optimizer_of(text)
    assert message in str(refused.value)


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match=r"optimizer SGD\(lr=-1\): ValueError: Invalid learning rate"):
        variant(made(), optimizer="SGD(lr=-1)")
    stepped = made()
    stepped["model"](stepped["batch"][0]).sum().backward()
    stepped["optimizer"].step()
    with pytest.raises(InputError, match="the optimizer already holds state"):
        variant(stepped, dtype="float64")
    variant(stepped, dtype="float64", optimizer="SGD")
    embedding = {**made(), "batch": torch.zeros(2, 6, dtype=torch.int64)}
    embedding["model"].config = type("Config", (), {"max_position_embeddings": 10})
    assert variant(embedding, sequence=10)["batch"].shape == (2, 10)
    with pytest.raises(InputError, match="more than the model's 10 positions"):
        variant(embedding, sequence=11)


def test_each_of_several_optimizers_becomes_another() -> None:
    two = made()
    halves = (two["optimizer"], torch.optim.Adam(two["model"][0].parameters()))
    new = variant(two | {"optimizer": halves}, optimizer="SGD(lr=0.25)", dtype="bfloat16")["optimizer"]
    assert [type(one) for one in new] == [torch.optim.SGD, torch.optim.SGD]
    for one, before in zip(new, halves, strict=True):
        assert list(map(id, one.param_groups[0]["params"])) == list(map(id, before.param_groups[0]["params"]))
    halves[1].param_groups[0]["params"][0].grad = torch.zeros_like(halves[1].param_groups[0]["params"][0])
    halves[1].step()
    with pytest.raises(InputError, match="the optimizer already holds state"):
        variant(two | {"optimizer": halves}, dtype="float64")
