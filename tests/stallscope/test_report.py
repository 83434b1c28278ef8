"""`stallscope report`: one page that holds everything, asks nobody for anything, and believes no name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from stallscope import cli
from stallscope.analysis.report.style import safe
from tests import ROOT
from tests.analysis.stages.where.test_join import Recorder, tables
from tests.analysis.test_summary import window
from tests.builders import TraceBuilder
from tests.hostile import HARMLESS, NAMES, run_of
from tests.real import real_trace_folder

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u202e\x1b[31m"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: dict[str, str] = {}
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        told = dict(attrs)
        self._within = f"{tag}#{told['id']}" if "id" in told else tag
        if tag == "meta" and "content" in told:
            self.texts[told.get("http-equiv") or told["name"] or ""] = told["content"] or ""

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.texts[self._within] = self.texts.get(self._within, "") + data


def page_of(builder: TraceBuilder, folder: Path) -> str:
    """The report of a built trace."""
    path = builder.write(folder)
    assert cli._execute(["report", str(path), "-o", str(folder / "report.html")]) == 0
    return (folder / "report.html").read_text(encoding="utf-8")


def step(name: str) -> TraceBuilder:
    """A step with an operator and a kernel of that name, and a wait in the operator."""
    builder = TraceBuilder().step(0, 100).launch(2, 5, kernel=(name, 10, 30))
    return builder.op(name, 18, 30).sync(20, 25).launch(80, 5, kernel=(name, 90, 10))


def test_the_figures_of_the_summary_are_on_it(tmp_path: Path):
    """The verdict's sentence and the names and times of the tables are there, and the timeline's data are JSON."""
    page = Page(page_of(step("gemm"), tmp_path))
    data = json.loads(page.texts["script#data"])
    assert "gemm" in page.texts["td"]
    assert "40.0 µs" in page.texts["td"]
    assert [(lane["name"], lane["t"], lane["d"]) for lane in data["steps"][0]["lanes"] if lane["g"] == "stream"] == [
        ("GPU 0 stream 7", [10_000, 80_000], [30_000, 10_000])  # each start from the one before
    ]


def report_of_run(name: str, folder: Path) -> str:
    """The report of a run in which everything is called ``name``."""
    folder.mkdir()
    output = folder.with_suffix(".html")
    assert cli._execute(["report", str(run_of(name, folder)), "-o", str(output)]) == 0
    return output.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_text(tmp_path: Path, kind: str):
    """However operators, kernels, ranges, modules, lines, GPUs and workers are called: the same elements come of it."""
    harmless, text = Page(report_of_run(HARMLESS, tmp_path / "harmless")), report_of_run(NAMES[kind], tmp_path / "name")
    hostile = Page(text)
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert not any(name.startswith("on") for name in hostile.attributes)
    assert not {"style", "src", "href", "action", "srcdoc"} & hostile.attributes
    assert not set("\u202e\u2066\u200f\u200b\u2028\x1b") & set(text)
    assert safe(NAMES[kind])[:9] in hostile.texts["td"]


def test_nothing_but_its_own_style_and_script_may_run(tmp_path: Path):
    """The policy allows nothing but these, by their hashes, and no address stands in the page but the library's own."""
    text = page_of(step("gemm"), tmp_path)
    policy = Page(text).texts["Content-Security-Policy"]
    hashes = [
        " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in parts)
        for parts in (re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("style", "script"))
    ]
    assert policy == f"default-src 'none'; style-src {hashes[0]}; script-src {hashes[1]}; base-uri 'none'"
    assert not re.search(r"(?:https?:)?//\w|@import|url\(", text.replace("https://github.com/leeoniya/uPlot", ""))


def test_only_a_page_that_draws_with_the_library_carries_it(tmp_path: Path):
    """One step is no series: neither the library nor its style is there; of two steps both, and the policy says so."""
    one = page_of(step("gemm"), tmp_path)
    (tmp_path / "two").mkdir()
    two = page_of(step("gemm").step(100, 100).op("aten::mm", 110, 20), tmp_path / "two")
    assert ("var uPlot=" in one, one.count("<style>")) == (False, 1)
    assert ("var uPlot=" in two, two.count("<style>")) == (True, 2)
    assert Page(one).texts["Content-Security-Policy"].count("sha256-") == 2
    assert Page(two).texts["Content-Security-Policy"].count("sha256-") == 4


