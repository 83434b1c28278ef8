"""JSON and Markdown views of a summary."""

import json
import re

import msgspec

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.report.summary import json as as_json
from stallscope.analysis.report.summary import markdown
from stallscope.analysis.summary import summarize
from stallscope.traces.read.read import read
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real


def test_one_summary_is_a_document_of_its_own_and_reads_back():
    """Every key of the contract is there, in its order; decoding gives the summary again."""
    summary = summarize(three_steps().trace())
    data = as_json.render([summary])
    assert list(json.loads(data)) == list(Summary.__struct_fields__)
    assert msgspec.json.decode(data, type=Summary) == summary
    assert data.endswith(b"}\n")


def test_several_summaries_are_listed():
    """Two ranks: one document with both."""
    summary = summarize(three_steps().trace())
    document = json.loads(as_json.render([summary, summary]))
    assert document["schema"] == "stallscope.summaries/1"
    assert [each["schema"] for each in document["summaries"]] == ["stallscope.summary/2"] * 2


def _refuse(constant):
    raise AssertionError(constant)


@every_real_trace
def test_json_of_real_traces_is_strict(path):
    """No NaN, no Infinity, valid UTF-8; the same trace gives the same bytes."""
    summary = real(path).summary
    data = as_json.render([summary])
    assert json.loads(data, parse_constant=_refuse)["schema"] == "stallscope.summary/2"
    assert data == as_json.render([summarize(read(path))])
    assert markdown.page(summary).startswith("## Stallscope: ")


def test_markdown_says_what_the_text_says():
    """Answer, tables and advice, ready to paste."""
    page = markdown.page(summarize(three_steps().trace()))
    assert page.startswith("## Stallscope: The GPU waits for the CPU's own work (host-bound)\n")
    assert "| GPU computing (kernels) | 300 µs | 30 % |" in page
    assert "GPU working 302 µs of 1.00 ms (30 %)." in page


def test_markdown_shows_names_as_they_are():
    """A name cannot end a table cell, open code, become HTML, mention a person or link an issue."""
    name = "<img src=x> | `code` **bold** [a](b) @torvalds #1\n## title"
    page = markdown.page(summarize(TraceBuilder(gpu=None).step(0, 100).op(name, 10, 50).trace()))
    (row,) = [line for line in page.splitlines() if "torvalds" in line and line.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert row.startswith(
        r"| &lt;img src=x&gt; \| \`code\` \*\*bold\*\* \[a\](b) @<!-- -->torvalds #<!-- -->1?## title |"
    )
