"""Pages made in the background, one at a time, so that TensorBoard's other tabs never wait for one of ours."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stallscope.traces.errors import StallscopeError

KEPT = 16  # pages; some MB each at most

Key = tuple[tuple[str, int, int], ...]  # path, time of change in ns, bytes: a changed file makes another page


@dataclass(frozen=True, slots=True)
class Asked:
    """A trace file, and what a comparison is to call it."""

    path: Path
    name: str


@dataclass(slots=True)
class Page:
    """One page. ``text`` is the page, or the sentence that says why there is none."""

    state: Literal["waiting", "working", "ready", "failed"]
    text: str = ""
    since: float = 0.0  # ``time.monotonic`` when work on it began


class Pages:
    """The pages of traces and of pairs of them, each made once as long as its files stay the same."""

    def __init__(self, make: Callable[..., str]) -> None:
        self._make = make
        self._pages: OrderedDict[Key, Page] = OrderedDict()
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()

    def ask(self, *asked: Asked) -> Page:
        """The page of a trace, or of two to be compared, as far as it is; the first to ask has it begun."""
        try:
            key = tuple(_identity(each.path) for each in asked)
        except OSError as error:
            return Page("failed", f"{Path(error.filename).name}: {(error.strerror or str(error)).lower()}")
        with self._lock:
            page = self._pages.get(key)
            if page is None:
                page = self._pages[key] = Page("waiting", since=time.monotonic())
                threading.Thread(target=self._fill, args=(asked, page), daemon=True).start()
                self._forget()
            self._pages.move_to_end(key)
            return page

    def _fill(self, asked: tuple[Asked, ...], page: Page) -> None:
        with self._one_at_a_time:
            page.state, page.since = "working", time.monotonic()
            try:
                page.text, page.state = self._make(*asked), "ready"
            except StallscopeError as error:
                page.text, page.state = str(error), "failed"
            except Exception as error:  # noqa: BLE001 - a page that fails must not take the server with it
                page.text = f"a mistake in Stallscope ({type(error).__name__}: {error}); please report it"
                page.state = "failed"

    def _forget(self) -> None:
        """Drop the pages asked for longest ago; those in the making stay."""
        done = [key for key, page in self._pages.items() if page.state in ("ready", "failed")]
        for key in done[: max(0, len(self._pages) - KEPT)]:
            del self._pages[key]


def _identity(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size
