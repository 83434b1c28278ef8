"""The report in a headless Chromium: by pointer and by keys, light and dark, narrow, on paper, with hostile names."""

from __future__ import annotations

import base64
import io
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stallscope import cli
from tests.browser.chromium import MARKS, Browser, opened
from tests.builders import TraceBuilder
from tests.hostile import HARMLESS, NAMES, run_of

pytestmark = MARKS
WIDE, NARROW, HIGH = 1440, 600, 1100
LINE = "document.querySelector('.plot canvas')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with opened(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(autouse=True)
def nothing_is_wrong(browser: Browser) -> Iterator[None]:
    """No page may say an error on its console (its policy would speak there), or ask anybody for anything."""
    browser.errors(), browser.hosts()
    yield
    assert browser.errors() == []
    assert browser.hosts() == set()


def trained(*lengths: int) -> TraceBuilder:
    """Steps of these lengths in µs: one long operator, a launch and its kernel in each; memory that grows."""
    builder, start = TraceBuilder(), 0
    for number, length in enumerate(lengths):
        builder.step(start, length).op("aten::long", start + 10, length - 20)
        builder.launch(start + 20, 5, kernel=("gemm", start + 40, 20))
        builder.memory(start + 15, 1_000_000 * (1 + number), 80_000_000)
        start += length
    return builder


def report(path: Path, *more: Path) -> Path:
    """The page of a trace, or of two."""
    output = path.parent / f"{path.name}.html"
    assert cli._execute(["report", *map(str, (path, *more)), "-o", str(output)]) == 0
    return output


