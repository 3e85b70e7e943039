"""The user's step, as a factory made it, with another batch size, sequence length, dtype or optimizer."""

from __future__ import annotations

import ast
import difflib
from typing import Any

import torch

from roam_lab.capture.batch_size import resized
from roam_lab.capture.inputs import mapped
from roam_lab.capture.sequence_length import longest_sequence, sequence_length_of, with_sequence_length
from roam_lab.errors import InputError


def variant(
    made: dict[str, Any],
    batch: int | None = None,
    sequence: int | None = None,
    dtype: str | None = None,
    optimizer: str | None = None,
) -> dict[str, Any]:
    """The factory's dict with every argument applied that is not None; `dtype` converts the model in place, and each of
    several optimizers becomes an `optimizer` over its own parameters. Raises InputError."""
    made = dict(made)
    if batch is not None:
        made["batch"] = resized(made["batch"], batch)
    if sequence is not None:
        if sequence_length_of(made["batch"]) is None:
            raise InputError(
                f"a sequence length of {sequence} cannot be given to this batch: it holds no whole numbers of shape "
                "(batch, tokens); leave the sequence length out"
            )
        most = longest_sequence(made["model"])
        if most is not None and sequence > most:
            raise InputError(
                f"a sequence length of {sequence} is more than the model's {most} positions; let the factory raise its "
                "config's max_position_embeddings"
            )
        made["batch"] = with_sequence_length(made["batch"], sequence)
    if optimizer is not None:
        own = made["optimizer"]
        several = isinstance(own, tuple | list)
        made["optimizer"] = tuple(_optimizer(optimizer, one) for one in own) if several else _optimizer(optimizer, own)
    if dtype is not None:
        _to_dtype(made, getattr(torch, dtype))
    return made


def _to_dtype(made: dict[str, Any], dtype: torch.dtype) -> None:
    """Convert model and batch. Raises InputError for an optimizer that already has state, which is not converted."""
    own = made["optimizer"]
    if any(one.state for one in (own if isinstance(own, tuple | list) else (own,))):
        raise InputError(
            f"the optimizer already holds state, which would not become {dtype}; name an optimizer, too, or let the "
            "factory make it new"
        )
    made["model"].to(dtype)

    def converted(leaf: Any) -> Any:
        return leaf.to(dtype) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf

    made["batch"] = mapped(converted, made["batch"])


def _optimizer(text: str, own: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """A new optimizer, as `optimizer_of` reads it from `text`, over the parameters of `own` in one group."""
    kind, settings = optimizer_of(text)
    parameters = [parameter for group in own.param_groups for parameter in group["params"]]
    try:
        return kind(parameters, **settings)
    except Exception as error:
        raise InputError(f"optimizer {text}: {type(error).__name__}: {error}; give others of its arguments") from None


def optimizer_of(text: str) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """The class and the arguments that a text such as "SGD(momentum=0.9)" names; case is ignored. Raises InputError."""
    name, settings = _parsed(text)
    known = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {known[near[0]].__name__!r}?" if near else "give such as AdamW or SGD(momentum=0.9)"
        raise InputError(f"torch.optim has no optimizer {name!r}; {hint}")
    return known[name.lower()], settings


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            return node.func.id, {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
    except (SyntaxError, ValueError):
        pass
    raise InputError(f"{text!r} is no optimizer; give a name of torch.optim, such as AdamW or SGD(momentum=0.9)")
