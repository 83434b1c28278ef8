"""The text view: answer first, 80 columns, any alphabet, no name that can harm a terminal."""

import re

import msgspec
import pytest
from rich.cells import cell_len

from stallscope.analysis.contract.summary import UnprofiledTimes
from stallscope.analysis.report.full_page import page
from stallscope.analysis.report.header import header
from stallscope.analysis.report.style import Style, safe, shorten, wrap
from stallscope.analysis.summary import summarize
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real

HOSTILE = "\x1b[31mred\x1b]8;;http://x\x07 \u202egnp.exe\u2069 [bold]x[/bold] | `a` <b>\r\n\u200b" + "模型" * 60


def test_the_page_opens_with_machine_steps_and_answer():
    """Whoever reads only the first lines knows what was measured and what is wrong."""
    lines = page(summarize(three_steps().trace()), Style()).splitlines()
    assert lines[0] == "Stallscope summary"
    assert lines[2].startswith("GPU         NVIDIA H100 80GB HBM3")
    assert "Steps       3 steps of 1.00 ms, middle 80 % from 1.00 ms to 1.00 ms" in lines
    assert "The GPU waits for the CPU's own work (host-bound)" in lines


def test_one_step_as_bars():
    """CPU and GPU side by side, each bar as long as its share of the step."""
    text = page(summarize(three_steps().trace()), Style())
    start = text.index("One step")
    assert text[start:].splitlines()[:6] == [
        "One step, 1.00 ms",
        "CPU  calls starting kernels      ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   15.0 µs     2 %",
        "     waiting for GPU             ███████░░░░░░░░░░░░░░░░░░░░░░    243 µs    24 %",
        "     the rest: operators, Python ██████████████████████░░░░░░░    742 µs    74 %",
        "GPU  working                     █████████░░░░░░░░░░░░░░░░░░░░    302 µs    30 %",
        "     idle                        ████████████████████░░░░░░░░░    698 µs    70 %",
    ]


def test_bars_of_a_cpu_run_count_what_the_dataloader_runs_as_loading():
    """600 µs of loading with 300 µs of operators inside, 300 µs of operators after it: 100 µs remain."""
    builder = (
        TraceBuilder(gpu=None).step(0, 1000).dataloader(0, 600).op("aten::stack", 50, 300).op("aten::mm", 600, 300)
    )
    text = page(summarize(builder.trace()), Style())
    assert "Loading data takes the time; no GPU was used (input-bound)" in text
    assert [line.split()[-4:] for line in text[text.index("One step") :].splitlines()[1:4]] == [
        ["300", "µs", "30", "%"],
        ["600", "µs", "60", "%"],
        ["100", "µs", "10", "%"],
    ]


BUSY = (
    "more than recording explains: the machine was probably busy with other things during one of the two windows, so "
    "record again on an idle one"
)


@pytest.mark.parametrize(
    ("inflation", "quickest", "told"),
    [
        (387.0, 10.0, f"; the recorded steps took 387 times as long, {BUSY}"),
        (4.2, 10.0, f"; the recorded steps took 4.2 times as long, {BUSY}"),
        (3.9, 10.0, "; recording made it 3.90 times as long"),
        (2.1, 3.0, f"; the recorded steps took 2.1 times as long, {BUSY}"),
        (1.9, 3.0, "; recording made it 1.90 times as long"),
    ],
    ids=["absurd", "too much", "much but even", "scattered", "scattered but usual"],
)
def test_what_recording_does_not_explain_is_not_blamed_on_it(inflation, quickest, told):
    """Beyond 4 times, or beyond 2 times where the slowest steps (10 µs) take 3 times as long as the quickest."""
    summary = summarize(three_steps().trace())
    wall = msgspec.structs.replace(summary.steps.wall_us, p10=quickest, p90=10.0)
    whole = UnprofiledTimes(mean=100.0, steps=18, host_samples=None)
    steps = msgspec.structs.replace(summary.steps, unprofiled_us=whole, inflation=inflation, wall_us=wall)
    lines = dict(header(msgspec.structs.replace(summary, steps=steps)))
    assert lines["Unprofiled"] == f"100 µs a step over 18 steps{told}"


@pytest.mark.parametrize(
    ("inflation", "told"),
    [
        (0.87, "62.6 ms a step over 18 steps; no slowdown by recording visible (the windows differ by 13 %)"),
        (1.25, "62.6 ms a step over 18 steps; recording made it 1.25 times as long"),
    ],
)
def test_recording_is_never_said_to_make_a_step_faster(inflation, told):
    """Below 1.0 the two windows differ by chance; one core and one thread are singular."""
    summary = summarize(three_steps().trace())
    whole = UnprofiledTimes(mean=62_600.0, steps=18, host_samples=None)
    steps = msgspec.structs.replace(summary.steps, unprofiled_us=whole, inflation=inflation)
    machine = msgspec.structs.replace(summary.machine, cpu="a CPU", cores=2, threads=1, torch=None)
    lines = dict(header(msgspec.structs.replace(summary, steps=steps, machine=machine)))
    assert lines["Unprofiled"] == told
    assert lines["CPU"] == "a CPU, 2 cores, 1 thread"