def shown(browser: Browser, page: Path, *, width: int = WIDE, scheme: str = "light") -> None:
    """Open a page in a window of that width, by day or by night."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    screen = {"width": width, "height": HIGH, "deviceScaleFactor": 1, "mobile": False}
    browser.enter()
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.driver.get(page.as_uri())


def run(browser: Browser, script: str, *arguments: Any) -> Any:
    """What a script in the page gives, after all that is to be drawn has been."""
    browser.driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 20));")
    return browser.driver.execute_script(script, *arguments)


def picture(browser: Browser, canvas: str = "document.getElementById('canvas')") -> str:
    """Every pixel of a canvas."""
    return str(run(browser, f"return {canvas}.toDataURL();"))


def told(browser: Browser, selector: str = "#told") -> str:
    """What a drawing says."""
    return str(run(browser, "return document.querySelector(arguments[0]).textContent;", selector))


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def pointer(browser: Browser) -> Any:
    """Moves that are made at once."""
    from selenium.webdriver import ActionChains

    return ActionChains(browser.driver, duration=20)


def keys(browser: Browser, selector: str, *pressed: str) -> None:
    """Press keys on an element."""
    browser.one(selector).send_keys(*pressed)


# -- the timeline -----------------------------------------------------------------------------------------------


def found_at(browser: Browser, name: str) -> tuple[Any, int]:
    """The canvas, and how far below its middle a pointer meets a range of that name."""
    canvas = browser.one("#canvas")
    run(browser, "arguments[0].scrollIntoView({block: 'center'});", canvas)
    half = canvas.size["height"] // 2
    for y in range(2 - half, half - 2, 5):
        pointer(browser).move_to_element_with_offset(canvas, 0, y).perform()
        if told(browser).startswith(name):
            return canvas, y
    raise AssertionError(f"no {name} under the pointer")


def test_the_timeline_by_pointer(browser: Browser, tmp_path: Path):
    """Hovering tells a range; the wheel zooms once the timeline is chosen; dragging moves; a double click fits."""
    shown(browser, report(trained(100, 100, 100).write(tmp_path)))
    whole = picture(browser)
    canvas, y = found_at(browser, "aten::long")
    assert told(browser).startswith("aten::long (PyTorch operator): 80.0 µs, from 10.0 µs to 90.0 µs of the step.")
    assert picture(browser) != whole  # the range has a frame
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    origin = ScrollOrigin.from_element(canvas, 0, y)
    before = picture(browser)
    pointer(browser).scroll_from_origin(origin, 0, -40).perform()
    assert picture(browser) == before  # the page scrolls until the timeline is chosen
    found_at(browser, "aten::long")
    pointer(browser).click().scroll_from_origin(ScrollOrigin.from_element(canvas, 0, y), 0, -120).perform()
    closer = picture(browser)
    assert closer != before
    pointer(browser).move_to_element_with_offset(canvas, 0, y).click_and_hold().move_by_offset(-150, 0).perform()
    pointer(browser).release().perform()
    assert picture(browser) not in (closer, before)
    pointer(browser).move_to_element_with_offset(canvas, 0, y).double_click().perform()
    fitted = picture(browser)
    keys(browser, "#canvas", "0")
    assert picture(browser) != fitted
    pointer(browser).move_to_element(browser.one("h1")).perform()
    keys(browser, "#canvas", "\ue00c")  # Escape: nothing is chosen
    assert picture(browser) == whole


def test_the_timeline_by_keys(browser: Browser, tmp_path: Path):
    """N and p read one range after the other, the arrows change the row, Enter zooms to it, 0 shows all again."""
    shown(browser, report(trained(100, 100, 100).write(tmp_path)))
    whole, hint = picture(browser), told(browser)
    assert "n and p read the next and the previous range" in hint
    keys(browser, "#canvas", "n")
    first = told(browser)
    assert first.startswith("GPU idle: ")
    keys(browser, "#canvas", "n")
    second = told(browser)
    assert second not in (first, hint)
    keys(browser, "#canvas", "p")
    assert told(browser) == first
    keys(browser, "#canvas", "\ue015", "n")  # down: the thread
    assert told(browser).startswith(("aten::long", "cudaLaunchKernel"))
    keys(browser, "#canvas", "\ue015")  # down: the stream
    assert told(browser).startswith("gemm (kernel): 20.0 µs, from 40.0 µs to 60.0 µs of the step.")
    near = picture(browser)
    keys(browser, "#canvas", "\ue007")  # Enter
    assert picture(browser) != near
    keys(browser, "#canvas", "0")
    assert picture(browser) == near
    keys(browser, "#canvas", "\ue00c")
    assert (picture(browser), told(browser)) == (whole, hint)
    keys(browser, "#canvas", "+", "+", "\ue014")
    assert picture(browser) != whole
    keys(browser, "#canvas", "0")
    assert picture(browser) == whole


def test_a_range_that_is_read_comes_into_view(browser: Browser, tmp_path: Path):
    """Zoomed to the beginning, n moves on to ranges that were out of sight, and what is shown moves with it."""
    builder = TraceBuilder(gpu=None).step(0, 1000)
    for number in range(50):
        builder.op(f"op{number}", 20 * number, 10)
    shown(browser, report(builder.write(tmp_path)))
    keys(browser, "#canvas", *"++++++++", "\ue011", "n")  # Home
    start = picture(browser)
    keys(browser, "#canvas", *"n" * 40)
    assert told(browser).startswith("op40 ")
    assert picture(browser) != start


# -- series -----------------------------------------------------------------------------------------------------

LENGTHS = (100, 102, 98, 100, 300, 101, 99, 100, 50, 100, 140, 100)


def test_a_step_of_the_series_shows_its_timeline(browser: Browser, tmp_path: Path):
    """By keys to the eleventh step, an outlier: Enter shows it as a timeline, which has the focus then."""
    shown(browser, report(trained(*LENGTHS).write(tmp_path)))
    assert told(browser).startswith("Step ")
    keys(browser, "#series-0 .plot", "\ue010", "\ue012")  # End, left
    assert told(browser, "#read-0").startswith("Step 11: 140 µs, 40 % above the median, stands out.")
    assert "Enter shows its timeline" in told(browser, "#read-0")
    keys(browser, "#series-0 .plot", "\ue007")
    assert told(browser).startswith("Step 11 (outlier), 140 µs.")
    assert run(browser, "return document.activeElement.id;") == "canvas"
    keys(browser, "#series-0 .plot", "\ue011", "\ue014")  # Home, right: a step without a timeline
    assert told(browser, "#read-0") == "Step 2: 102 µs, 2 % above the median."
    keys(browser, "#series-0 .plot", "\ue007")
    assert told(browser).startswith("Step 11 ")


def test_the_series_by_pointer(browser: Browser, tmp_path: Path):
    """Hovering reads a step, a click shows its timeline, dragging zooms, a double click and 0 show all again."""
    shown(browser, report(trained(*LENGTHS).write(tmp_path)))
    whole, over = picture(browser, LINE), browser.one("#series-0 .u-over")
    run(browser, "arguments[0].scrollIntoView({block: 'center'});", over)
    wide = over.size["width"] / 12.2  # of a step: 12, and a margin
    at = int((4.6 - 6.1) * wide)
    pointer(browser).move_to_element_with_offset(over, at, 10).perform()
    assert told(browser, "#read-0").startswith("Step 5: 300 µs, 200 % above the median, stands out.")
    pointer(browser).click().perform()
    assert told(browser).startswith("Step 5 (slowest), 300 µs.")
    run(browser, "arguments[0].scrollIntoView({block: 'center'});", over)
    pointer(browser).move_to_element_with_offset(over, -200, 5).click_and_hold().move_by_offset(300, 0).perform()
    pointer(browser).release().perform()
    closer = picture(browser, LINE)
    assert closer != whole
    pointer(browser).move_to_element_with_offset(over, 5, 5).double_click().perform()
    assert picture(browser, LINE) == whole
    keys(browser, "#series-0 .plot", "+")
    assert picture(browser, LINE) != whole
    keys(browser, "#series-0 .plot", "0")
    assert picture(browser, LINE) == whole


def test_thousands_of_steps(browser: Browser, tmp_path: Path):
    """All 3000 are there to be read, the last one too, and the one that stands out can be seen as a timeline."""
    lengths = [100] * 3000
    lengths[1234] = 400
    shown(browser, report(trained(*lengths).write(tmp_path)))
    keys(browser, "#series-0 .plot", "\ue010")
    assert told(browser, "#read-0").startswith("Step 3000: 100 µs, as the median.")
    assert "step 1235: slowest, 400 µs" in browser.one("#step").text
    keys(browser, "#series-0 .plot", "\ue011", *"++++++")  # Home, and closer: the last one is out of sight
    first = picture(browser, LINE)
    keys(browser, "#series-0 .plot", "\ue010")
    assert told(browser, "#read-0").startswith("Step 3000: ")
    assert picture(browser, LINE) != first


def test_memory_is_read_by_keys(browser: Browser, tmp_path: Path):
    """At its end: what was taken from the GPU, and what lay in tensors."""
    shown(browser, report(trained(*LENGTHS).write(tmp_path)))
    keys(browser, "#series-1 .plot", "\ue010")
    assert told(browser, "#read-1").endswith(": 80.0 MB taken from the GPU by PyTorch, 12.0 MB in tensors.")


def test_without_a_script_the_series_is_there(browser: Browser, tmp_path: Path):
    """Scripts off: the SVG of the steps is seen, and nothing that only a script could fill."""
    page = report(trained(*LENGTHS).write(tmp_path))
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        shown(browser, page)
        assert browser.one("#series-0 .plain svg").is_displayed()
        assert not browser.one("#series-0 .plot").is_displayed()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# -- screens and paper ------------------------------------------------------------------------------------------


def test_light_and_dark(browser: Browser, tmp_path: Path):
    """Page, timeline and series each have other colours by night, and change with the system while they are open."""
    page, seen = report(trained(*LENGTHS).write(tmp_path)), {}
    for scheme in ("light", "dark"):
        shown(browser, page, scheme=scheme)
        ground = run(browser, "return getComputedStyle(document.body).backgroundColor;")
        seen[scheme] = (ground, picture(browser), picture(browser, LINE))
    assert seen["light"][0] == "rgb(255, 255, 255)"
    assert all(day != night for day, night in zip(seen["light"], seen["dark"], strict=True))
    media = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    assert (picture(browser), picture(browser, LINE)) == seen["light"][1:]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_page_is_wider_than_its_window(browser: Browser, tmp_path: Path, width: int, scheme: str):
    """A report, one full of names of 5000 characters, and a comparison: none scrolls sideways."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (trained(*LENGTHS[at:]).write(tmp_path / name) for at, name in enumerate("ab"))
    (tmp_path / "names").mkdir()
    long = report(run_of(NAMES["long"], tmp_path / "names"))
    for page in (report(first), long, report(second, first)):
        shown(browser, page, width=width, scheme=scheme)
        assert run(browser, "return document.documentElement.scrollWidth <= innerWidth;"), page


