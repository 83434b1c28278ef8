"""Shared fixtures: where the real traces are, and a skip that says so where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NO_REAL_TRACES = "the folder of real traces is not here; set STALLSCOPE_TRACES to it to run this test"


def real_trace_folder() -> Path | None:
    """The folder of real traces: STALLSCOPE_TRACES, or ``shared/traces`` beside the checkout; None where absent."""
    told = os.environ.get("STALLSCOPE_TRACES")
    folder = Path(told) if told else Path(__file__).resolve().parents[2] / "shared" / "traces"
    return folder if folder.is_dir() else None


def real_trace_files() -> list[Path]:
    """Every real trace, sorted; [] where the folder is absent, so that a parametrized test shows one skip."""
    folder = real_trace_folder()
    return [] if folder is None else sorted(folder.rglob("*.json.gz"))


def real_trace_ids() -> list[str]:
    """The paths of ``real_trace_files`` below the folder, as test ids: ``a100/alexnet``."""
    folder = real_trace_folder()
    return [
        path.relative_to(folder).as_posix().removesuffix(".json.gz").removesuffix(".pt.trace")
        for path in real_trace_files()
    ]


@pytest.fixture(scope="session")
def real_traces() -> Path:
    """The folder of real traces; the test is skipped where it is absent."""
    folder = real_trace_folder()
    if folder is None:
        pytest.skip(NO_REAL_TRACES)
    return folder


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder for pages is one of the test's own."""
    from stallscope import page_cache

    folder = tmp_path_factory.mktemp("cache") / "pages"
    monkeypatch.setattr(page_cache, "user_folder", lambda: folder)
    return folder
