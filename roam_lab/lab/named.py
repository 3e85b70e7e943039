"""The objects that names in a `%roam` line refer to in the notebook."""

from __future__ import annotations

from typing import Any

from roam_lab.errors import InputError


def value_of(text: str, names: dict[str, Any]) -> Any:
    """The value of `text`, a name or an expression, in the notebook; of "a,b" a tuple. Raises InputError."""
    try:
        return eval(text, names)
    except NameError as error:
        raise InputError(f"{error}; run the cell that defines it first") from None
    except Exception as error:
        raise InputError(f"{text}: {type(error).__name__}: {error}; give a name or an expression") from None


def check_kinds(objects: dict[str, Any], chosen: dict[str, str]) -> None:
    """Check that these objects have the types that capture expects; often model and batch are swapped. Raises
    InputError."""
    import torch

    for key, kind in (("model", torch.nn.Module), ("optimizer", torch.optim.Optimizer)):
        value = objects.get(key)
        several = key == "optimizer" and isinstance(value, tuple | list)
        for one in value if several and value else [value]:
            if key in objects and not isinstance(one, kind):
                kind_found = type(one).__name__
                article = "an" if kind_found[0] in "aeiouAEIOU" else "a"
                found = f"{'holds' if several and value else 'is'} {article} {kind_found}"
                raise InputError(f"{chosen[key]} {found}, not a torch {kind.__name__}; see %roam help profile")
    loss = objects.get("loss")
    if isinstance(loss, type):
        raise InputError(f"{chosen['loss']} is a class; give a loss made of it, such as {chosen['loss']}()")
