"""The `%roam` magic in a real IPython shell: results, reports, and errors without a traceback."""

import re
from base64 import b64decode
from xml.etree import ElementTree

import pytest
import torch

from roam_lab.plan import Plan, Profile
from roam_lab.registry import strategies
from roam_lab.report import sentences
from roam_lab.report.explanation import explain
from tests.notebook_shell import PROFILE, cell, open_shell


@pytest.fixture
def shell():
    with open_shell() as opened:
        yield opened


def test_profile_returns_the_profile_and_shows_text_and_picture(shell):
    caught = cell(shell, f"p = {PROFILE}")
    made = shell.user_ns["p"]
    assert isinstance(made, Profile)
    assert made.graph.name == "small"
    assert made.measured is not None
    early, shown = caught.outputs
    assert "whole step, eager, predicted" in early.data["text/plain"]
    assert shown.data["text/plain"].startswith(f"small: {shell.user_ns['p'].plan().headline}, predicted;")
    html = shown.data["text/html"]
    assert "<img " in html[:60]
    assert "on top, measured" in shown.data["text/plain"]  # an eager step leads the capture
    pictures = [b64decode(data) for data in re.findall('data:image/svg.xml;base64,([^"]+)', html)]
    assert b"measured eager (cpu)" in pictures[1]
    assert [ElementTree.fromstring(picture).tag.rpartition("}")[2] for picture in pictures] == ["svg"] * 2
    assert caught.stderr == ""


def test_source_lines_are_the_cells_not_ipythons(shell):
    cell(shell, f"p = {PROFILE}")
    sources = {op.source for op in shell.user_ns["p"].graph.ops}
    assert all(source is None or source.startswith("In[") for source in sources), sources
    assert any(sources)


def test_profile_takes_a_step_and_leaves_the_model_as_it_was(shell):
    before = [parameter.clone() for parameter in shell.user_ns["model"].parameters()]
    cell(shell, "p = %roam profile model batch --optimizer optimizer --step train_step --fake")
    assert shell.user_ns["p"].measured is None
    assert all(map(torch.equal, before, shell.user_ns["model"].parameters()))


def test_plan_follows_the_last_profile_or_a_named_one(shell):
    cell(shell, f"p = {PROFILE}\nq = %roam profile model batch --loss criterion --fake --name other")
    caught = cell(shell, "a = %roam plan\nb = %roam plan p --order captured --layout best_fit --seed 1")
    assert isinstance(shell.user_ns["a"], Plan)
    assert shell.user_ns["a"].graph.name == "other"
    assert (shell.user_ns["b"].graph.name, shell.user_ns["b"].order_strategy) == ("small", "captured")
    assert ["<img " in output.data["text/html"][:60] for output in caught.outputs] == [True] * 2
    assert "whole step" in caught.outputs[0].data["text/plain"]


def test_explain_follows_the_last_plan_or_a_named_one(shell):
    cell(shell, f"p = {PROFILE}\na = %roam plan --order captured\nb = %roam plan")
    last, named = cell(shell, "e = %roam explain"), cell(shell, "e = %roam explain a --limit 2")
    assert last.outputs[-1].data["text/plain"] == explain(shell.user_ns["b"]).text()
    assert named.outputs[-1].data["text/plain"] == explain(shell.user_ns["a"]).text(2)
    assert shell.user_ns["e"] == explain(shell.user_ns["a"])


def test_an_option_without_effect_is_remarked_upon(shell):
    cell(shell, PROFILE)
    caught = cell(shell, "a = %roam plan --order captured --layout best_fit --node-limit 64")
    assert "order 'captured' and layout 'best_fit' take no --node-limit" in caught.stderr


def test_an_order_that_is_not_kept_is_named(shell, monkeypatch):
    # that an order loses is left to tests of the command line, whose function this is: a small step has no room for it
    monkeypatch.setattr(sentences, "kept_order_sentence", lambda plan, asked: f"{asked}, not kept")
    cell(shell, PROFILE)
    assert "dfs, not kept" in cell(shell, "a = %roam plan --order dfs").stderr


