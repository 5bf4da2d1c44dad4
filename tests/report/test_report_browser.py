"""Pages in a real browser: no request, no message on the console, nothing wider than the page, and everything by keyboard."""

import base64

import pytest

from everbloom.report.examples import Example, examples_section
from everbloom.report.records import read_run
from everbloom.report.report import report


@pytest.fixture(scope="module")
def pages(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    example = Example(3, 2, ["Heat"], [("Alien", True), ("Brazil", False)], ["Alien"])
    made = {
        "one": report([read_run(runs / "private")], examples_section([example])),
        "frontier": report([read_run(runs / name) for name in ("private", "private-4", "exact", "exact-2")]),
        "continual": report([read_run(runs / "continual")]),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["one", "frontier", "continual"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_it_loads_without_a_request_or_a_message_and_fits(browser, pages, tmp_path, name, width, dark):
    browser.requests(), browser.console()
    page = pages / f"{name}.html"
    browser.open(page, width, dark)
    browser.screenshot(tmp_path / f"{name}-{width}{'-dark' if dark else ''}.png")
    assert browser.console() == []
    assert set(browser.requests()) <= {page.resolve().as_uri(), "data:,"}
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(18, 23, 20)" if dark else "rgb(251, 250, 247)")
    drawn = browser.run(
        "return [...document.querySelectorAll('svg.wide')].filter(svg => svg.getBoundingClientRect().width).length"
    )
    assert (drawn > 0) == (width > 600)


def test_the_policy_stops_what_the_page_does_not_hold(browser, pages):
    browser.open(pages / "one.html")
    browser.requests(), browser.console()
    browser.run(
        "const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/x.png'; document.body.append(image);"
        "const script = document.createElement('script'); script.textContent = 'window.broken = 1'; document.body.append(script);"
    )
    assert browser.run("return window.broken") is None
    assert any("Content Security Policy" in message for message in browser.console())
    assert not [address for address in browser.requests() if address.startswith("http")]


def test_theme_tabs_legend_and_hints_work_by_pointer_and_keyboard(browser, pages):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.open(pages / "frontier.html")
    find = browser.driver.find_element
    find(By.ID, "theme").click()
    assert browser.run("return document.documentElement.dataset.theme") == "dark"

    tabs = browser.driver.find_elements(By.CSS_SELECTOR, "#quality [role=tab]")
    tabs[0].send_keys(Keys.ARROW_RIGHT)
    assert tabs[1].get_attribute("aria-selected") == "true"
    shown = browser.run("return [...document.querySelectorAll('#quality .panel')].map(panel => !panel.hidden)")
    assert shown == [False, True] + [False] * (len(shown) - 2)

    button = find(By.CSS_SELECTOR, "#epsilon [data-key]")
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") == "false"
    assert browser.run("return document.querySelector('#epsilon [data-series=\"0\"]').style.display") == "none"

    drawing = find(By.CSS_SELECTOR, "#epsilon svg.wide")
    drawing.send_keys(Keys.ARROW_RIGHT)
    hint = find(By.ID, "hint")
    assert hint.is_displayed()
    assert hint.text.startswith("round 1\n")
    assert "epsilon 8" not in hint.text  # what is hidden is not told
    drawing.send_keys(Keys.ESCAPE)
    assert not hint.is_displayed()
    ActionChains(browser.driver).move_to_element(drawing).perform()
    assert hint.is_displayed()


def test_it_prints_every_panel_without_navigation(browser, pages, tmp_path):
    browser.open(pages / "one.html")
    printed = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    (tmp_path / "one.pdf").write_bytes(printed)
    assert printed.startswith(b"%PDF")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        seen = "return [...document.querySelectorAll(arguments[0])].filter(part => part.getClientRects().length).length"
        assert browser.run(seen, "nav, #theme, .tabs") == 0
        assert browser.run(seen, ".panel") == browser.run("return document.querySelectorAll('.panel').length")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
