"""One step time: where the CPU runs ahead of the GPU every view says what the work takes, not what the CPU does.

Kernels of 1000 µs in steps of 300 µs on the host: a step takes 1.00 ms.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stallscope import api, cli, scalars
from tests.builders import TraceBuilder
from tests.plugin import clients, spans, until_done

pytestmark = pytest.mark.usefixtures("own_cache")
STEP_US = 1000.0


def ahead(*, kernel_us: int = 1000, rank: int | None = None, world: int = 1) -> TraceBuilder:
    """Six steps of 300 µs on the host, each with a kernel that queues behind those before it."""
    builder, free = TraceBuilder(rank=rank, world_size=world), 20.0
    for at in range(0, 6 * 300, 300):
        builder.step(at, 300).op("aten::mm", at + 5, 20).launch(at + 10, 5, kernel=("k", free, kernel_us))
        free += kernel_us
    return builder


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The trace, in a run folder of its own."""
    folder = tmp_path / "run"
    folder.mkdir()
    return ahead().write(folder)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    assert cli._execute([*arguments]) == 0
    return capsys.readouterr().out


def test_the_summary(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Header, answer, bars and forecast speak of 1.00 ms; the 300 µs of the host are called the CPU's."""
    text = " ".join(shown(capsys, "summary", str(trace)).split())
    assert "6 steps of 1.00 ms: the CPU is through with one after 300 µs and runs ahead" in text
    assert "of the 1.00 ms of each step" in text
    assert "One step, 1.00 ms" in text
    document = json.loads(shown(capsys, "summary", str(trace), "--format", "json"))
    assert (document["steps"]["step_us"], document["steps"]["run_ahead"]) == (STEP_US, True)
    assert document["forecast"]["step_us"] == STEP_US


def test_the_forecasts(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`whatif` starts from the same step."""
    assert "Now 1.00 ms" in shown(capsys, "whatif", str(trace))


def test_the_comparison(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against kernels of 500 µs: the step goes from 1000 to 500 µs, whatever the host did."""
    other = tmp_path / "other"
    other.mkdir()
    after = ahead(kernel_us=500).write(other)
    document = json.loads(shown(capsys, "compare", str(trace), str(after), "--format", "json"))
    for step in (document["statistics"]["step_us"], document["steps"]["step_us"]):
        assert (step["baseline"], step["candidate"]) == (STEP_US, 500.0)


def test_the_ranks(tmp_path: Path) -> None:
    """The rows of ranks hold the step of each rank's summary."""
    folder = tmp_path / "ranks"
    folder.mkdir()
    for rank, kernel_us in enumerate((1000, 800)):
        ahead(kernel_us=kernel_us, rank=rank, world=2).write(folder, f"h_{rank}.{rank + 1}.pt.trace.json")
    (found,) = api.load_rank(folder)
    assert [row.step_us for row in found.summary.ranks] == [STEP_US, 800.0]
    assert found.summary.steps.step_us == STEP_US


def test_the_scalars(trace: Path) -> None:
    """What TensorBoard draws as ``step_ms``."""
    assert dict(scalars.figures(api.summarize(trace)))["stallscope/step_ms"] == STEP_US / 1000


def test_the_report_and_the_tab(trace: Path, tmp_path: Path) -> None:
    """The page of a file and that of the tab say 1.00 ms in facts and bars; so do the tab's figures."""
    output = tmp_path / "report.html"
    assert cli._execute(["report", str(trace), "-o", str(output)]) == 0
    routes = clients(trace.parent.parent)
    (span,) = spans(routes).values()
    assert until_done(routes, span=span)["state"] == "ready"
    tab = routes["/page"].get("/", query_string={"span": span}).text
    for page in (output.read_text(encoding="utf-8"), tab):
        assert "6 steps of 1.00 ms" in page
        assert "One step of 1.00 ms" in page
    figures = routes["/figures"].get("/", query_string={"span": span}).json
    assert (figures[0] if isinstance(figures, list) else figures)["steps"]["step_us"] == STEP_US