def printed(browser: Browser) -> str:
    """What stands on the paper."""
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed: pip install -e .[browser]")
    pdf = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages))


def test_on_paper_nothing_is_folded_away(browser: Browser, tmp_path: Path):
    """The kernels' table and the definitions are folded on the screen, and printed; the script's hints are not."""
    shown(browser, report(trained(*LENGTHS).write(tmp_path)))
    folded = "details:not([open]):not(.defined) td:not(:empty)"
    cells = run(browser, "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent);", folded)
    assert "gemm" in cells
    assert not browser.one(folded).is_displayed()
    text = printed(browser)
    assert [cell for cell in cells if cell not in text] == []
    assert "start of the device work minus end of the call" in text
    assert "GPU 0 stream 7" in text  # the timeline, which is painted by the script
    assert "Point at a " not in text
    assert not browser.one(folded).is_displayed()


def test_a_comparison_on_paper(browser: Browser, tmp_path: Path):
    """No script runs there, and yet what is folded is printed."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (trained(*[length] * 8).write(tmp_path / name) for length, name in ((100, "a"), (80, "b")))
    shown(browser, report(first, second))
    assert "a bootstrap of the runs (not of the steps)" in printed(browser)


def test_what_was_painted_dark_is_printed_light(browser: Browser, tmp_path: Path):
    """By night: while the page is printed both canvases are painted as by day, and afterwards as they were."""
    page = report(trained(*LENGTHS).write(tmp_path))
    shown(browser, page)
    day = picture(browser)
    shown(browser, page, scheme="dark")
    night = picture(browser)
    run(
        browser,
        "addEventListener('beforeprint', () => { window.paper = document.getElementById('canvas').toDataURL(); });",
    )
    printed(browser)
    until(lambda: picture(browser) == night)
    assert run(browser, "return window.paper;") == day


# -- hostile names ----------------------------------------------------------------------------------------------

COUNT = "return [...document.querySelectorAll('*')].map((each) => each.tagName);"
ATTRIBUTES = "return [...document.querySelectorAll('*')].flatMap((each) => each.getAttributeNames());"


@pytest.mark.parametrize("kind", NAMES)
def test_names_do_nothing(browser: Browser, tmp_path: Path, kind: str):
    """Whatever names are: no element, attribute or request comes of them, also when the script shows them as text."""
    seen = {}
    for name in (HARMLESS, NAMES[kind]):
        folder = tmp_path / str(len(seen))
        folder.mkdir()
        shown(browser, report(run_of(name, folder)))
        for _ in range(6):  # every lane is read
            keys(browser, "#canvas", "n", "n", "\ue015")
        elements = Counter(run(browser, COUNT))
        seen[name] = (elements, set(run(browser, ATTRIBUTES)), run(browser, "return performance.getEntries().length;"))
    assert seen[NAMES[kind]][:2] == seen[HARMLESS][:2]
    assert run(browser, "return performance.getEntriesByType('resource').length;") == 0
