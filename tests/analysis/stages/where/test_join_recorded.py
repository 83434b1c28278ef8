"""The join on two recordings by torch itself: one bare, one with ranges as an attribution window makes them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from stallscope.analysis.columns import intervals
from stallscope.analysis.columns.rows import rows_named
from stallscope.analysis.stages.activity import is_dataloader
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from stallscope.traces.model.fields import Category
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.read.read import read
from tests.analysis.test_summary import manifest_of
from tests.real import real

STEPS = 3


def training(torch: Any, around: Any) -> Any:
    """One step of a small network, forward, backward, optimizer, a read; ``around(kind, number)`` makes a range."""
    layers = [torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)]
    optimizer = torch.optim.SGD([p for layer in layers for p in layer.parameters()], lr=0.1)
    data = torch.ones(3, 4)

    def step() -> None:
        with around("site", 0):
            x = data
            for number, layer in enumerate(layers):
                with around("module", number):
                    x = layer(x)
        loss = x.sum()
        with around("site", 1):
            loss.backward()
        optimizer.step()
        with around("site", 2):
            loss.item()

    return step


def record(path: Path, *, marks: bool) -> None:
    """The trace of some steps, with marks or without."""
    import torch

    def around(kind: str, number: int) -> Any:
        name = f"stallscope.{kind}#{number}"
        return torch.profiler.record_function(name) if marks else contextlib.nullcontext()

    step = training(torch, around)
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for number in range(STEPS):
            with torch.profiler.record_function(f"ProfilerStep#{number}"):
                step()
    profiler.export_chrome_trace(str(path))


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """(timing, attribution)."""
    folder = tmp_path_factory.mktemp("recorded")
    record(folder / "timing.json", marks=False)
    record(folder / "attribution.json", marks=True)
    return read(folder / "timing.json"), read(folder / "attribution.json")


def tables() -> Manifest:
    """Lines 10, 11 and 12; two layers."""
    kinds = (("forward", 10), ("backward", 11), ("item", 12))
    sites = [
        {"kind": kind, "frames": [{"file": "/w/t.py", "line": line, "function": "f"}], "would_synchronize": line == 12}
        for kind, line in kinds
    ]
    modules = [{"name": f"layers.{i}", "type": "Linear"} for i in range(2)]
    return manifest_of(command=["t.py"], call_sites=sites, modules=modules)


@pytest.mark.slow
def test_every_operator_of_a_recorded_step_has_its_counterpart(traces):
    """All operators are joined; each line and layer holds what ran there, by the times of the bare recording."""
    timing, attribution = traces
    assert not any(row.name.startswith("stallscope.") for row in summarize(attribution).operators)
    stages = analyse(timing, tables(), attribution)
    assert stages.broken_laws() == []
    summary = summarize(timing, tables(), attribution)
    assert (summary.attribution.events_share, summary.attribution.steps) == (1.0, STEPS)
    places = {row.call_site: row.called for row in summary.call_sites}
    assert places == {"t.py:10": "forward", "t.py:11": "backward", "t.py:12": "item", "(no call site)": None}
    assert {(row.name, row.calls_per_step) for row in summary.modules} == {
        ("layers.0", 1.0), ("layers.1", 1.0), ("(no module)", 0.0),
    }  # fmt: skip
    assert [(site.call_site, site.calls_per_step, site.note) for site in summary.sync_sites] == [
        ("t.py:12", 1.0, "would synchronize on a GPU")
    ]


@pytest.mark.slow
def test_a_backward_nodes_work_belongs_to_the_layer_of_its_forward(traces):
    """Every addmm of a backward node, by sequence number; on a CPU all runs on one thread."""
    stages = analyse(traces[0], tables(), traces[1])
    trace, modules = stages.trace, stages.modules
    rows = stages.operators.rows
    nodes = rows[[trace.name_of(row) == "AddmmBackward0" for row in rows.tolist()]]
    position, is_backward = stages.backward.homes(trace, modules.calls, nodes)
    assert [modules.names[i] for i in position.tolist()] == ["layers.1", "layers.0"] * STEPS
    assert is_backward.all()


def test_the_same_training_recorded_twice_by_others(real_traces):
    """ResNet with 0 and with 4 DataLoader workers: only loading is missing, and what cuDNN did by another algorithm."""
    timing, other = (
        real(next(real_traces.glob(f"kineto-2021/resnet50_num_workers_{workers}/*.gz"))).trace for workers in (0, 4)
    )
    stages = analyse(timing, tables(), other)
    joined, rows = stages.places.joined, stages.operators.rows
    assert joined.share(stages.syncs.blocking) == 1.0
    missing = rows[~joined.matched[rows] & stages.window.holds(timing.events.ts_ns[rows])]
    fetches = rows_named(timing, timing.events.rows(Category.CPU_OP, Category.ANNOTATION), is_dataloader)
    loading = stages.window.cover(timing, fetches)
    assert len(missing) > 0
    assert intervals.covers(loading, timing.events.ts_ns[missing]).all()
    launches = stages.launches.calls[~joined.matched[stages.launches.calls]]
    assert len(launches) < 0.01 * len(stages.launches.calls)
    assert {timing.name_of(row) for row in stages.operators.parent[launches].tolist()} == {
        "aten::cudnn_convolution", "aten::cudnn_convolution_backward_input",
    }  # fmt: skip
