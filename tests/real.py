"""The real traces, each read, analysed and summarized once in a process of the tests, when it is first asked for.

All that are known here take 14 s and 180 MB together; more than ``MOST`` are not kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pytest

from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.stages.stages import Stages, analyse
from stallscope.analysis.summary import summary_of
from stallscope.traces.model.trace import Trace
from stallscope.traces.read.read import read

MOST = 64  # traces
NO_REAL_TRACES = "the folder of real traces is not here; set STALLSCOPE_TRACES to it to run this test"
IN_SHORT = (  # what `make test` looks at: one of each kind, and small; `make test-all` looks at all
    "a100/alexnet",
    "amd/mi300_vit_nsfw",
    "cpu/rank_non_gpu",
    "h100/bert_small",
    "kineto-2021/resnet50_num_workers_0/worker0.1623143089861",
)


@dataclass(frozen=True)
class Real:
    """One real trace. What is read of it is shared by all tests: nobody may change it."""

    path: Path

    @cached_property
    def trace(self) -> Trace:
        """As ``read`` gives it."""
        return read(self.path)

    @cached_property
    def stages(self) -> Stages:
        """As ``analyse`` gives them, without a manifest."""
        return analyse(self.trace)

    @cached_property
    def summary(self) -> Summary:
        """As ``summarize`` gives it, without a manifest."""
        return summary_of(self.stages)


@lru_cache(MOST)
def real(path: Path) -> Real:
    """The trace at ``path``."""
    return Real(path)


def real_trace_folder() -> Path | None:
    """The folder of real traces: STALLSCOPE_TRACES, or ``shared/traces`` beside the checkout; None where absent."""
    told = os.environ.get("STALLSCOPE_TRACES")
    folder = Path(told) if told else Path(__file__).resolve().parents[2] / "shared" / "traces"
    return folder if folder.is_dir() else None


def real_trace_paths() -> list[Path]:
    """Every real trace, sorted; none where the folder is absent."""
    folder = real_trace_folder()
    return [] if folder is None else sorted(folder.rglob("*.json.gz"))


def name_of(path: Path) -> str:
    """A real trace's path below the folder, without its endings: ``a100/alexnet``."""
    folder = real_trace_folder()
    assert folder is not None
    return path.relative_to(folder).as_posix().removesuffix(".json.gz").removesuffix(".pt.trace")


def real_parameters(most_bytes: int | None = None) -> list:
    """Every real trace (of at most so many bytes) as a parameter; where none is here, one test is skipped.

    What is not in ``IN_SHORT`` is left to the lane of everything.
    """
    paths = real_trace_paths()
    if not paths:
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason=NO_REAL_TRACES))]
    return [_parameter(path) for path in paths if most_bytes is None or path.stat().st_size < most_bytes]


def _parameter(path: Path):
    name = name_of(path)
    return pytest.param(path, id=name, marks=() if name in IN_SHORT else pytest.mark.full)


every_real_trace = pytest.mark.parametrize("path", real_parameters())
small_real_traces = pytest.mark.parametrize("path", real_parameters(1_000_000))
