"""What code runs, function by function, and when it is the same."""

import gc
import sys
from dataclasses import dataclass

import pytest

from roam_lab.capture.stored import code
from roam_lab.capture.stored.code import Entered, code_digest, unnoted
from roam_lab.ir.op_log import OpLog


def function(text):
    space = {}
    exec(compile(text, "a file", "exec"), space)
    return space["f"]


def digest(text):
    return code_digest(function(text).__code__)


def test_places_and_comments_do_not_matter():
    assert digest("def f(x):\n    return x + 1") == digest("\n\ndef f(x):  # one more\n    return x + 1\n")


def test_everything_else_does():
    texts = [
        "def f(x): return x + 1", "def f(x): return x + 2", "def f(x): return x + 1.0", "def f(x): return x + True",
        "def f(x): return x - 1", "def f(x): return y + 1", "def f(*x): return x + 1", "def f(x): return x.a",
        "def f(x): return x.b", "def f(x): return (lambda: x + 1)", "def f(x): return (lambda: x + 2)",
        "def f(x): return x in {1, 2}", "def f(x): return x in {1, 3}", "def f(x): return x + -0.0",
        "def f(x): return x + 0.0",
        "def f(x):\n    try:\n        return x + 1\n    except TypeError:\n        return x",
    ]  # fmt: skip
    assert len({digest(text) for text in texts}) == len(texts)


def entered(call):
    noted = Entered()
    with noted.noted():
        call()
    return noted


def test_what_is_entered_is_noted():
    inner = function("def f(): return 1")
    outer = function("def f(g): return g()")
    found = entered(lambda: outer(inner)).digests()
    assert {code_digest(inner.__code__), code_digest(outer.__code__)} < set(found)
    assert found[code_digest(inner.__code__)] == "f (a file:1)"


@pytest.mark.parametrize("cheap", [True, False])
def test_what_runs_unnoted_is_not(cheap, monkeypatch):
    monkeypatch.setattr(code, "_OFF_IS_CHEAP", cheap)
    first, second, third = (function(f"def f(): return {number}") for number in (1, 2, 3))

    def step():
        first()
        with unnoted():
            second()
        third()

    noted = entered(step)
    assert noted.complete
    found = set(noted.digests())
    assert {code_digest(first.__code__), code_digest(third.__code__)} <= found
    assert code_digest(second.__code__) not in found


def test_what_the_garbage_collector_calls_is_not():
    space = {}
    exec(compile("class Ended:\n    def __del__(self):\n        ended.append(1)\nended = []", "a file", "exec"), space)

    def step():
        one = space["Ended"]()
        one.itself = one
        del one
        gc.collect()

    names = [name for name in entered(step).digests().values() if "Ended" in name]
    assert space["ended"]
    assert names == []
    assert [name for name in entered(lambda: space["Ended"]()).digests().values() if "Ended" in name] != []


def test_what_an_import_runs_is_not(tmp_path, monkeypatch):
    (tmp_path / "imported_once.py").write_text("def helper():\n    return 3\nVALUE = helper()\n")
    monkeypatch.syspath_prepend(tmp_path)

    def step():
        import imported_once

        return imported_once.helper()

    first, second = entered(step).digests(), entered(step).digests()
    assert second.keys() <= first.keys()
    assert any(name.startswith("helper") for name in second.values())
    assert not any("<module>" in name for name in first.values())


@dataclass
class Settings:
    scale: float


def test_what_dataclass_makes_for_roam_lab_is_not_noted():
    """Some of its objects are made in a first step alone."""
    assert not any("__create_fn__" in name for name in entered(lambda: OpLog(())).digests().values())
    made = entered(lambda: Settings(1.0)).digests().values()
    assert any(name.startswith("__create_fn__.<locals>.__init__ (<string>") for name in made)


def test_a_profiler_that_is_on_stays_on():
    seen = []

    def profiler(*event):
        seen.append(event)

    sys.setprofile(profiler)
    try:
        code = entered(function("def f(): return 1"))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert not code.complete
    assert code.digests() == {}
    assert seen


def test_a_step_that_sets_one_is_noticed():
    code = entered(lambda: sys.setprofile(None))
    assert not code.complete
    assert sys.getprofile() is None


def test_nothing_is_left_on_after_an_error():
    with pytest.raises(ZeroDivisionError):
        entered(function("def f(): return 1 / 0"))
    assert sys.getprofile() is None
