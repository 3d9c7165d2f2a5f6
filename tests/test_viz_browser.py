"""The page in a real browser: it draws, it complains of nothing, nodes can be clicked, searched and walked through."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import pytest

import ndgrad as torch

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None)
DRIVER = shutil.which("chromedriver")
LACKING = [name for name, there in (("Chromium", BROWSER), ("chromedriver", DRIVER), ("selenium", find_spec("selenium"))) if not there]
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"the page is tested in a browser, and {', '.join(LACKING)} is not installed")

if not LACKING:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,800"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser, drawing, path):
    """Load the page of a drawing, and make sure that nothing went wrong and nothing was fetched beside it."""
    drawing.save(path)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    fetched = [entry["message"] for entry in browser.get_log("performance") if "Network.requestWillBeSent" in entry["message"]]
    assert all(path.name in message for message in fetched) and len(fetched) <= 2
    return browser


def mlp():
    x, target = torch.randn(8, 6), torch.zeros(8, dtype=torch.int64)
    weights = [torch.randn(5, 6, requires_grad=True), torch.randn(4, 5, requires_grad=True)]
    hidden = torch.relu(x @ weights[0].t())
    loss = torch.nn.functional.cross_entropy(hidden @ weights[1].t(), target)
    drawing = torch.viz.graph(loss)
    loss.backward()
    return drawing.refresh()


def recurrent(steps):
    weight, h = torch.randn(4, 4, requires_grad=True), torch.zeros(2, 4)
    for _ in range(steps):
        h = torch.tanh(h @ weight + 1.0)
    return torch.viz.graph(h.sum(), fold=False)


def text_of(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector).text


def test_a_click_on_a_node_shows_what_is_known_of_it(browser, tmp_path):
    page = opened(browser, mlp(), tmp_path / "graph.html")
    assert "7 nodes" in text_of(page, "header .size")
    assert not page.find_element(By.TAG_NAME, "aside").is_displayed()
    box = next(each for each in page.find_elements(By.CSS_SELECTOR, ".box") if "hidden" in each.get_attribute("textContent").split("\n")[0])
    box.click()
    panel = text_of(page, "aside")
    for expected in ("hidden = Relu", "ReluBackward0", "8 x 5", "float32", "test_viz_browser.py:", "160 bytes"):
        assert expected in panel
    assert "COMPUTED FROM (1)" in panel and "USED BY (1)" in panel
    assert len(page.find_elements(By.CSS_SELECTOR, ".wire.near")) == 2 and len(page.find_elements(By.CSS_SELECTOR, ".box.near")) == 3
    page.find_element(By.CSS_SELECTOR, "aside .shut").click()
    assert not page.find_elements(By.CSS_SELECTOR, ".near") and not page.find_element(By.TAG_NAME, "aside").is_displayed()


def test_a_leaf_shows_its_gradient(browser, tmp_path):
    page = opened(browser, mlp(), tmp_path / "graph.html")
    next(each for each in page.find_elements(By.CSS_SELECTOR, ".leaf") if "weights[0]" in each.get_attribute("textContent")).click()
    assert "gradient norm" in text_of(page, "aside") and "AccumulateGrad" in text_of(page, "aside")


def test_the_keyboard_walks_through_the_graph(browser, tmp_path):
    page = opened(browser, mlp(), tmp_path / "graph.html")
    view = page.find_element(By.ID, "view")
    titles = []
    for key in (Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_DOWN):
        view.send_keys(key)
        titles.append(text_of(page, "aside h2"))
    assert titles == ["loss = NllLoss", "LogSoftmax", "Mm", "LogSoftmax"]
    picked = page.find_element(By.CSS_SELECTOR, ".picked")
    assert view.get_attribute("aria-activedescendant") == picked.get_attribute("id")
    view.send_keys(Keys.ESCAPE)
    assert not page.find_elements(By.CSS_SELECTOR, ".picked")


def test_search_finds_and_goes_from_one_to_the_next(browser, tmp_path):
    page = opened(browser, recurrent(40), tmp_path / "graph.html")
    search = page.find_element(By.ID, "search")
    search.send_keys("tanh")
    assert text_of(page, "#found") == "40 found" and len(page.find_elements(By.CSS_SELECTOR, ".hit")) == 40
    search.send_keys(Keys.ENTER, Keys.ENTER)
    assert text_of(page, "#found") == "2 of 40" and text_of(page, "aside h2") == "Tanh"
    search.send_keys(Keys.ESCAPE)
    assert not page.find_elements(By.CSS_SELECTOR, ".hit")


def scale_of(page):
    transform = page.find_element(By.ID, "world").get_attribute("transform")
    return float(transform.partition("scale(")[2].partition(")")[0])


def test_five_thousand_nodes_open_legibly_and_can_be_zoomed_and_dragged(browser, tmp_path):
    page = opened(browser, recurrent(1700), tmp_path / "graph.html")
    assert len(page.find_elements(By.CSS_SELECTOR, ".box")) == 5102
    assert scale_of(page) >= 0.42 and page.find_element(By.ID, "map").is_displayed()
    assert page.find_element(By.CSS_SELECTOR, ".box.root").is_displayed()
    before = scale_of(page)
    page.find_element(By.ID, "in").click()
    settled(page)
    assert scale_of(page) == pytest.approx(before * 1.25)
    page.find_element(By.ID, "fit").click()
    settled(page)
    assert scale_of(page) < 0.2
    moved = page.find_element(By.ID, "world").get_attribute("transform")
    view = page.find_element(By.ID, "view")
    webdriver.ActionChains(page).move_to_element(view).click_and_hold().move_by_offset(60, 40).release().perform()
    settled(page)
    assert page.find_element(By.ID, "world").get_attribute("transform") != moved
    assert page.get_log("browser") == []


def test_the_result_stands_at_the_foot_of_a_picture_that_does_not_fit(browser, tmp_path):
    page = opened(browser, recurrent(1700), tmp_path / "graph.html")
    below = "return document.getElementById('view').getBoundingClientRect().bottom - "
    below += "document.querySelector('.box.root').getBoundingClientRect().bottom"
    assert 20 < page.execute_script(below) < 150
    page.find_element(By.ID, "result").click()
    settled(page)
    assert 20 < page.execute_script(below) < 150


def test_letters_stay_inside_their_boxes(browser, tmp_path):
    params = {f"fc{number}.weight.of.model": torch.randn(4, 4, requires_grad=True) for number in range(2)}
    loss = (torch.relu(params["fc0.weight.of.model"]) @ params["fc1.weight.of.model"]).sum()
    page = opened(browser, torch.viz.graph(loss), tmp_path / "graph.html")
    room = "return [...document.querySelectorAll('.box')].flatMap((box) => [...box.querySelectorAll('text')].map((text) => "
    room += "box.querySelector('rect').getBBox().width - text.getBBox().width))"
    rooms = page.execute_script(room)
    assert len(rooms) > 8 and min(rooms) >= 8


def settled(page):
    """Wait until the page has drawn what was asked for."""
    page.execute_async_script("const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(browser, tmp_path, scheme):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    page = opened(browser, mlp(), tmp_path / "graph.html")
    folder = os.environ.get("NDGRAD_SCREENSHOTS", str(tmp_path))
    assert page.save_screenshot(os.path.join(folder, f"{scheme}.png"))
    contrasts = page.execute_script(CONTRAST)
    assert len(contrasts) >= 20 and min(contrasts) >= 4.5  # what the accessibility guidelines ask of small text


CONTRAST = """
const light = (text) => {
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = text.match(/[0-9.]+/g).map((digits) => linear(digits / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
const op = document.querySelector(".op");
const kinds = [0, 1, 2, 3, 4, 5].map((step) => `box op h${step}`), all = [...document.querySelectorAll(".leaf"), ...kinds];
for (const each of all) {
  const box = typeof each === "string" ? op : each;
  if (box === op) op.setAttribute("class", each);
  const back = light(getComputedStyle(box.querySelector("rect")).fill);
  for (const text of box.querySelectorAll("tspan, text:not(.head)")) {
    const ink = light(getComputedStyle(text).fill);
    found.push((Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05));
  }
}
return found;
"""
