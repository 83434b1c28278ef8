"""Pages made in the background, one at a time, so that TensorBoard's other tabs never wait for one of ours.

The page asked for last is made first. A page that nobody has asked for in a while gives way to one that somebody waits
for: its work ends at the next piece of a file that it reads, or the next stage. All of it happens in TensorBoard's own
process: the reader and numpy let its other threads run (a test holds that).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.runs.runs import beside

KEPT = 16  # pages; some MB each at most
GONE_S = 5.0  # seconds after which somebody who waits would have asked again (a tab in the background: each second)

Identity = list[list[tuple[str, int, int]]]  # of all files concerned: a changed one makes another page


class Unwanted(Exception):
    """Nobody waits any more for the page that is being made, and somebody for another."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A trace file, and what a comparison is to call it."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Made:
    """A page, and its figures as JSON."""

    page: str
    figures: str


@dataclass(slots=True)
class Page:
    """One page. ``text`` says why there is none, where it failed; ``doing`` what is being done, ``share`` how far."""

    number: int
    state: Literal["waiting", "working", "ready", "failed"] = "waiting"
    made: Made | None = None
    text: str = ""
    doing: str = ""
    share: float | None = None  # of the file that is being read, 0 to 1
    since: float = field(default_factory=time.monotonic)  # when it was asked for, or work on it began
    asked: float = field(default_factory=time.monotonic)  # last
    unwanted: bool = False
    identity: Identity | None = None

    def reading(self, path: str, taken: int) -> None:
        """So many bytes of a file have been read. Raises Unwanted."""
        size = 0
        with suppress(OSError):
            size = Path(path).stat().st_size
        if taken < size:
            self.does(f"reading {Path(path).name}", taken / size)
        else:
            self.does("analysing")

    def does(self, what: str, share: float | None = None) -> None:
        """What is being done from now on. Raises Unwanted."""
        if self.unwanted:
            raise Unwanted
        self.doing, self.share = what, share


Key = tuple[Asked, ...]


class Pages:
    """The pages of traces and of pairs of them, each made once as long as its files stay the same.

    ``make`` makes one of what is asked, tells the page how far it is, and ends where that raises Unwanted.
    """

    def __init__(self, make: Callable[[Page, Key], Made]) -> None:
        self._make = make
        self._pages: OrderedDict[Key, Page] = OrderedDict()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._at_work = False
        self._current: Page | None = None

    def ask(self, *asked: Asked) -> Page:
        """The page of a trace, or of two to be compared, as far as it is; the first to ask has it begun."""
        with self._lock:
            page = self._pages.get(asked)
        done = page is not None and page.state in ("ready", "failed")
        is_old = page is not None and done and page.identity != _identity(asked)
        with self._lock:
            if page is None or is_old or self._pages.get(asked) is not page:  # it may just have been dropped
                page = self._begun(asked, page)
            page.asked = time.monotonic()
            self._pages.move_to_end(asked)
            self._make_way(page)
        return page

    def _begun(self, asked: Key, old: Page | None) -> Page:
        """A new page in place of ``old``, unless another thread has been quicker."""
        found = self._pages.get(asked)
        if found is not None and found is not old:
            return found
        page = self._pages[asked] = Page(next(self._numbers))
        if not self._at_work:
            self._at_work = True
            threading.Thread(target=self._work, daemon=True).start()
        self._forget()
        return page

    def _make_way(self, page: Page) -> None:
        """End the work that nobody asks for, where ``page`` has to wait for it."""
        current = self._current
        if page.state == "waiting" and current is not None and time.monotonic() - current.asked > GONE_S:
            current.unwanted = True

    def _work(self) -> None:
        while (found := self._next()) is not None:
            self._fill(*found)

    def _next(self) -> tuple[Key, Page] | None:
        """What to make now: of the pages that somebody waits for the newest; the others are dropped."""
        with self._lock:
            waiting = [(asked, page) for asked, page in self._pages.items() if page.state == "waiting"]
            for asked, page in waiting:
                if time.monotonic() - page.asked > GONE_S:
                    del self._pages[asked]
            wanted = [(asked, page) for asked, page in waiting if asked in self._pages]
            self._current = None
            self._at_work = bool(wanted)
            if not wanted:
                return None
            asked, page = max(wanted, key=lambda each: each[1].number)
            self._current = page
            page.state, page.since = "working", time.monotonic()
            return asked, page

    def _fill(self, asked: Key, page: Page) -> None:
        page.identity = _identity(asked)
        try:
            page.made = self._make(page, asked)
            page.state = "ready"
        except Unwanted:
            with self._lock:
                if self._pages.get(asked) is page:
                    del self._pages[asked]
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


def _identity(asked: Key) -> Identity | None:
    """None: a folder is not there any more."""
    try:
        return [beside(each.path) for each in asked]
    except OSError:
        return None
