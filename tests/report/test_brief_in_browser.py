"""The report for those who decide, in a real browser: money follows its inputs, text can be read, nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roam_lab.plan import Plan, make_plan
from roam_lab.plan.devices import GIB, Device
from roam_lab.plan.fit import Fit
from roam_lab.plan.runs import Point
from roam_lab.report.brief import write_brief
from tests.browser import CHROMIUM, FLAGS, require_browser
from tests.contrast import assert_apart, assert_read
from tests.plan.training_step import training_step
from tests.twins import sampled

MIB = 2**20
CONTRAST = """() => {
  const light = ([r, g, b]) => {
    const part = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const paper = at.tagName === "svg" ? at.querySelector(".paper") : null;
      const found = numbers(paper ? getComputedStyle(paper).fill : getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const skipped = ["SCRIPT", "STYLE", "TITLE", "DESC"].includes(element.tagName.toUpperCase());
    if (skipped || (!own && element.tagName !== "INPUT")) continue;
    const style = getComputedStyle(element);
    const drawn = element.namespaceURI.endsWith("svg");
    const [a, b] = [numbers(drawn ? style.fill : style.color), behind(element)].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([element.tagName, element.textContent.slice(0, 30), ratio]);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    require_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield opened
        opened.close()


def timed(blocks: int) -> Plan:
    """A plan of 2 GiB and more, whose graph tells its arithmetic."""
    graph = training_step(blocks, unit=20 * MIB)
    ops = tuple(replace(op, flops=10**12) for op in graph.ops)
    return make_plan(replace(graph, ops=ops, name="<b>step</b>"), environment={"torch": "2.13.0", "device": "cpu"})


def fit_of(plan: Plan, eager: int) -> Fit:
    """At batch 4 what `plan` needs, and `eager` bytes without it; half of both at batch 2. The fast GPU is dear."""
    assert plan.graph is not None
    resident = plan.graph.resident_bytes
    rates = {"h100": 1.0, "t4": 6.0}
    points = tuple(
        Point(size, resident, size * eager // 4, size * plan.arena_bytes // 4, seconds=rates) for size in (2, 4)
    )
    room = plan.arena_bytes + 2 * GIB
    devices = (Device("small", room, price_per_hour=1.0, rates="t4"), Device("large", 8 * room, GIB, 4.0, "h100"))
    return Fit("step", points, devices)


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path: Path = tmp_path_factory.mktemp("brief") / "r.html"
    plan = timed(4)
    write_brief(path, plan, fit=fit_of(plan, 3 * plan.arena_bytes), batch=4)
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.asked, opened.failed = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.failed.append(str(error)))
    opened.goto(path.as_uri())
    yield opened
    assert opened.failed == []
    assert opened.asked == [path.as_uri()]


def price(page: Any, device: str, value: str) -> str:
    """The sentence on money after a price was edited."""
    page.locator(f"input[data-price='{device}']").fill(value)
    message: str = page.locator("#worth").inner_text()
    return message


def cost(page: Any, device: str, way: int) -> float:
    """What a cell of the table tells."""
    text = page.locator(f"td[data-device='{device}'][data-cost='{way}']").inner_text()
    return float(text.split()[0].replace(",", ""))


def test_a_slower_gpu_is_no_saving_however_cheap_its_hour(page: Any) -> None:
    """Eager needs the large one, the plan fits the small: a quarter of the price, but slower by more than that."""
    found = price(page, "small", "1.00")
    slower = cost(page, "small", 1) / cost(page, "large", 0)
    assert slower > 1
    assert "Money: none is saved at batch size 4." in found
    assert "large is the cheapest GPU per sample (by roofline) with or without a plan" in found
    assert page.locator("td[data-device='small'][data-cost='0']").inner_text() == "–"


def test_a_saving_is_that_of_a_sample(page: Any) -> None:
    message = price(page, "small", "0.01")
    part = 1 - cost(page, "small", 1) / cost(page, "large", 0)
    assert f"{100 * part:.0f} % less" in message
    page.locator("#gpus").fill("3")
    page.locator("#hours").fill("100")
    page.locator("#currency").fill("<i>EUR")
    message = page.locator("#worth").inner_text()
    month = float(message.split(" costs ")[1].split()[0].replace(",", ""))
    assert month == pytest.approx(3 * 100 * 4.0 * part, rel=0.01)
    assert "<i>EUR less" in message


def test_without_a_price_no_cost(page: Any) -> None:
    found = price(page, "small", "")
    assert page.locator("td[data-device='small'][data-cost='1']").inner_text() == "no price"
    assert "none is saved" in found
    page.locator("input[data-price='large']").fill("")
    assert "type prices into the table" in page.locator("#worth").inner_text()
    page.locator("input[data-price='large']").fill("4.00")


@pytest.mark.parametrize("scheme", sampled(["light", "dark"], 1))
def test_all_text_can_be_read(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    assert_read(page)


@pytest.mark.parametrize("width", sampled([600, 900, 1400, 1900], 2))
def test_nothing_is_cut_off(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_apart(page)
    if width >= 900:
        cut = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
        assert page.evaluate(cut) == 0


def test_where_speed_is_not_known_no_saving_is_told(browser: Any, tmp_path: Path) -> None:
    plan = make_plan(training_step(4, unit=20 * MIB))
    path = tmp_path / "r.html"
    write_brief(path, plan)
    opened = browser.new_page()
    opened.goto(path.as_uri())
    message = opened.locator("#worth").inner_text()
    assert "Speed unknown: a slower GPU takes longer, so no saving is told." in message
    assert "speed unknown" in opened.locator("td[data-cost='1']").first.inner_text()
    assert opened.locator("figure details").first.count() == 1
    opened.close()
