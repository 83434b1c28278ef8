"""The text of a comparison: the answer first, within 80 columns, safe to show, readable without knowing the code."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from stallscope.analysis.compare.compare import compare
from stallscope.analysis.contract.compare import Comparison
from stallscope.analysis.report.compare.text import render
from stallscope.analysis.report.style import Style
from tests.analysis.comparing import kernel, manifest_of, operator, run, runs

PLAIN = Style(width=80, color=False, unicode=True)


def every(count: int) -> Comparison:
    """Three GPU runs each, the loss read in every step against every ``count`` steps."""
    item, addmm, gemm = operator("aten::item", 39.0, 2.0), operator("aten::addmm", 60.0, 4.0), kernel("gemm", 4.0)
    before = runs(
        "every-1",
        *(205.0, 206.0, 204.0),
        manifest=manifest_of("iris.py", "--record-every", "1"),
        vendor="cuda",
        operators=[item, addmm],
        kernel_rows=[gemm],
    )
    after = runs(
        "every-100",
        *(169.0, 168.0, 170.0),
        manifest=manifest_of("iris.py", "--record-every", str(count)),
        vendor="cuda",
        sync_calls=0.01,
        operators=[addmm],
        kernel_rows=[gemm, kernel("x", 1.0)],
    )
    return compare(before, after)


def words(text: str) -> str:
    """The text with its line breaks and columns undone."""
    return " ".join(text.split())


def test_the_answer_names_the_change_the_saving_and_how_sure_it_is() -> None:
    """What was changed comes from the command lines; then times, share and interval in one sentence."""
    text = words(render(every(100), PLAIN))
    assert "With --record-every 100 (was 1) a step takes 169 µs instead of 205 µs" in text
    assert "36.0 µs (17.6 %) less" in text
    assert "95 % interval of the change: -18." in text
    assert "(3 and 3 runs)" in text


def test_the_answer_comes_before_the_tables() -> None:
    """Header, answer, then figures."""
    text = render(every(100), PLAIN)
    assert text.index("before   every-1") < text.index("a step takes") < text.index("Time per step")


def test_the_tables_show_before_after_and_change() -> None:
    """Synchronizing calls 1 and 0.01, exact; the operator that vanished is marked."""
    text = words(render(every(100), PLAIN))
    assert "synchronizing calls 1 0.01 -0.99 -99.0 %" in text
    assert "aten::item (vanished) 39.0 µs 0 µs -39.0 µs -100.0 %" in text
    assert "x (appeared)" in text
    assert "gemm" not in text  # unchanged


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_the_page(width: int) -> None:
    """Long and wide-character names, long commands and notes all fit."""
    name = "培训" * 40
    before = run(name, manifest_of("t.py", "--data", "x" * 300), operators=[operator("vectorized_" * 20, 5.0)])
    after = run("b" * 200, manifest_of("t.py", "--data", "y"), operators=[operator(name, 5.0)], simulated=True)
    for comparison in (compare([before], [after]), every(100), compare([before], [run("gpu", vendor="cuda")])):
        for line in render(comparison, Style(width=width)).splitlines():
            assert cell_len(line) <= width, line


def test_ascii_stands_in_where_the_encoding_has_no_micro_sign() -> None:
    """No character outside ASCII is left, and times keep their unit."""
    text = render(every(100), Style(width=80, unicode=False))
    assert text.isascii()
    assert "169 us" in text


def test_a_chinese_code_page_keeps_chinese_names() -> None:
    """cp936 has no micro sign and no blocks, but it has the characters of a Chinese run name."""
    text = render(compare([run("培训")], [run("b")]), Style(unicode=False, encoding="cp936"))
    assert "before   培训" in text
    assert text.encode("cp936")
    assert "before   ??" in render(compare([run("培训")], [run("b")]), Style(unicode=False))


def test_colour_only_where_asked_for() -> None:
    """Without colour there is no escape sequence; with it, the answer is green when the candidate is faster."""
    assert "\x1b" not in render(every(100), PLAIN)
    assert "\x1b[32m" in render(every(100), Style(width=80, color=True))


def test_names_cannot_speak_to_the_terminal() -> None:
    """Control characters in run names, operators and arguments are not printed."""
    evil = "\x1b[2Jevil\r\n"
    comparison = compare(
        [run(evil, manifest_of("t.py", "--x", evil), operators=[operator(evil, 5.0)])],
        [run("b", manifest_of("t.py", "--x", "1"))],
    )
    assert not set(render(comparison, PLAIN)) & {"\x1b", "\r"}


def test_one_run_each_says_so_and_asks_for_a_repeat() -> None:
    """No interval, no "significant": the noise floor and what to do."""
    text = words(render(compare([run("a", samples=[100.0] * 8)], [run("b", samples=[50.0] * 8)]), PLAIN))
    assert "one run each; noise floor = drift between windows" in text
    assert "Repeat to be sure." in text
    assert "significant" not in text
    assert "interval" not in text


def test_a_cpu_and_a_gpu_run_are_set_operator_against_operator() -> None:
    """CPU time beside host and device time on the GPU, and the reason in words."""
    cpu = run("cpu", step=70.0, operators=[operator("aten::mm", 20.0)])
    gpu = run("gpu", vendor="cuda", step=290.0, gpu_busy_us=24.0, operators=[operator("aten::mm", 40.0, 2.0)])
    text = words(render(compare([cpu], [gpu]), PLAIN))
    assert "largest changes" not in text
    assert "The CPU run is faster" in text
    assert "aten::mm 20.0 µs 40.0 µs 2.00 µs CPU" in text


def test_figures_unknown_on_one_side_are_said_to_be() -> None:
    """A CPU run has no kernels to subtract: unknown, not zero."""
    text = words(render(compare([run("gpu", vendor="cuda")], [run("cpu")]), PLAIN))
    assert "kernel launches 20 - unknown" in text


def test_rows_that_are_zero_or_unknown_on_both_sides_are_left_out() -> None:
    """Two CPU runs show no GPU rows at all."""
    text = render(compare([run("a")], [run("b")]), PLAIN)
    assert "GPU" not in text
    assert "Counted per step" not in text


def test_what_limits_the_comparison_stands_at_its_end() -> None:
    """A simulated trace is named as such."""
    assert "no hardware made its figures" in words(render(compare([run("a", simulated=True)], [run("b")]), PLAIN))
