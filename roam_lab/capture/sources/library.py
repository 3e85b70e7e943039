"""Which code is the user's, whose state is followed, and which is a library's."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from roam_lab.capture.user_lines import is_standard_file

_LIBRARIES = {
    "torch", "torchvision", "torchaudio", "torchmetrics", "transformers", "diffusers", "accelerate", "peft", "tqdm",
    "numpy", "lightning", "lightning_fabric", "lightning_utilities", "pytorch_lightning", "roam_lab", "builtins",
    "IPython", "ipykernel", "traitlets", "pytest", "_pytest", "pluggy",
}  # fmt: skip
_NOTEBOOK_NAMES = {
    "In",
    "Out",
    "get_ipython",
    "exit",
    "quit",
    "_",
    "__",
    "___",
    "_ih",
    "_oh",
    "_dh",
    "_i",
    "_ii",
    "_iii",
}
_NO_STATE = (
    "torch._C", "torch._dynamo", "torch._inductor", "torch._ops", "torch.fx", "torch._subclasses", "torch._library",
    "IPython", "ipykernel", "traitlets", "_pytest", "pluggy", "typing", "inspect", "importlib", "_frozen_importlib",
    "_frozen_importlib_external", "asyncio", "concurrent", "enum", "abc", "ast", "zmq",
    "roam_lab",
)  # fmt: skip

_NOTES = {
    "torch.amp.autocast_mode": frozenset({"prev", "prev_cache_enabled", "prev_fastdtype"}),  # for when it is left
    "accelerate.data_loader": frozenset({"base_dataloader", "iteration"}),  # the loop's, which no step draws from
    "transformers.generation.configuration_utils": frozenset({"_original_object_hash"}),  # another in each process
}


@lru_cache(maxsize=4096)
def is_user_code(module: Any) -> bool:
    """Whether functions and classes of the module of this name are the user's, and followed. `module` may be None (made
    by exec)."""
    if module is not None and not isinstance(module, str):
        return False  # the module of a class made in C
    root = (module or "").partition(".")[0]
    return root not in _LIBRARIES and not (root in sys.stdlib_module_names and _is_standard(root))


def _is_standard(module: str) -> bool:
    """Whether a module is of Python's standard library, and not a user's file of the same name (`code`, `queue`)."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or is_standard_file(file)


@lru_cache(maxsize=4096)
def is_machinery(module: str | None) -> bool:
    """Whether objects of this module's classes never hold state of a training step (compilers, notebooks, typing)."""
    name = module or ""
    return any(name == one or name.startswith(f"{one}.") for one in _NO_STATE)


def notes_of(kind: type) -> frozenset[str]:
    """The attributes of objects of a library's class that are the library's notes, and no state of a step."""
    return _NOTES.get(kind.__module__, frozenset())


def is_prepared(optimizer: Any) -> bool:
    """Whether an optimizer is the wrapper of `accelerator.prepare`; state and groups are those of its `.optimizer`."""
    return type(optimizer).__module__ == "accelerate.optimizer"


def is_notebook_name(name: str) -> bool:
    """Whether a global of this name is IPython's own."""
    return name in _NOTEBOOK_NAMES or (name.startswith("_i") and name[2:].isdigit()) or name.lstrip("_").isdigit()