def test_a_simulated_trace_says_so_at_the_top():
    """Nobody can take a model's figures for a measurement."""
    trace = TraceBuilder(gpu="simulated").step(0, 9).launch(1, 1, kernel=("k", 3, 1)).trace()
    assert "SIMULATED: no GPU made this trace" in page(summarize(trace), Style()).splitlines()[2]


@every_real_trace
def test_real_traces_fit_the_page_in_every_style(path):
    """No line is wider than 80, 40 or 120 columns; ASCII stands in where blocks and µ cannot be shown."""
    summary = real(path).summary
    for width in (40, 80, 120):
        for style in (Style(width=width), Style(width=width, unicode=False)):
            text = page(summary, style)
            assert [line for line in text.splitlines() if cell_len(line) > width] == []
    text.encode("ascii")
    text.encode("cp936")


def test_a_page_of_ten_columns_does_not_crash():
    """Nothing useful fits, and nothing fails."""
    assert page(summarize(three_steps().trace()), Style(width=10))


def test_colour_only_where_asked():
    """Escape sequences appear with colour, and never without; the text is the same."""
    summary = summarize(three_steps().trace())
    plain, coloured = page(summary, Style()), page(summary, Style(color=True))
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert coloured != plain


def test_the_same_summary_gives_the_same_text():
    """Two analyses of one trace print the same bytes."""
    trace = three_steps().trace()
    assert page(summarize(trace), Style()) == page(summarize(trace), Style())


def test_hostile_names_cannot_move_the_cursor_or_widen_the_table():
    """Escape sequences, bidirectional overrides and line breaks in operator, kernel and device names are replaced."""
    builder = TraceBuilder(gpu=HOSTILE).step(0, 1000).op(HOSTILE, 10, 500)
    builder.launch(20, 5, kernel=(HOSTILE, 40, 800)).sync(30, 400)
    summary = summarize(builder.trace())
    for style in (Style(), Style(unicode=False)):
        text = page(summary, style)
        assert [c for c in text if not c.isprintable() and c != "\n"] == []
        assert [line for line in text.splitlines() if cell_len(line) > 80] == []


def test_safe_replaces_what_cannot_be_seen_and_keeps_what_can():
    """Control, bidi and zero-width characters become ?; Chinese stays; an address is dropped."""
    assert safe("a\x1b[0m\u202eb\u200bc\n模型") == "a?[0m?b?c?模型"
    assert safe("<built-in method item of Tensor object at 0x7f3a>") == "<built-in method item of Tensor object>"


def test_shorten_keeps_both_ends():
    """A long C++ name loses its middle; wide characters count two columns."""
    assert shorten("void at::native::elementwise_kernel<128>", 20) == "void at::nat..l<128>"
    assert shorten("short", 20) == "short"
    assert cell_len(shorten("模型" * 20, 15)) <= 15


def test_wrap_keeps_a_number_with_its_unit_and_cuts_long_words():
    """The number in 6 % is never torn from its unit; a word longer than the line is cut, not lost."""
    assert wrap("it works 6 % of 5.60 ms", 12) == ["it works 6 %", "of 5.60 ms"]
    assert wrap("it works for 6 % of it", 15) == ["it works for", "6 % of it"]
    assert wrap("abcdefgh", 3) == ["abc", "def", "gh"]


def test_steps_that_do_not_count_are_said():
    """Steps of 1, 1 and 4 ms: the answer is about those of 1, and what the last adds is said."""
    trace = TraceBuilder().step(0, 1000).step(1000, 1000).step(2000, 4000).op("a", 1, 1).op("b", 2500, 3000).trace()
    lines = page(summarize(trace), Style(width=200)).splitlines()
    assert (
        "Steps       3 steps of 1.00 ms, middle 80 % from 1.00 ms to 3.40 ms; 1 of them is not like the others and "
        "does not count; with them a step takes 2.00 ms on average"
    ) in lines


def test_data_exchanged_without_a_gpu_is_a_bar_of_its_own():
    """Collectives for 60 of 100 µs, and no other operator: 60 % exchanging data, not "the rest"."""
    text = page(summarize(TraceBuilder(gpu=None).step(0, 100).annotation("gloo:all_reduce", 20, 60).trace()), Style())
    bars = {line[5:26].strip(): line.split()[-2] for line in text.splitlines() if "█" in line or "░" in line}
    assert bars == {"in operators": "0", "exchanging data": "60", "the rest: Python etc.": "40"}
    assert "communication between processes" in text
