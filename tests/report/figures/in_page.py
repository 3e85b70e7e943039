"""Reading and touching figures in a page that a browser shows."""

from __future__ import annotations

from dataclasses import replace

from roam_lab.plan import make_plan
from tests.report.views.graphs import tree_of

READY = "window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle"
SOURCE = """name => {
  for (const found of window.Bokeh?.documents ?? [])
    for (const model of (found._all_models ?? found.all_models).values()) if (model.name === name) return model
}"""
"""The model of that name; a document that was replaced is gone from `Bokeh.documents`."""


def planned(graph):
    plan = make_plan(graph)
    return replace(plan, tasks=tree_of(plan.order))


def column(tab, name, key):
    return tab.evaluate(f"([name, key]) => Array.from(({SOURCE})(name).data[key])", [name, key])


def selected(tab, name):
    return tab.evaluate(f"name => Array.from(({SOURCE})(name).selected.indices)", name)


def click_at(tab, figure, x, y):
    """Click at data coordinates of the figure named `figure`."""
    place = tab.evaluate(
        f"""([name, x, y]) => {{
          const model = ({SOURCE})(name)
          const view = Bokeh.index.find_one(model) ?? [...Bokeh.index].map(v => v.find_one?.(model)).find(v => v)
          view.el.scrollIntoView({{block: "center"}})
          const frame = view.frame ?? view.plot_view?.frame
          const box = view.canvas_view.el.getBoundingClientRect()
          return [box.x + frame.x_scale.compute(x), box.y + frame.y_scale.compute(y)]
        }}""",
        [figure, x, y],
    )
    tab.mouse.click(*place)
    tab.wait_for_timeout(450)  # bokeh waits whether a second click makes it a double one


def place_in(tab, figure, x, y):
    """Pixels of a place in a figure, in parts of its plot from the left and from above."""
    return tab.evaluate(
        f"""([name, x, y]) => {{
          const model = ({SOURCE})(name)
          const view = Bokeh.index.find_one(model) ?? [...Bokeh.index].map(v => v.find_one?.(model)).find(v => v)
          view.el.scrollIntoView({{block: "center"}})
          const box = view.canvas_view.el.getBoundingClientRect(), plot = view.frame.bbox
          return [box.x + plot.left + x * plot.width, box.y + plot.top + y * plot.height]
        }}""",
        [figure, x, y],
    )


def step_of(tab):
    """The step under the cursor, once every figure has had a frame to follow it."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return column(tab, "roam-cursor", "step")[0]


def drag(tab, figure, start, end):
    """Drag across a figure, from one part of its width to another."""
    tab.mouse.move(*place_in(tab, figure, start, 0.5))
    tab.mouse.down()
    for part in (0.5, 1.0):
        tab.mouse.move(*place_in(tab, figure, start + (end - start) * part, 0.5))
    tab.mouse.up()
    return step_of(tab)


def attribute(tab, name, key):
    return tab.evaluate(f"([name, key]) => ({SOURCE})(name)[key]", [name, key])
