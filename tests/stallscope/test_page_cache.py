"""Pages kept on disk: where they lie, what they depend on, how much room they take."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from stallscope import page_cache
from stallscope.analysis.report.html import summary as reporting
from tests.plugin import a_step, clients, good_and_broken, spans, until_done

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    """Two runs, one of them with a broken trace."""
    return good_and_broken(tmp_path)


def kept_pages(folder: Path) -> list[Path]:
    """The pages that a folder holds."""
    return sorted(folder.glob("*.page.gz"))


def no_page(*_: Any) -> str:
    """A page that must not be made again."""
    raise AssertionError("made again")


def test_a_page_is_kept_beside_its_run(logdir: Path, monkeypatch: pytest.MonkeyPatch):
    """A TensorBoard started again shows the page that lies beside the run; nothing else of the run has changed."""
    before = {path.name: path.read_bytes() for path in (logdir / "good").iterdir()}
    routes = clients(logdir)
    assert until_done(routes, span=spans(routes)["good"])["state"] == "ready"
    assert len(kept_pages(logdir / "good" / ".stallscope")) == 1
    monkeypatch.setattr(reporting, "page_of", no_page)
    again = clients(logdir)
    assert sorted(spans(again)) == ["broken", "good"]
    assert until_done(again, span=spans(again)["good"])["state"] == "ready"
    assert "gemm" in again["/page"].get("/", query_string={"span": spans(again)["good"]}).text
    assert {path.name: path.read_bytes() for path in (logdir / "good").iterdir() if path.is_file()} == before


def test_where_the_run_cannot_be_written_to(tmp_path: Path, own_cache: Path):
    """A file where the hidden folder would be: the page lies in the user's cache, and is found there."""
    path = a_step().write(tmp_path)
    (tmp_path / ".stallscope").write_text("in the way")
    assert page_cache.page_of(lambda: "the page", (path,)) == "the page"
    assert len(kept_pages(own_cache)) == 1
    assert page_cache.page_of(no_page, (path,)) == "the page"
    own_cache.rename(own_cache.with_name("gone"))
    own_cache.write_text("in the way")
    assert page_cache.page_of(lambda: "made again", (path,)) == "made again"


def test_what_a_kept_page_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Bytes of the trace and of its manifest, the names told, the code: where one differs, another page is made."""
    path = a_step().write(tmp_path)
    made = iter(range(10))

    def page(*names: str) -> str:
        return page_cache.page_of(lambda: str(next(made)), (path,), names)

    assert [page(), page(), page("a", "b"), page("ab", "")] == ["0", "0", "1", "2"]
    (tmp_path / "stallscope.json").write_text("{}")
    assert [page(), page()] == ["3", "3"]
    times = path.stat()
    path.write_text(path.read_text().replace("gemm", "gram"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [page(), page()] == ["4", "4"]
    monkeypatch.setattr(page_cache, "_build", lambda: b"another version")
    assert [page(), page()] == ["5", "5"]
    (kept,) = [each for each in kept_pages(tmp_path / ".stallscope") if gzip.decompress(each.read_bytes()) == b"5"]
    kept.write_bytes(kept.read_bytes()[:-4])
    assert [page(), page()] == ["6", "6"]
    path.unlink()
    assert page() == "7"


def test_kept_pages_take_no_more_than_so_much_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Room for two pages: of three that of the trace looked at longest ago goes."""
    paths = [a_step().write(tmp_path, f"{name}.pt.trace.json") for name in "abc"]
    page_cache.page_of(lambda: "page", paths[:1])
    (first,) = kept_pages(tmp_path / ".stallscope")
    monkeypatch.setattr(page_cache, "LARGEST", 2 * first.stat().st_size)
    page_cache.page_of(lambda: "page", paths[1:2])
    (second,) = set(kept_pages(tmp_path / ".stallscope")) - {first}
    os.utime(first, (2, 2))
    os.utime(second, (1, 1))
    page_cache.page_of(lambda: "page", paths[2:])
    assert len(kept_pages(tmp_path / ".stallscope")) == 2
    assert first.exists()
    assert not second.exists()
