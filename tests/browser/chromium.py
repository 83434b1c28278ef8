"""A headless Chromium for the tests: what it was asked to fetch, and what its console said.

Needs Chromium, ChromeDriver and selenium (``pip install -e ".[browser]"``); without them ``MARKS`` skip the tests.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e .[browser]")
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with ChromeDriver on this machine"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # selenium's own
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
LOCAL = {"localhost", "127.0.0.1", None, ""}
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1440,1100"),
    "--disable-features=IsolateSandboxedIframes",  # else neither log tells what the frame of a page does
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing but this machine is reached
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Browser:
    """A browser that remembers what it was asked to fetch and what its console said."""

    def __init__(self, profile: Path) -> None:
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.frames: tuple[str, ...] = ()
        self.driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))

    def enter(self, *frames: str) -> None:
        """Look into frames, one in the other, by their selectors, from now on."""
        self.frames = frames

    def one(self, selector: str, text: str | None = None) -> Any:
        """The element of that selector, which holds ``text`` (as it is written): waited for, whatever is reloaded."""
        from selenium.common.exceptions import WebDriverException

        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.driver.switch_to.default_content()
                for frame in self.frames:
                    self.driver.switch_to.frame(self.driver.find_element("css selector", frame))
                for found in self.driver.find_elements("css selector", selector):
                    if text is None or text in (found.get_attribute("textContent") or ""):
                        return found
            except WebDriverException:  # a frame that has just been replaced
                pass
            time.sleep(0.1)
        raise AssertionError(f"{selector} with {text!r} never came")

    def choose(self, selector: str, text: str) -> None:
        """Choose an entry of a list by what it says."""
        from selenium.webdriver.support.ui import Select

        Select(self.one(selector)).select_by_visible_text(text)

    def errors(self) -> list[str]:
        """What the console has said since it was last asked, but for notices."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def hosts(self) -> set[str | None]:
        """The hosts that were asked for anything since they were last told."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        return {urlsplit(url).hostname for url in sent if url.startswith("http")}


@contextmanager
def opened(profile: Path) -> Iterator[Browser]:
    """A browser, closed in the end."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.driver.quit()
