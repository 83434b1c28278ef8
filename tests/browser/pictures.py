"""Pictures of every view, to be looked at: light and dark, 1440 and 600 px wide.

    python -m tests.browser.pictures OUT

Where the real traces are (see ``tests.conftest``) the pair of 2021 is the real one. No test: what grates is for eyes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stallscope import api
from stallscope.analysis.report.html.summary import page_of
from tests.browser.board import PAGE, TAB, five_runs, tensorboard
from tests.browser.chromium import Browser, opened
from tests.simulated_iris import SAMPLE

WIDTHS, HEIGHT = (1440, 600), 1000
MOST = 16_000  # px of height that Chromium draws in one picture


def main() -> None:
    """Make them all; one file for each view, width and colour scheme."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        five_runs(folder / "runs")
        (folder / "none" / "runs").mkdir(parents=True)
        (folder / "report.html").write_text(page_of(*api.explained(SAMPLE)), encoding="utf-8")
        with (
            opened(folder / "profile") as browser,
            tensorboard(Path("runs"), folder) as address,
            tensorboard(Path("runs"), folder / "none") as none,
        ):
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    with looking(browser, width, scheme):
                        for view, shown in views(browser, address, none, folder / "report.html"):
                            shown()
                            take(browser, out / f"{view}-{width}-{scheme}.png", whole=view == "report")


@contextmanager
def looking(browser: Browser, width: int, scheme: str) -> Iterator[None]:
    """A window so wide, in a colour scheme."""
    command = browser.driver.execute_cdp_cmd
    sizes = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    command("Emulation.setDeviceMetricsOverride", sizes)
    command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    yield


def views(browser: Browser, address: str, none: str, report: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, how to bring it onto the screen) of each view."""

    def run() -> None:
        browser.enter()
        browser.driver.get("about:blank")
        browser.driver.get(f"{address}#stallscope")  # no click: on a narrow screen the tab is behind an arrow
        browser.enter(TAB)
        browser.one("#run option")
        browser.choose("#run", "iris-before")
        browser.enter(TAB, PAGE)
        browser.one("h1", "Stallscope report")

    def rank() -> None:
        browser.enter(TAB)
        browser.choose("#run", "two-ranks")
        browser.choose("#worker", "node_1")
        browser.enter(TAB, PAGE)
        browser.one("dl.facts", "rank 1 of 2")

    def comparison() -> None:
        browser.enter(TAB)
        browser.choose("#run", "resnet-4")
        browser.choose("#with", "resnet-0")
        browser.enter(TAB, PAGE)
        browser.one("h1", "Stallscope comparison")

    def failed() -> None:
        browser.enter(TAB)
        browser.choose("#run", "broken")
        browser.one(".told", "There is no page")

    def empty() -> None:
        browser.enter()
        browser.driver.get(f"{none}data/plugin_entry.html?name=stallscope")
        browser.one("h1", "Nothing recorded yet")

    def mailed() -> None:
        browser.enter()
        browser.driver.get(report.as_uri())
        browser.one("h1", "Stallscope report")

    yield from (("run", run), ("rank", rank), ("comparison", comparison), ("failed", failed))
    yield from (("empty", empty), ("report", mailed))


def take(browser: Browser, path: Path, *, whole: bool) -> None:
    """A picture of the window, or of the whole page."""
    time.sleep(0.5)
    browser.driver.switch_to.default_content()
    if whole:
        sizes = browser.driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
        tall = {"width": sizes[0], "height": min(sizes[1], MOST), "deviceScaleFactor": 1, "mobile": False}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", tall)
        time.sleep(0.3)
    browser.driver.save_screenshot(str(path))


if __name__ == "__main__":
    main()