def test_the_forecast_is_drawn(tmp_path: Path):
    """The sample of the Iris training: each fix of the ladder has its point and its row, the step now its line."""
    sample = next((ROOT / "traces" / "samples").glob("iris*.json.gz"))
    assert cli._execute(["report", str(sample), "-o", str(tmp_path / "report.html")]) == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.tags.count("circle") == 6
    assert "one CUDA graph for the step" in page.texts["span"]
    assert "83.0 - 142 µs" in page.texts["td"]


def test_lines_of_the_script_on_the_timeline(tmp_path: Path):
    """A run with an attribution window: waits, operators and kernels are told with the line that calls them."""
    for name, marks in (("w.1.pt.trace.json.gz", False), ("w.2.pt.trace.json.gz", True)):
        recorder = Recorder(marks=marks)
        recorder.step(0.0)
        recorder.builder.write(tmp_path, name)
    windows = [
        window("timing", "full", steps=1, duration_ns=1, trace="w.1.pt.trace.json.gz"),
        window("attribution", "full", steps=1, duration_ns=1, trace="w.2.pt.trace.json.gz"),
    ]
    (tmp_path / "stallscope.json").write_bytes(msgspec.json.encode(tables(windows=windows, worker="w")))
    assert cli._execute(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == 0
    data = json.loads(Page((tmp_path / "report.html").read_text(encoding="utf-8")).texts["script#data"])
    said = {
        data["names"][n]: data["names"][w]
        for lane in data["steps"][0]["lanes"]
        for n, w in zip(lane["n"], lane["w"], strict=False)
        if w >= 0
    }
    assert said["cudaStreamSynchronize"] == "At train.py:6 .item(), aten::item"
    assert said["aten::item"] == "At train.py:6 .item()"
    assert said["AddmmBackward0"] == "At train.py:41 .backward()"
    assert said["gemm"] == "Launched at train.py:40 model(...)"
    assert said["the CPU returns from waiting for the GPU"] == "After the wait at train.py:6 .item(), aten::item"


def test_kernel_time_against_launch_cost(tmp_path: Path):
    """Two launch calls of 5 µs and kernels of 30 and 10 µs: three classes, the calls in the first."""
    text = page_of(step("gemm"), tmp_path)
    chart = text[text.index('aria-label="Kernels and launch calls by duration"') :].partition("</svg>")[0]
    assert re.findall(r'<rect class="f-(\w+)" x="([\d.]+)".*?<title>(\d+)', chart) == [
        ("kernel", "353.3", "1"),
        ("kernel", "686.7", "1"),
        ("launch", "166.7", "2"),
    ]
    assert re.findall(r">([^<]+)</text>", chart) == ["4.00 µs …", "8.00 µs …", "16.0 µs …", "1", "1", "2"]


def test_memory_over_time(tmp_path: Path):
    """Samples of 1, 3 and 2 MB, from 4 reserved: two areas, each with its peak; without samples no section."""
    builder = step("gemm")
    for at, allocated in ((10, 1), (20, 3), (60, 2)):
        builder.memory(at, allocated * 1_000_000, 4_000_000)
    page = Page(text := page_of(builder, tmp_path))
    assert page.tags.count("polygon") == 2
    assert "GPU 0, in tensors: at most 3.00 MB" in text
    assert 'class="f-memcpy" points="0.0,120 0.0,90.0 200.0,90.0 200.0,30.0 1000.0,30.0 1000.0,60.0' in text
    (tmp_path / "none").mkdir()
    assert "GPU memory" not in page_of(step("gemm"), tmp_path / "none")


def test_modules_as_a_tree(tmp_path: Path):
    """Two layers in a network: inside it, the longer first."""
    builder = TraceBuilder(gpu=None).step(0, 100).python("nn.Module: Net_0", 5, 90)
    builder.python("nn.Module: Linear_0", 10, 20).python("nn.Module: Linear_1", 40, 50).op("aten::mm", 45, 10)
    text = page_of(builder, tmp_path)
    tree = text[text.index('<div class="tree">') :].partition("</div>")[0]
    assert tree == (
        '<div class="tree"><ul><li><details open><summary>Net_0: CPU 90.0 µs</summary>'
        "<ul><li>Linear_1: CPU 50.0 µs</li><li>Linear_0: CPU 20.0 µs</li></ul></details></li></ul>"
    )


def test_a_comparison(tmp_path: Path):
    """Steps of 100 µs against steps of 50: the answer, both names, the change of each figure, and no script at all."""
    sides = []
    for name, length in (("slow", 100), ("fast", 50)):
        (tmp_path / name).mkdir()
        builder = TraceBuilder()
        for at in range(0, 8 * length, length):
            builder.step(at, length).op(HOSTILE, at + 5, 20).launch(at + 10, 5, kernel=("gemm", at + 20, length - 30))
        sides.append(str(builder.write(tmp_path / name)))
    assert cli._execute(["report", *sides, "-o", str(tmp_path / "report.html")]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.texts["p"].startswith("50.0 % less time a step; repeat to be sure")
    assert "-50.0 µs" in page.texts["td"]
    assert "script" not in page.tags
    assert "script-src 'none'" in page.texts["Content-Security-Policy"]
    assert "<img" not in text


def test_the_comparison_of_runs_whose_change_was_forecast(tmp_path: Path):
    """ResNet-50 with no and with four workers: the forecast and what was measured, and no word of the code's own."""
    real = real_trace_folder()
    if real is None:
        pytest.skip("the folder of real traces is not here; set STALLSCOPE_TRACES to it to run this test")
    sides = [str(real / "kineto-2021" / f"resnet50_num_workers_{workers}") for workers in (0, 4)]
    assert cli._execute(["report", *sides, "-o", str(tmp_path / "report.html")]) == 0
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Forecast and measured" in page.texts["h2"]
    assert "124 ms (117 ms to 134 ms); measured 140 ms: -11.5 %, outside the interval" in page.texts["li"]
    assert "0.4 % (seen between the two halves of one run)" in page.texts["p"]
    assert "(halves)" not in page.texts["p"]


def test_advice_has_its_code_as_code(tmp_path: Path):
    """The Iris sample: the statement stands on a line of its own, calls within the sentence; both are text."""
    sample = next((ROOT / "traces" / "samples").glob("iris*.json.gz"))
    assert cli._execute(["report", str(sample), "-o", str(tmp_path / "report.html")]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    statement = "model = torch.compile(model, mode=&quot;reduce-overhead&quot;)"
    assert f'Least effort: <code class="statement">{statement}</code> replays the kernels' in text
    assert "<code>loss.detach()</code>" in text


def test_how_each_figure_is_defined(tmp_path: Path):
    """Every word that `docs/reference.md` defines is defined on the page too, folded away on the screen."""
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    words = re.findall(r"\*([\w ]+)\*:", reference.partition("## The words")[2].partition("##")[0])
    page = Page(text := page_of(step("gemm"), tmp_path))
    assert len(words) > 5
    assert [word for word in words if f"<dt>{word}</dt>" not in text] == []
    assert page.texts["summary"].endswith("How each figure is defined")


def test_a_run_on_the_cpu_has_a_page_too(tmp_path: Path):
    """No GPU: no lane of one, no bar of one, and no dash where a figure would be."""
    text = page_of(TraceBuilder(gpu=None).step(0, 100).op("aten::mm", 10, 80), tmp_path)
    assert "aten::mm" in text
    assert "GPU 0" not in text


def test_an_output_that_exists_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """One sentence, exit code 2, and the file as it was."""
    path, output = step("gemm").write(tmp_path), tmp_path / "mine.html"
    output.write_text("mine")
    assert cli._execute(["report", str(path), "-o", str(output)]) == 2
    assert output.read_text() == "mine"
    assert "--force" in capsys.readouterr().err


def test_where_the_page_is_is_said_on_stderr(tmp_path: Path, capsys):
    """One line; stdout stays empty."""
    page_of(step("a"), tmp_path)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"written: {tmp_path / 'report.html'}\n")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here to open the page in")
def test_in_a_browser(tmp_path: Path):
    """The script runs under the page's own policy: the timeline is drawn, and tells which step it shows."""
    page_of(step(HOSTILE), tmp_path)
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={tmp_path / 'b'}"]
    address = (tmp_path / "report.html").as_uri()
    ran = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True)
    assert "Step 1 (median), 100 µs." in Page(ran.stdout).texts["div#told"]
