"""The figures in a real browser, as one offline page: clicks select and open, hostile names only show."""

from __future__ import annotations

from roam_lab.plan import Profile, make_plan
from roam_lab.report.figures import linked, page
from roam_lab.report.figures.theme import INKS
from roam_lab.report.views import views_of
from roam_lab.report.views.details import details
from tests.report.figures.in_page import SOURCE, click_at, column, planned, selected
from tests.report.graphs import branches, chain
from tests.report.views.graphs import blocks


def test_a_click_in_the_arena_selects_everywhere(shown):
    plan = planned(blocks(4))
    views = views_of(plan)
    tab = shown(page("linked", linked(plan), views.tables()))
    found = tab.locator("[role=status] span")
    assert "Nothing selected" in found.first.inner_text()
    row = int((views.arena.top - views.arena.bottom).argmax())
    storage = int(views.arena.storage[row])
    unit = views.arena.unit[1]
    middle = (
        (views.arena.left[row] + views.arena.right[row]) / 2,
        (views.arena.top[row] + views.arena.bottom[row]) / 2,
    )
    click_at(tab, "roam-arena", float(middle[0]), float(middle[1]) / unit)
    assert column(tab, "roam-selection", "storage") == [storage]
    rows = details(views.tensors, storage, views.icicle.step)
    assert "".join(found.all_inner_texts()) == "".join(label + text for label, text in rows)
    assert selected(tab, "roam-arena-data") == [row]
    assert selected(tab, "roam-tasks-data") == [int(views.tasks.row_of[storage])]
    assert column(tab, "roam-graph-cells", "width").count(4) == 1
    assert all(column(tab, "roam-alive-data", "storage")[at] == storage for at in selected(tab, "roam-alive-data"))


def test_a_click_opens_a_module_and_its_bar_folds_it(shown):
    plan = planned(blocks(20))
    tab = shown(page("graph", linked(plan)))
    before = column(tab, "roam-graph-cells", "label")
    folded = next(at for at, text in enumerate(before) if "×" in text)
    cell = {key: column(tab, "roam-graph-cells", key)[folded] for key in ("middle", "bottom", "top")}
    click_at(tab, "roam-graph", cell["middle"], (cell["bottom"] + cell["top"]) / 2)
    after = column(tab, "roam-graph-cells", "label")
    assert len(after) > len(before)
    assert before[folded] not in after
    labels = column(tab, "roam-graph-brackets", "label")
    at = labels.index(before[folded])
    click_at(
        tab,
        "roam-graph",
        column(tab, "roam-graph-brackets", "middle")[at],
        column(tab, "roam-graph-brackets", "centre")[at] + 0.2,
    )
    assert column(tab, "roam-graph-cells", "label") == before


def test_a_leaf_selects_its_largest_storage(shown):
    plan = planned(blocks(2))
    tab = shown(page("graph", linked(plan)))
    cells = {key: column(tab, "roam-graph-cells", key) for key in ("node", "storage", "middle", "bottom", "top")}
    tree = views_of(plan).graph.tree
    leaf = next(
        at for at, node in enumerate(cells["node"]) if not tree.nodes[node].children and cells["storage"][at] >= 0
    )
    click_at(tab, "roam-graph", cells["middle"][leaf], (cells["bottom"][leaf] + cells["top"][leaf]) / 2)
    assert column(tab, "roam-selection", "storage") == [cells["storage"][leaf]]


def test_hostile_names_only_show(shown):
    plan = planned(blocks(3, hostile=True))
    views = views_of(plan)
    tab = shown(page("hostile", linked(plan, selected=0), views.tables()))
    assert tab.title() == "hostile"
    assert tab.get_by_text("</script><script>").count() >= 1  # letter by letter
    left, right, bottom, top = (column(tab, "roam-arena-data", key)[0] for key in ("left", "right", "bottom", "top"))
    places = {
        "roam-arena": ((left + right) / 2, (bottom + top) / 2),
        "roam-alive": (column(tab, "roam-alive-data", "right")[0] / 2, column(tab, "roam-alive-data", "y")[0]),
        "roam-graph": (column(tab, "roam-graph-cells", "middle")[0], column(tab, "roam-graph-cells", "lower")[0]),
    }
    for name, (x, y) in places.items():
        click_at(tab, name, x, y)  # and the tooltip opens
        assert tab.locator(".bk-tooltip, .bk-Tooltip").count() >= 1, name
    assert tab.title() == "hostile"


def test_a_click_on_a_bar_of_another_graph_dims_nothing(shown):
    profile = Profile(graph=chain(4), eager_graph=branches())
    tab = shown(page("captured", linked(make_plan(chain(4)), profile)))
    bar = {key: column(tab, "roam-alive-data", key)[0] for key in ("storage", "right", "y")}
    assert bar["storage"] == -1
    click_at(tab, "roam-alive", bar["right"] / 2, bar["y"])
    assert selected(tab, "roam-alive-data") == []
    assert column(tab, "roam-selection", "storage") == [-1]


CHANGED = """async (legend) => {
  const view = Bokeh.index.find_one(legend)
  let drawn = 0
  const watch = new MutationObserver((found) => { drawn += found.filter((one) => one.addedNodes.length).length })
  watch.observe(view.shadow_el, {childList: true, subtree: true})
  legend.items.forEach((item, at) => { item.label = {value: `changed ${at}`} })
  await new Promise(requestAnimationFrame)
  await new Promise(requestAnimationFrame)
  watch.disconnect()
  return [drawn, legend.items.length, view.shadow_el.textContent]
}"""
"""Changes every entry of a legend in one turn of the page, as another plan does."""
LEGEND = f"({SOURCE})('roam-memory').above.find((one) => one.items)"


def test_a_legend_whose_entries_all_change_is_drawn_twice(shown):
    tab = shown(page("legend", linked(planned(blocks(2)))))
    drawn, entries, words = tab.evaluate(f"() => ({CHANGED})({LEGEND})")
    assert entries > 4
    assert 1 <= drawn <= 2
    assert all(f"changed {at}" in words for at in range(entries))


NEW = """async (fig, steps, colour) => {
  const made = fig.center.find((one) => one.type === "Span").clone()
  made.line_color = colour
  fig.center = [...fig.center, made]
  steps.data = {...steps.data, more: steps.data.left}
  await new Promise(requestAnimationFrame)
  return made.line_color
}"""
"""A new annotation in a colour of theme "auto", as another plan may bring one along; the colour that it has then."""


def test_what_is_new_in_a_figure_takes_on_the_theme_of_its_page(shown):
    tab = shown(page("dark", linked(planned(blocks(2))), dark=True))
    tab.wait_for_function(f"({SOURCE})('roam-memory').title.text_color === '{INKS['dark'].text}'")
    figure, steps = (f"({SOURCE})('{name}')" for name in ("roam-memory", "roam-steps"))
    assert tab.evaluate(f"(colour) => ({NEW})({figure}, {steps}, colour)", INKS["auto"].axis) == INKS["dark"].axis
