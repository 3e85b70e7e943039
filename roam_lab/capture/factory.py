"""`FILE.py:FACTORY`, the user's function that returns model, optimizer and batch: finding it, calling it and checking
its result."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import torch

from roam_lab.capture.device import ADVICE
from roam_lab.errors import InputError, RoamError

REQUIRED = ("model", "optimizer", "batch")
OPTIONAL = ("loss", "step")


def load_factory(spec: str) -> dict[str, Any]:
    """Run the function named by `spec` ("FILE.py:FACTORY") and return its checked dict.

    The dict holds `model`, `optimizer`, `batch` and, when the user gives one, `loss` or `step`. The file runs as a
    module of its own, with its directory first on the import path, as under `python FILE.py`.
    Raises InputError, one sentence that names the file, the line of the user's code and what to do.
    """
    path, name = file_and_name(spec)
    module = _load_module(path)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(_no_such_function(path, name, vars(module), defined=function is not None))
    try:
        made = function()
    except RoamError:
        raise
    except Exception as error:
        raise InputError(f"{_place(error, path)}: {name}() raised {_error_text(error)}; {_remedy(error)}") from None
    return _checked(path, name, made)


def file_and_name(spec: str) -> tuple[Path, str]:
    """The two parts of "FILE.py:FACTORY". Raises InputError where it has another form, or the file is not there."""
    file, separator, name = spec.rpartition(":")
    if not separator or not file or not name:
        raise InputError(f"{spec}: not FILE.py:FACTORY; name a file and a function in it, such as train.py:make")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give FILE.py:FACTORY with a path that exists")
    return path, name


def _remedy(error: Exception) -> str:
    """What the user may do about an error of the factory; one that needs a GPU may be right on another machine."""
    asks = any(word in str(error) for word in ("CUDA", "NVIDIA")) and not torch.cuda.is_available()
    return ADVICE if asks else "fix the factory"


def _load_module(path: Path) -> Any:
    module_name = f"roam_factory_{path.stem}"
    module_spec = importlib.util.spec_from_file_location(module_name, path)
    if module_spec is None or module_spec.loader is None:
        raise InputError(f"{path}: not a Python file; give FILE.py:FACTORY")
    module = importlib.util.module_from_spec(module_spec)
    directory = str(path.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    sys.modules[module_name] = module  # dataclasses and pickle look the module of a class up here
    try:
        module_spec.loader.exec_module(module)
    except SyntaxError as error:
        raise InputError(f"{error.filename or path}:{error.lineno}: {error.msg}; fix the syntax") from None
    except RoamError:
        raise
    except Exception as error:
        raise InputError(f"{_place(error, path)}: importing the file raised {_error_text(error)}") from None
    return module


def _no_such_function(path: Path, name: str, names: Mapping[str, Any], *, defined: bool) -> str:
    if defined:
        return f"{path}: {name} is not a function; FACTORY must be one that returns a dict"
    kinds = (FunctionType, functools.partial)
    functions = [key for key, value in names.items() if isinstance(value, kinds) and not key.startswith("_")]
    near = difflib.get_close_matches(name, functions, n=1, cutoff=0.5)
    if near:
        return f"{path}: there is no function {name}; did you mean {near[0]}?"
    listed = ", ".join(sorted(functions)[:8]) or "none"
    return f"{path}: there is no function {name}; functions in the file: {listed}"


def _place(error: Exception, path: Path) -> str:
    """`file:line` of the deepest frame inside the user's own file."""
    own = path.resolve()
    place = str(path)
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).resolve() == own:
            place = f"{path}:{frame.lineno}"
    return place


def one_line(error: Exception) -> str:
    """The exception's text as one line of at most 300 characters: some libraries raise paragraphs."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


def _error_text(error: Exception) -> str:
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _checked(path: Path, name: str, made: Any) -> dict[str, Any]:
    place = f"{path}:{name}"
    if not isinstance(made, Mapping):
        raise InputError(
            f"{place}: returned {type(made).__name__}, not a dict; return model, optimizer, batch and, "
            "optionally, loss or step"
        )
    for key in made:
        if key not in (*REQUIRED, *OPTIONAL):
            near = difflib.get_close_matches(str(key), (*REQUIRED, *OPTIONAL), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join((*REQUIRED, *OPTIONAL))}"
            raise InputError(f"{place}: the dict has an unknown key {key!r}; {hint}")
    missing = [key for key in REQUIRED if key not in made]
    if missing:
        raise InputError(f"{place}: the dict has no {' and no '.join(map(repr, missing))}; return it too")
    kinds: tuple[tuple[str, type], ...] = (("model", torch.nn.Module), ("optimizer", torch.optim.Optimizer))
    for key, kind in kinds:
        if not isinstance(made[key], kind):
            raise InputError(f"{place}: {key!r} is a {type(made[key]).__name__}, not a torch {kind.__name__}")
    for key in OPTIONAL:
        if made.get(key) is not None and not callable(made[key]):
            raise InputError(f"{place}: {key!r} is a {type(made[key]).__name__}, not a function")
    if made.get("loss") is not None and made.get("step") is not None:
        raise InputError(f"{place}: the dict has both 'loss' and 'step'; a step computes its own loss, keep one")
    return {key: made[key] for key in (*REQUIRED, *OPTIONAL) if made.get(key) is not None or key in REQUIRED}
