"""Shared fixtures, and how the tests are put into lanes and shared out among the processes that run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.real import NO_REAL_TRACES, real_trace_folder

# `make test` and a bare `pytest`; `make test-all` asks for the second. See ``tests.examples`` for single tests. Both
# make up the same examples each time, so that what fails is what was changed; "search" looks for new ones.
# A busy machine is no defect of a test: neither its times nor the time that examples take to make up are held.
BUSY = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("short", max_examples=25, derandomize=True, **BUSY)
hypothesis.settings.register_profile("thorough", max_examples=300, derandomize=True, **BUSY)
hypothesis.settings.register_profile("search", max_examples=1000, **BUSY)
hypothesis.settings.load_profile("short")


def pytest_itemcollected(item: pytest.Item) -> None:
    """What builds or installs the project is slow."""
    if item.get_closest_marker("packaging"):
        item.add_marker("slow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under ``-n`` the tests are shared out as ``tests.sharing`` says."""
    from tests.sharing import Together

    return Together(config, log)


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
