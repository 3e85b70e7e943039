"""Every "am I being traced or compiled?" is answered with no inside, and as before outside."""

import sys
import types

import pytest
import torch
import transformers.utils.import_utils as transformers_asks
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from roam_lab.capture.eager_answers import TORCHS_QUESTIONS, answered_as_in_eager, questions

TRANSFORMERS = [
    "is_cuda_stream_capturing",
    "is_fake_tensor",
    "is_jit_tracing",
    "is_torch_fx_proxy",
    "is_torchdynamo_compiling",
    "is_torchdynamo_exporting",
    "is_tracing",
]


def torchs(full):
    home, _, name = full.rpartition(".")
    return getattr(sys.modules.get(home), name, None)


PRESENT = [full for full in TORCHS_QUESTIONS if callable(torchs(full))]
ARGUMENTS = {"torch.utils.checkpoint._is_compiling": (None, (), {})}


def yes(monkeypatch):
    """Torch is made to say that it compiles, exports, and traces in every way that it knows."""
    monkeypatch.setattr(torch.compiler, "_is_compiling_flag", True)
    monkeypatch.setattr(torch.compiler, "_is_exporting_flag", True)
    monkeypatch.setattr(torch.fx._symbolic_trace, "_is_fx_tracing_flag", True)
    monkeypatch.setattr(torch._C, "_is_tracing", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)


def fake():
    with FakeTensorMode():
        return torch.ones(2)


def asked(name):
    """What transformers' function of this name says, where it has an argument of a fake tensor or a proxy."""
    function = getattr(transformers_asks, name)
    if name == "is_torch_fx_proxy":
        return function(torch.fx.Proxy(torch.fx.Graph().placeholder("x")))
    return function(fake()) if name in ("is_fake_tensor", "is_tracing") else function()


@pytest.mark.parametrize("full", PRESENT)
@pytest.mark.filterwarnings("ignore:.torch._utils.is_compiling. is deprecated")
def test_torchs_own(full, monkeypatch):
    yes(monkeypatch)
    before, arguments = torchs(full), ARGUMENTS.get(full, ())
    code = getattr(before, "__code__", None)
    found = before(*arguments)
    with answered_as_in_eager():
        assert torchs(full)(*arguments) is False
        assert torchs(full)(1, any="thing") is False
    assert torchs(full) is before
    assert getattr(before, "__code__", None) is code
    assert before(*arguments) == found


@pytest.mark.filterwarnings("ignore:.torch._utils.is_compiling. is deprecated")
def test_most_of_torchs_say_yes_outside(monkeypatch):
    """Else the test above would compare no with no."""
    yes(monkeypatch)
    said_yes = {full for full in PRESENT if torchs(full)(*ARGUMENTS.get(full, ()))}
    assert said_yes >= {
        "torch.compiler.is_compiling",
        "torch.compiler.is_exporting",
        "torch.jit.is_tracing",
        "torch.fx._symbolic_trace.is_fx_tracing",
    }


@pytest.mark.parametrize("name", [name for name in TRANSFORMERS if hasattr(transformers_asks, name)])
def test_those_of_transformers(name, monkeypatch):
    yes(monkeypatch)
    assert asked(name) is True
    with answered_as_in_eager():
        assert asked(name) is False
    assert asked(name) is True


def library(name, source):
    module = types.ModuleType(name)
    exec(source, vars(module))
    return module


def test_a_function_that_was_imported_by_name_elsewhere(monkeypatch):
    home = library("some_library", "def is_tracing(x, *, deep=True):\n    return True\n")
    user = library("some_user", "")
    vars(user)["asks"] = vars(user)["is_tracing"] = home.is_tracing
    for one in (home, user):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    with answered_as_in_eager():
        assert home.is_tracing(1) is False
        assert user.asks(1, deep=False) is False
    assert home.is_tracing(1) is True
    assert user.asks is home.is_tracing


def test_a_function_with_variables_of_its_surroundings(monkeypatch):
    source = (
        "def make(first, second):\n    def is_compiling():\n        return first or second\n    return is_compiling\n"
    )
    home = library("some_library", source + "is_compiling = make(True, False)\n")
    monkeypatch.setitem(sys.modules, "some_library", home)
    with answered_as_in_eager():
        assert home.is_compiling() is False
    assert home.is_compiling() is True


def test_what_only_has_such_a_name_is_left_alone(monkeypatch):
    """A class, a flag, and a function of another name."""
    home = library(
        "some_library",
        "class is_exporting:\n    yes = True\nis_tracing = True\ndef is_training():\n    return True\n",
    )
    monkeypatch.setitem(sys.modules, "some_library", home)
    with answered_as_in_eager():
        assert home.is_exporting.yes is True
        assert home.is_tracing is True
        assert home.is_training() is True


def test_as_before_also_after_an_error(monkeypatch):
    yes(monkeypatch)
    with pytest.raises(AssertionError, match="in the step"), answered_as_in_eager():
        assert torch.compiler.is_compiling(), "in the step"
    assert torch.compiler.is_compiling() is True
    assert transformers_asks.is_torchdynamo_compiling() is True


def test_one_within_another(monkeypatch):
    yes(monkeypatch)
    with answered_as_in_eager():
        with answered_as_in_eager():
            assert torch.compiler.is_compiling() is False
        assert torch.compiler.is_compiling() is False
    assert torch.compiler.is_compiling() is True


def test_every_question_is_asked_for_once():
    found = questions()
    assert len({id(one) for one in found}) == len(found)
    functions = [one for one in found if not isinstance(one, str)]
    assert {torchs(full) for full in PRESENT if isinstance(torchs(full), types.FunctionType)} <= set(functions)
    assert transformers_asks.is_torchdynamo_compiling in functions


def test_fakes_count_as_plain_tensors_for_multi_tensor_ops():
    supported = sys.modules["torch.optim.optimizer"]._foreach_supported_types
    before = list(supported)
    with answered_as_in_eager():
        assert supported == [*before, FakeTensor]
    assert supported == before
    assert FakeTensor not in before
