"""Runs to report of, made once; a browser to look at pages with."""

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from everbloom.experiment import Experiment
from everbloom.study import open_study
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.run import run_in_process

USER = {"unit": "user", "epsilon": 8.0, "delta": 1e-3}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, small: Callable[..., Experiment]) -> Path:
    """A folder of finished runs: `private`, `private-4` and `exact` differ in epsilon, `exact-2` in the seed, `continual` learns on for 4 periods."""
    folder = tmp_path_factory.mktemp("runs")
    slices = {"evaluation": {"slices": True}}
    poisson = {"federation": {"sampler": "poisson"}}
    long = {"protocol": {"cut": "counts", "periods": 4, "warm_start": 0.4}}
    made = {
        "private": small(privacy=USER, **poisson, **slices),
        "private-4": small(privacy={**USER, "epsilon": 4.0}, **poisson, **slices),
        "exact": small(**poisson, **slices),
        "exact-2": small(seed=4, **poisson, **slices),
        "continual": small(continual={"panel": 0.3}, **long, **slices),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERBLOOM_HOME", str(tmp_path_factory.mktemp("home-of-runs")))
        for name, experiment in made.items():
            study = open_study(experiment, lambda done, total: None, lambda done, total: None)
            run_in_process(study, RunDirectory.create(folder / name, experiment), Silent(), resume=False)
    return folder


class Browser:
    """Headless Chromium that records what it asks the network for and what its console says."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, width: int = 1280, dark: bool = False) -> None:
        """Loads a page at a width."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(page.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        """The addresses of all requests since the last call that the page's own policy did not stop."""
        sent: dict[str, str] = {}
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            parameters = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                sent[parameters["requestId"]] = parameters["request"]["url"]
            elif message["method"] == "Network.loadingFailed" and parameters.get("blockedReason") == "csp":
                sent.pop(parameters["requestId"], None)
        return list(sent.values())

    def console(self) -> list[str]:
        """Its messages since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def screenshot(self, path: Path) -> None:
        """Of the whole page."""
        time.sleep(0.2)  # what is drawn follows what is loaded
        size = self.run("const r = document.documentElement; return [r.clientWidth, r.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], 15000), "scale": 1}
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path.write_bytes(base64.b64decode(taken["data"]))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Skips where there is no Chromium; .ci/run installs it."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium or chromedriver here: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(started)
    finally:
        started.quit()
