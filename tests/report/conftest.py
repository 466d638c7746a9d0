"""A browser, and the shipped recording replayed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from pagehint.hinting.designs.hinting import PageHinting
from pagehint.replays.replay import replay
from pagehint.replays.run import Run
from pagehint.replays.start import guest_reporting
from pagehint.trace import Trace

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,900",
)


@pytest.fixture(scope="session")
def runs(phased: Trace) -> dict[str, Run]:
    designs = {"none": None, "hinting": PageHinting(), "reporting": guest_reporting(phased)}
    return {name: replay(phased, design) for name, design in designs.items()}


@dataclass
class Page:
    """A page that is open in the browser, and the requests that it made."""

    driver: webdriver.Chrome
    requests: list[str]

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    @contextmanager
    def window(self, width: int) -> Iterator[None]:
        """What is opened meanwhile is in a window of this width."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    @property
    def console(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        assert "CI" not in os.environ, "the page is tested in Chromium: apt-get install chromium chromium-driver"
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*_ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def show(browser: webdriver.Chrome) -> Callable[[Path], Page]:
    def open_page(path: Path) -> Page:
        browser.get("about:blank")
        browser.get_log("performance")
        browser.get_log("browser")
        browser.get(path.as_uri())
        messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return Page(browser, [url for url in sent if not url.startswith("data:")])

    return open_page
