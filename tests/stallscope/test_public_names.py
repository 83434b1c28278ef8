"""What ``import stallscope`` gives, and what it does not load."""

import subprocess
import sys
from pathlib import Path

import pytest

import stallscope
from stallscope.traces.model.errors import BadInput, OutputExists
from tests.builders import TraceBuilder


def test_a_notebook_reads_summarizes_and_compares(tmp_path):
    """The three public functions on one tiny trace."""
    path = TraceBuilder().step(0, 100).launch(10, 5, kernel=("gemm", 20, 50)).write(tmp_path)
    assert stallscope.read(path).events(category="kernel").dur_ns.tolist() == [50_000]
    assert stallscope.summarize(path).per_step.kernel_us == 50.0
    assert stallscope.compare([path], [path]).schema == "stallscope.compare/1"
    assert {"read", "summarize", "compare", "profile"} <= set(dir(stallscope))


def test_values_show_themselves_in_a_notebook(tmp_path):
    """One line each as text; as HTML the terminal's page in a font of its own, with names from the trace escaped."""
    path = TraceBuilder().step(0, 100).launch(10, 5, kernel=("<b>gemm", 20, 50)).write(tmp_path)
    summary, forecasts = stallscope.summarize(path), stallscope.whatif(path)
    for value in (summary, forecasts, stallscope.compare([path], [path])):
        assert repr(value).startswith(f"<{type(value).__name__}")
        assert "\n" not in repr(value)
        page = value._repr_html_()
        assert page.startswith('<pre style="font-family: ui-monospace')
        assert "<b>" not in page
    assert "Stallscope summary" in summary._repr_html_()


def test_pages_and_copies_are_written(tmp_path):
    """A report and an annotated copy, and where they are; a file that is there is left alone."""
    path = TraceBuilder().step(0, 100).launch(10, 5, kernel=("gemm", 20, 50)).write(tmp_path)
    assert "</html>" in stallscope.report(path, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Stallscope" in stallscope.annotate(path, tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(OutputExists):
        stallscope.report(path, tmp_path / "r.html")
    assert stallscope.report(path, tmp_path / "r.html", candidate=path, force=True).exists()


def test_tables_as_frames(tmp_path):
    """Kernels and steps with their numbers; a table that is not there is a sentence with those that are."""
    pytest.importorskip("pandas")
    path = TraceBuilder().step(0, 100).launch(10, 5, kernel=("gemm", 20, 50)).write(tmp_path)
    summary = stallscope.summarize(path)
    assert stallscope.to_frame(summary, "kernels").us_per_step.tolist() == [50.0]
    assert stallscope.to_frame(summary, "steps").us.tolist() == [100.0]
    with pytest.raises(BadInput, match="choose of: operators, kernels"):
        stallscope.to_frame(summary, "kernel")


@pytest.mark.parametrize("side", ["/a", Path("/a")])
def test_a_bare_path_is_no_side(side):
    """Taken apart it would be "/" and "a": the whole machine would be searched."""
    with pytest.raises(BadInput, match="two lists of paths"):
        stallscope.compare(side, ["/b"])
    with pytest.raises(BadInput, match="two lists of paths"):
        stallscope.compare(["/b"], side)


def test_a_name_that_does_not_exist():
    """As of any module: AttributeError."""
    with pytest.raises(AttributeError, match="has no attribute 'profiles'"):
        _ = stallscope.profiles


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import stallscope", ["numpy", "msgspec", "typer", "torch"]),
        ("import stallscope; stallscope.read", ["torch", "pandas", "matplotlib", "typer", "pydantic", "rich"]),
    ],
)
def test_what_an_import_does_not_load(code, absent):
    """The package itself loads nothing; reading traces needs neither torch nor a table library."""
    script = f"{code}; import sys; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
