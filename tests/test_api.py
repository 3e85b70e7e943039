"""The public names: which they are, that each says its units and what it raises, and that docs/api.md says the same."""

import importlib.util
import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import roam_lab as roam

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "CaptureError", "DataDependentError", "DeviceError", "FirstStepError", "FormatError", "InfeasibleError",
    "InputError", "JudgementError", "MismatchError", "OutputError", "ParameterError", "PartedError", "Plan", "Profile",
    "RoamError", "RoamWarning", "UnknownStrategyError", "explain", "full_state_dict", "grid", "hook", "load",
    "load_ipython_extension", "load_sweep", "profile", "shard", "sweep", "unload_ipython_extension", "verify",
}  # fmt: skip
"""A name that comes or goes is a line in changelog.d; one that goes was deprecated before (docs/releases.md)."""
FUNCTIONS = sorted(name for name in PUBLIC if name[0].islower() and "ipython" not in name)
CLASSES = ("Plan", "Profile")
UNITS = {
    "budget": "bytes", "extra_time": "fraction", "seconds": "seconds", "bytes": "bytes", "time_limit": "seconds",
    "offsets": "byte", "peak_bytes": "bytes", "steps": "steps",
}  # fmt: skip
"""What a docstring that names one of these says of its unit."""


def page():
    spec = importlib.util.spec_from_file_location("api_page", ROOT / "docs" / "api_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def silent_about(function):
    """The parameters that a docstring does not name."""
    message = re.sub(r"\s+", " ", inspect.getdoc(function) or "")
    names = [one.name for one in inspect.signature(function).parameters.values()]
    return [name for name in names if not re.search(rf"`[^`]*\b{name}\b[^`]*`", message)]


def test_the_public_names_are_locked():
    assert set(roam.__all__) == PUBLIC
    assert len(roam.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_and_raises(name):
    function = getattr(roam, name)
    message = inspect.getdoc(function)
    assert "Raises" in message, name
    missing = silent_about(function)
    assert set(missing) <= {"path"}, missing  # its name and type say it
    for parameter in inspect.signature(function).parameters:
        if parameter in UNITS:
            assert UNITS[parameter] in message, parameter


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_says_what_its_fields_are(name):
    kind = getattr(roam, name)
    assert is_dataclass(kind)
    message = inspect.getdoc(kind)
    if name == "Plan":  # its attributes are the keys of the file
        assert "Attributes are the keys of `roam-plan/2`" in message
        message += (ROOT / "docs" / "formats.md").read_text().partition("## `roam-plan/2`")[2].partition("\n## ")[0]
    for one in fields(kind):
        assert re.search(rf"[`\"]{one.name}[`\"]", message), one.name
    assert "bytes" in message
    for member, what in page().members(kind):
        found = inspect.getdoc(what)
        assert found, member
        if inspect.isfunction(what) and "raise " in inspect.getsource(what):
            assert "Raises" in found, member


@pytest.mark.parametrize("name", sorted(name for name in PUBLIC if name.endswith(("Error", "Warning"))))
def test_an_error_says_when(name):
    message = inspect.getdoc(getattr(roam, name))
    assert message.endswith("."), name
    assert len(message.split()) > 5


def test_the_page_is_what_the_docstrings_say():
    assert (ROOT / "docs" / "api.md").read_text() == page().page(), "docs/api.md is out of date; run `make docs`"


def test_the_page_has_every_name():
    text = (ROOT / "docs" / "api.md").read_text()
    for name in PUBLIC:
        assert re.search(rf"^### {name}$|^ *- `{name}`: ", text, re.MULTILINE), name


def test_a_silent_docstring_is_found():
    def quiet(model, budget):
        """Does something with `model`."""

    assert silent_about(quiet) == ["budget"]
