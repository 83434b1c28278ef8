"""The health of a trace as text, Markdown and JSON."""

import json

import pytest

from stallscope import api
from stallscope.analysis.report.health import json as health_json
from stallscope.analysis.report.health import markdown as health_markdown
from stallscope.analysis.report.health import text as health_text
from stallscope.analysis.report.style import Style
from tests.builders import TraceBuilder


def report(folder):
    """A step, a launch with its kernel, a kernel of none, an event of a hostile category."""
    builder = TraceBuilder(rank=1, world_size=4).step(0, 100).op("aten::add", 10, 20, **{"External id": 3})
    builder.launch(12, 5, kernel=("gemm", 30, 7)).kernel(("early", 1, 2)).key(with_stack=1)
    builder.complete("\x1b[31m*evil*", "x", 1, 2)
    (found,) = api.health(builder.write(folder))
    return found


def test_the_report_as_json(tmp_path):
    """What the file is, what it covers, its issues, links and torch's rules."""
    told = json.loads(health_json.render([report(tmp_path)]))
    assert (told["schema"], told["grade"]) == ("stallscope.health/1", "degraded")
    assert told["file"]["years"] == "2024 and later"
    assert (told["file"]["rank"], told["file"]["world_size"], told["file"]["recorded"]) == (1, 4, ["with_stack"])
    assert told["coverage"]["steps"] == 1
    kernels = {"name": "kernel", "known": True, "count": 2, "first_us": 1.0, "last_us": 37.0}
    assert kernels in told["coverage"]["categories"]
    assert told["links"]["device_rows_with_call"] == {"count": 1, "of": 2, "share": 0.5}
    assert {issue["name"] for issue in told["issues"]} >= {"launched_before_recording", "unknown_category"}
    assert told["validator"]["passed"] is True
    assert len(told["validator"]["rules"]) == 6


@pytest.mark.parametrize("width", [40, 80, 100])
def test_the_report_as_text_fits_and_is_safe(width, tmp_path):
    """No line is wider than the page, and the hostile name reaches the terminal without its escape."""
    text = health_text.page(report(tmp_path), Style(width=width))
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "evil" in text
    assert "Trace health: degraded" in text


def test_the_report_as_markdown_is_a_block_of_code(tmp_path):
    """Every line is indented, so nothing in it is markup."""
    assert all(line.startswith("    ") for line in health_markdown.render([report(tmp_path)]).splitlines())


def test_the_command(tmp_path, capsys):
    """``summary --health`` in three formats; of a damaged file too, as far as it goes."""
    from stallscope.cli import _execute

    builder = TraceBuilder().step(0, 100)
    for i in range(50):
        builder.op("aten::add", 2 * i, 1)
    path = builder.write(tmp_path)
    for form, start in (("text", "Stallscope trace health"), ("json", '{\n  "schema"'), ("markdown", "    Stallscope")):
        assert _execute(["summary", "--health", str(path), "--format", form]) == 0
        assert capsys.readouterr().out.startswith(start)
    path.write_bytes(path.read_bytes()[:-2000])
    assert _execute(["summary", "--health", "--strict", str(path)]) == 3
    assert "Trace health: degraded" in capsys.readouterr().out
