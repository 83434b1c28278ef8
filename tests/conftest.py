"""Shared fixtures, and how the tests are put into lanes and shared out among the processes that run them."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from tests.real import NO_REAL_TRACES, real_trace_folder

# `make test` and a bare `pytest`; `make test-all` asks for the other one. See ``tests.examples`` for single tests.
hypothesis.settings.register_profile("short", max_examples=25, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=300, deadline=None)
hypothesis.settings.load_profile("short")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under ``--dist loadgroup`` the tests of a file stay together, but for slow ones that share no fixture."""
    for item in items:
        if item.get_closest_marker("packaging"):
            item.add_marker("slow")
        if item.get_closest_marker("xdist_group") is None and not _stands_alone(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _stands_alone(item: pytest.Item) -> bool:
    if item.get_closest_marker("slow") is None:
        return False
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
    return all(each.scope == "function" or each.baseid == "" for definitions in fixtures for each in definitions)


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
