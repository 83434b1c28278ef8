"""What ``import stallscope`` gives, and what it does not load."""

import subprocess
import sys

import pytest

import stallscope
from tests.builders import TraceBuilder


def test_a_notebook_reads_summarizes_and_compares(tmp_path):
    """The three public functions on one tiny trace."""
    path = TraceBuilder().step(0, 100).launch(10, 5, kernel=("gemm", 20, 50)).write(tmp_path)
    assert stallscope.read(path).events(category="kernel").dur_ns.tolist() == [50_000]
    assert stallscope.summarize(path).per_step.kernel_us == 50.0
    assert stallscope.compare([path], [path]).schema == "stallscope.compare/1"
    assert {"read", "summarize", "compare", "profile"} <= set(dir(stallscope))


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