def test_local_names_inside_a_function_are_seen(shell):
    call = "get_ipython().run_line_magic('roam', 'profile model mine --loss criterion --fake')"
    cell(shell, f"def inner():\n    mine = batch\n    return {call}\nr = inner()")
    assert isinstance(shell.user_ns["r"], Profile)


def test_expressions_stand_in_quotes(shell):
    cell(shell, "p = %roam profile model '(batch[0][:2], batch[1][:2])' --loss criterion --fake")
    assert isinstance(shell.user_ns["p"], Profile)


def test_strategies_and_help(shell):
    text = cell(shell, "%roam strategies").stdout
    assert all(strategy.name in text for strategy in strategies())
    assert "--optimizer NAME" in cell(shell, "%roam help profile").stdout
    assert "usage: %roam" in cell(shell, "%roam help").stdout
    assert "usage: %roam" in cell(shell, "%roam").stdout
    assert "--node-limit N" in cell(shell, "%roam plan --help").stdout


def test_the_question_mark_shows_the_full_help(shell):
    text = shell.object_inspect_text("%roam")
    for action in ("profile", "plan", "explain", "strategies", "help"):
        assert f"usage: %roam {action}" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%roam plan", "there is no profile yet; make one with profile first"),
        ("%roam profle model batch", "there is no action 'profle'; did you mean 'profile'?"),
        ("%roam profile model", "the following arguments are required: batch; see %roam profile --help"),
        ("%roam profile modl batch", "name 'modl' is not defined; run the cell that defines it first"),
        ("%roam profile batch model", "batch is a tuple, not a torch Module; see %roam help profile"),
        ("%roam profile model batch --optimizer criterion", "criterion is a CrossEntropyLoss, not a torch Optimizer"),
        ("%roam profile model batch", "the model does not accept this batch"),
        ("%roam profile model 'batch", "close the quotes"),
        ("%roam profile model '1 +' ", "1 +: SyntaxError"),
        ("%roam profile model batch --loss criterion --step train_step", "give loss= or step=, not both"),
        ("%roam explain", "there is no plan yet; make one with profile or plan first"),
        ("%roam explain batch", "batch is a tuple, not a plan"),
        ("%roam plan batch", "batch is a tuple, not a profile"),
        (
            "%roam profile model batch --loss torch.nn.MSELoss",
            "MSELoss is a class; give a loss made of it, such as torch",
        ),
        ("%roam fit --extra-times 0.1", "unrecognized arguments: --extra-times; see %roam fit --help"),
        ("%roam help nothing", "invalid choice: 'nothing'"),
    ],
)
def test_errors_are_one_short_message(shell, line, message):
    caught = cell(shell, f"x = {line}")
    assert shell.user_ns["x"] is None
    assert caught.stdout == ""
    assert caught.stderr.startswith("\x1b[1mroam: ")
    assert caught.stderr.endswith("\x1b[0m\n")
    assert caught.stderr.count("\n") == 1
    assert message in caught.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--order lisst", "there is no order strategy 'lisst'; did you mean 'list'?"),
        ("--layout best-fit", "there is no layout strategy 'best-fit'; did you mean 'best_fit'?"),
        ("--node-limit 7", "node_limit is 7, outside its range 8 to 1024"),
        ("--set order.tim_limit=1", "order 'auto' has no parameter 'tim_limit'; did you mean 'time_limit'?"),
        ("--budget 1", "1 bytes are too few for the whole step: the least known to do is"),
    ],
)
def test_settings_that_cannot_be_met(shell, options, message):
    cell(shell, f"{PROFILE} --fake")
    caught = cell(shell, f"x = %roam plan {options}")
    assert shell.user_ns["x"] is None
    assert message in caught.stderr


def test_unload_takes_the_magic_away(shell):
    cell(shell, "%unload_ext roam_lab")
    assert shell.find_line_magic("roam") is None
    cell(shell, "%load_ext roam_lab")
    assert shell.find_line_magic("roam") is not None
