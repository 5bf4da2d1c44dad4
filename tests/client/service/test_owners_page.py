"""The owner's page in a real browser: everything it offers works by keyboard, in both languages, on a phone's width; and no other page gets in.

Screenshots stay in the test's temporary folder (`pytest --basetemp` names one), or in the folder that EVERBLOOM_SCREENSHOTS names.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from served_devices import ROOT, Service

pytest.importorskip("selenium", reason="selenium is not installed: pip install 'everbloom[test]'")
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="Chromium is not installed: apt-get install chromium chromium-driver (Debian)",
)
PHONE, DESK = (390, 844), (1000, 900)


class Browser:
    """Headless Chromium, and what the tests do with it."""

    def __init__(self, shots: Path, scheme: str = "light") -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en-GB"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.shots = shots
        self.scheme(scheme)
        self.size(*DESK)

    def scheme(self, name: str) -> None:
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def shot(self, name: str) -> None:
        self.shots.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def until(self, condition):
        # The page may redraw between finding an element and reading it: that element is stale, and is looked for again.
        redrawn = [StaleElementReferenceException]
        return WebDriverWait(self.driver, 60, 0.1, ignored_exceptions=redrawn).until(lambda _: condition())

    def all(self, selector: str):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.driver.execute_script("return document.querySelector(arguments[0]).innerText", selector)

    def press(self, *keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(*keys)

    @property
    def focused(self) -> str:
        return self.driver.execute_script("return document.activeElement.id || document.activeElement.textContent")

    def run(self, script: str, *given: object):
        return self.driver.execute_async_script(script, *given)

    def complaints(self) -> list[str]:
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]


@pytest.fixture
def browser(tmp_path) -> Iterator[Browser]:
    made = Browser(Path(os.environ.get("EVERBLOOM_SCREENSHOTS", tmp_path / "screenshots")))
    yield made
    made.driver.quit()


@pytest.fixture
def service(serving, with_model, own_events) -> Service:
    started = serving()
    started.call("POST", "/events", body={"events": own_events})
    return started


def link(service: Service) -> str:
    """What `everbloom-device open` prints."""
    command = [sys.executable, "-m", "client.cli", "open", "-d", str(service.folder.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def enter(browser: Browser, service: Service) -> None:
    browser.driver.get(link(service))
    browser.until(lambda: len(browser.all("#recommendations > li")) > 0)


def test_what_an_owner_does_in_a_day(browser, service, task, own_events):
    service.ask("m1", task)
    enter(browser, service)
    assert "code" not in browser.driver.current_url, "the link's code is not left for the history of visited pages"
    shown = len(browser.all("#recommendations > li"))
    assert shown == 10
    assert len(browser.all("#recommendations .reason")) == shown
    browser.all("[aria-expanded]")[0].click()
    browser.until(lambda: browser.all(".why li"))
    browser.shot("recommendations")

    first = browser.all("#recommendations > li")[0].get_attribute("data-item")
    browser.all("[data-verdict='not-for-me']")[0].click()
    browser.until(lambda: browser.all("#recommendations > li")[0].get_attribute("data-item") != first)
    assert service.call("GET", "/export")["feedback"][0]["verdict"] == "not-for-me"
    assert "Not shown again" in browser.text("#toast")
    browser.shot("undo")
    browser.all("#undo")[0].click()
    browser.until(lambda: first in [one.get_attribute("data-item") for one in browser.all("#recommendations > li")])
    browser.until(lambda: service.call("GET", "/export")["feedback"] == [])

    browser.all("#tab-history")[0].click()
    browser.until(lambda: len(browser.all("#events > li")) == len(own_events))
    browser.shot("history")
    browser.all("#events button")[0].click()
    browser.until(lambda: len(browser.all("#events > li")) == len(own_events) - 1)
    assert service.call("GET", "/status")["events"] == len(own_events) - 1

    browser.all("#tab-privacy")[0].click()
    browser.until(lambda: browser.text("#meter-text").startswith("ε "))
    told = service.call("GET", "/privacy")
    assert int(browser.all("#meter")[0].get_attribute("aria-valuenow")) == round(100 * (1 - told["left"]))
    assert "of 40 spent" in browser.text("#meter-text")
    browser.all("#claim summary")[0].click()
    assert browser.text("#statement") == " ".join(told["statement"].split())
    browser.shot("privacy")
    browser.all("#pause")[0].click()
    browser.until(lambda: service.call("GET", "/status")["paused"])
    browser.until(lambda: browser.text("#pause") == "Resume training")

    browser.all("#forget")[0].click()
    browser.until(lambda: browser.all("#confirm[open]"))
    browser.shot("forget")
    browser.all("#confirm [value=no]")[0].click()
    assert service.call("GET", "/status")["events"] > 0
    browser.all("#forget")[0].click()
    browser.until(lambda: browser.all("#confirm[open]"))
    browser.all("#confirm [value=yes]")[0].click()
    browser.until(lambda: service.call("GET", "/status")["events"] == 0)
    browser.until(lambda: "forgotten" in browser.text("#toast"))
    assert browser.complaints() == []


def test_by_keyboard_alone(browser, service):
    enter(browser, service)
    browser.press(Keys.TAB)
    assert browser.focused == "Skip to the content"
    browser.press(Keys.TAB)
    assert browser.focused == "tab-discover"
    browser.press(Keys.ARROW_RIGHT)
    assert browser.focused == "tab-history"
    browser.until(lambda: browser.all("#events > li"))
    browser.press(Keys.ARROW_LEFT)
    browser.until(lambda: browser.focused == "tab-discover" and browser.all("#recommendations > li"))
    browser.press(Keys.TAB, Keys.NULL)
    browser.press(Keys.TAB)
    assert browser.focused == "Like"
    first = browser.all("#recommendations > li")[0].get_attribute("data-item")
    browser.press(Keys.ENTER)
    browser.until(lambda: browser.all("#recommendations > li")[0].get_attribute("data-item") != first)
    assert browser.focused == "Like", "the next card's"
    assert [(one["item"], one["verdict"]) for one in service.call("GET", "/export")["feedback"]] == [(first, "like")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_in_chinese(browser, service, scheme):
    browser.scheme(scheme)
    browser.size(*PHONE)
    enter(browser, service)
    browser.all("#language")[0].click()
    browser.until(lambda: "因为您" in browser.text(".reason"))
    assert browser.driver.execute_script("return document.documentElement.lang") == "zh-CN"
    for tab in ("discover", "history", "privacy"):
        browser.all(f"#tab-{tab}")[0].click()
        browser.until(lambda tab=tab: browser.all(f"#{tab} li, #{tab} dd"))
        wide = browser.driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= PHONE[0], f"{tab} fits the width"
        browser.shot(f"phone-{scheme}-{tab}")
    browser.driver.refresh()
    browser.until(lambda: browser.all("#recommendations > li"))
    assert browser.text("#tab-privacy") == "隐私", "the language is remembered, and so is who may see the page"


def test_without_a_link_nothing_is_shown(browser, service):
    address = link(service)
    enter(browser, service)
    other = Browser(browser.shots)
    try:
        for where in (address.partition("#")[0], f"{address.partition('#')[0]}#code=guessed"):
            other.driver.get("about:blank")
            other.driver.get(where)
            other.until(lambda: other.all("#locked:not([hidden])"))
            assert other.all("#recommendations > li") == []
        other.shot("locked")
        other.driver.get("about:blank")
        other.driver.get(address)
        other.until(lambda: other.all("#recommendations > li"))
        other.driver.execute_script("sessionStorage.clear()")
        other.driver.get("about:blank")
        other.driver.get(address)
        other.until(lambda: other.all("#locked:not([hidden])"))
    finally:
        other.driver.quit()


HOSTILE = """
const [port, done] = arguments;
const tried = [
  ["GET", "/export", {}], ["DELETE", "/data", {}], ["POST", "/pause", {}],
  ["POST", "/events", {"Content-Type": "text/plain"}], ["GET", "/recommendations", {Authorization: "Bearer guessed"}],
];
Promise.all(tried.flatMap(([method, path, headers]) => ["cors", "no-cors"].map(async (mode) => {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {method, headers, mode, body: method === "POST" ? "{}" : undefined});
    return response.type === "opaque" ? "opaque" : await response.text();
  } catch (error) { return "refused"; }
}))).then(done);
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_a_strangers_page_on_this_machine_reads_and_changes_nothing(browser, service, own_events, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<!doctype html><title>evil</title>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = link(service).partition("#")[0].rstrip("/").rpartition(":")[2]
    try:
        browser.driver.get(f"http://127.0.0.1:{server.server_port}/")
        found = set(browser.run(HOSTILE, port))
        assert found <= {"refused", "opaque"}, "nothing can be read"
        # A frame of the service's page in this one stays empty.
        framed = browser.run(
            "const [port, done] = arguments; const frame = document.createElement('iframe'); frame.src = `http://127.0.0.1:${port}/`;"
            "frame.onload = () => { try { done(frame.contentDocument.title); } catch (error) { done('refused'); } };"
            "document.body.append(frame);",
            port,
        )
        assert framed != "everbloom"
    finally:
        server.shutdown()
        server.server_close()
    status = service.call("GET", "/status")
    assert (status["events"], status["paused"]) == (len(own_events), False), "nothing has changed"
