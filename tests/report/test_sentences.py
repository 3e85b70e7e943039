"""The sentence on an order that was asked for and is not kept."""

from dataclasses import replace

from roam_lab.plan import make_plan
from roam_lab.report.sentences import kept_order_sentence
from tests.report.graphs import branches
from tests.rewrite.graphs import blocks


def test_says_which_order_is_kept_in_place_of_another():
    plan = make_plan(branches(), order="lescea")
    assert kept_order_sentence(plan, "lescea") == kept_order_sentence(plan, "auto") == ""
    captured, listed = (replace(plan, order_strategy=name) for name in ("captured", "list"))
    assert kept_order_sentence(captured, "mine") == "order mine is worse than captured here, which the plan keeps"
    assert kept_order_sentence(listed, "model_ilp") == "order model_ilp gave up here, and the plan is that of list"
    rewritten = replace(make_plan(blocks(4), extra_time=0.25, alignment=1), order_strategy="auto")
    assert rewritten.rewrites
    assert "order mine is not kept: what is rewritten has an order of its own" in kept_order_sentence(rewritten, "mine")
