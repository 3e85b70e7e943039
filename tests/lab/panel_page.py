"""The panel in a real page: its widgets, what BokehJS holds, and the kernel behind it."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from tests.browser import LabPage, open_page, require_browser, running_lab
from tests.report.figures.in_page import SOURCE, click_at

SETUP = """import time, torch
torch.manual_seed(0)
torch.set_num_threads(1)
layer = lambda: torch.nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
model = torch.nn.Sequential(torch.nn.Embedding(200, 64), layer(), layer(), layer(), torch.nn.Linear(64, 200))
batch = torch.randint(0, 200, (2, 32))
optimizer = torch.optim.AdamW(model.parameters())
loss = lambda outputs: torch.nn.functional.cross_entropy(outputs.flatten(0, 1), batch.flatten())
def train_step(model, optimizer, batch):
    value = torch.nn.functional.cross_entropy(model(batch).flatten(0, 1), batch.flatten())
    value.backward()
    optimizer.step()
    optimizer.zero_grad()
    return value"""
CELLS = (
    "%load_ext roam_lab",
    SETUP,
    "p = %roam profile model batch --optimizer optimizer --step train_step --name base",
    "panel = %roam lab\npanel",  # its value is the panel, as that of a bare %roam lab is: it stands there once
)
KERNEL = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"


class Panel:
    """A notebook with `%roam lab` in its last cell, run in `page`."""

    def __init__(self, page: LabPage, path: Path, cells: Sequence[str] = CELLS) -> None:
        self.page, self.path = page, path
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, path)
        self._open()
        page.execute("notebook:run-all-cells")
        self.wait_for_figures()

    def _open(self) -> None:
        self.page.open(self.path.name)
        self.page.page.wait_for_function(f"{KERNEL}?.status === 'idle'", timeout=60_000)

    def reload(self) -> None:
        """Save the notebook, load the whole page anew, open it again: the kernel has gone on.

        Once more where no panel comes: on a busy machine ipywidgets gives up on the kernel after four
        seconds, and never asks again (the page shows the still picture then). Two of five runs of all tests had that.
        """
        from playwright.sync_api import TimeoutError as NoPanel

        self.page.execute("docmanager:save")
        for seconds in (30, 90):
            self.page.load()
            self._open()
            try:
                self.wait_for_figures(seconds)
            except NoPanel:
                if seconds == 90:
                    raise
            else:
                return

    def wait_for_figures(self, seconds: float = 90) -> None:
        """Scroll to the panel's cell, as cells out of sight are not drawn, and wait until BokehJS holds its figures."""
        self.page.page.evaluate(
            """() => {
              const book = window.jupyterapp.shell.currentWidget.content
              return book.scrollToItem(book.widgets.length - 1, "smart")
            }"""
        )
        self.page.page.wait_for_function(f"({SOURCE})('roam-arena')", timeout=1000 * seconds)
        self.page.locator(".bk-Figure").first.wait_for()

    def kernel(self, expression: str) -> Any:
        """What `expression`, plain data, is in the kernel: the kernel must be free to answer."""
        told = self.page.page.evaluate(
            f"""async text => {{
              const sent = {KERNEL}.requestExecute({{code: "", user_expressions: {{told: text}}, store_history: false}})
              return (await sent.done).content.user_expressions.told
            }}""",
            expression,
        )
        assert told["status"] == "ok", told
        return ast.literal_eval(told["data"]["text/plain"])

    def run(self, code: str) -> None:
        """Run code in the kernel."""
        done = f"async code => (await {KERNEL}.requestExecute({{code}}).done).content.status"
        assert self.page.page.evaluate(done, code) == "ok"

    def figure_says(self, words: str) -> bool:
        """Whether the memory figure's legend has these words: it names the order that is drawn."""
        return bool(self.page.page.evaluate(LEGEND_HAS, words))

    def figure_ids(self) -> list[str]:
        """Which figures BokehJS holds."""
        names = ("memory", "graph", "arena", "alive", "tasks")
        return [str(self.page.page.evaluate(f"({SOURCE})('roam-{name}').id")) for name in names]

    def planned_curve(self) -> list[int]:
        """The live bytes that the planned curve has, each once."""
        return sorted(set(map(int, self.column("roam-planned", "bytes"))))

    def draws(self, levels: str) -> bool:
        """Whether the planned curve comes to have the levels that an expression of the kernel tells; figures follow one
        another."""
        told = self.kernel(levels)
        for _ in range(50):
            if self.planned_curve() == told:
                return True
            self.page.page.wait_for_timeout(100)
        return False

    def remember(self) -> None:
        """Note what the arena map shows, so that `wait_for_words` can tell that it shows something else."""
        self.page.page.evaluate(f"() => {{ window.roamBefore = ({SOURCE})('roam-arena-data').data }}")

    def wait_for_words(self, words: str, other: bool = False) -> float:
        """Wait until figures and table show a plan, and are painted; `words` "ORDER" or "ORDER, NODES". Seconds since
        the epoch.

        `other`: the arena map must show something else than at `remember`.
        """
        order, _, nodes = words.partition(", ")
        return float(
            self.page.page.evaluate(
                f"""async ([order, nodes, other]) => {{
                  const figure = {LEGEND_HAS}
                  const row = () => [...document.querySelectorAll(".widget-gridbox button.mod-info")].some(
                    button => button.textContent.includes(order) && button.textContent.includes(nodes))
                  const end = Date.now() + 60000
                  const fresh = () => !other || ({SOURCE})("roam-arena-data")?.data !== window.roamBefore
                  while (!(figure(`planned order (${{order}})`) && row() && fresh())) {{
                    if (Date.now() > end) throw new Error("the page never showed " + order)
                    await new Promise(requestAnimationFrame)
                  }}
                  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame)
                  return Date.now() / 1000
                }}""",
                [order, nodes, other],
            )
        )

    def wait_for_legend(self, words: str) -> float:
        """Wait until the memory figure's legend has these words, the arena map shows something else than at `remember`,
        and both are painted; seconds since the epoch."""
        return float(
            self.page.page.evaluate(
                f"""async words => {{
                  const figure = {LEGEND_HAS}
                  const end = Date.now() + 60000
                  while (!(figure(words) && ({SOURCE})("roam-arena-data")?.data !== window.roamBefore)) {{
                    if (Date.now() > end) throw new Error("the page never showed " + words)
                    await new Promise(requestAnimationFrame)
                  }}
                  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame)
                  return Date.now() / 1000
                }}""",
                words,
            )
        )

    def column(self, name: str, key: str) -> list[Any]:
        """A column of a named data source in the page."""
        return list(self.page.page.evaluate(f"([name, key]) => Array.from(({SOURCE})(name).data[key])", [name, key]))

    def click_arena(self, left: float, right: float, bottom: float, top: float) -> None:
        """Click in the middle of a rectangle of the arena map."""
        click_at(self.page.page, "roam-arena", (left + right) / 2, (bottom + top) / 2)

    def click_frontier(self, x: float, y: float) -> None:
        """Click on a point of the frontier."""
        click_at(self.page.page, "roam-frontier", x, y)

    def choose(self, label: str, value: str) -> None:
        """Take an entry of the dropdown with that label."""
        box = self.page.locator(".widget-dropdown").filter(has=self.page.page.get_by_text(label, exact=True))
        box.locator("select").select_option(value)

    def tick(self, label: str, on: bool = True) -> None:
        """Tick the box with that label, or take the tick away."""
        self.page.page.get_by_role("checkbox", name=label, exact=True).first.set_checked(on)

    def press(self, text: str) -> None:
        """Press the button with that text."""
        self.page.page.get_by_role("button", name=text, exact=True).first.click()

    def status(self) -> str:
        """The line below the buttons."""
        return str(self.page.locator(".widget-html [role=status], .widget-html [role=alert]").first.inner_text())

    def wait_until(self, expression: str, seconds: float = 30) -> Any:
        """Wait until something in the kernel is true."""
        end = time.monotonic() + seconds
        while not (found := self.kernel(expression)):
            assert time.monotonic() < end, f"{expression} never came true"
            time.sleep(0.1)
        return found


@contextmanager
def opened_panel(root: Path, width: int) -> Iterator[Panel]:
    """A panel in a page of JupyterLab that serves `root`; at the end the page has asked no other machine for anything,
    and no error was thrown in it."""
    require_browser()
    with running_lab(root) as lab, open_page(lab, width, 1300) as page:
        yield Panel(page, root / "panel.ipynb")
        page.assert_no_outside_requests()
        assert page.errors == []


LEGEND_HAS = f"""(words => {{
  const drawn = ({SOURCE})("roam-memory")
  const legends = (drawn?.above ?? []).filter(one => one.items)
  return legends.some(one => one.items.some(item => String(item.label?.value ?? "").includes(words)))
}})"""
