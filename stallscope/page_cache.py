"""Pages kept on disk, so that a tab opened again, or after a restart, shows its page at once.

They lie beside the run they show, in ``<run>/.stallscope`` (which no search for runs enters), or, where that cannot be
written, in the user's own cache folder. A page is found by the bytes of all that it is made of, where that lies, and
the code that makes it: whatever changes, another page is made. Nothing here raises: what cannot be kept is made again.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import stallscope
from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.model.version import version
from stallscope.traces.runs.runs import MANIFEST_NAME, find_runs

FOLDER: Final = ".stallscope"
SUFFIX: Final = ".page.gz"
_NAME: Final = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")
LARGEST: Final = 64 << 20  # bytes that a folder holds
LARGEST_PAGE: Final = 64 << 20  # bytes of a page, inflated


def page_of(make: Callable[[], str], paths: tuple[Path, ...], names: tuple[str, ...] = ()) -> str:
    """The page of these traces: the one that is kept, else what ``make`` makes, which is then kept.

    ``names``: what the page calls them, which it depends on too. Raises only what ``make`` raises.
    """
    key = _key(paths, names)
    if key is None:
        return make()
    places = (paths[-1].parent / FOLDER, user_folder())
    for place in places:
        kept = _read(place / f"{key}{SUFFIX}")
        if kept is not None:
            return kept
    page = make()
    packed = gzip.compress(page.encode(), compresslevel=6, mtime=0)
    if len(packed) <= LARGEST and _key(paths, names) == key:  # a file that changed meanwhile has no page yet
        any(_write(place, key, packed) for place in places)
    return page


def user_folder() -> Path:
    """Where pages of runs lie that cannot be written to: the system's folder for what can be made again."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home raises where there is none
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = home / "Library" / "Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(root) / "stallscope" / "pages"


def _key(paths: tuple[Path, ...], names: tuple[str, ...]) -> str | None:
    """The name of the page; None where one of its files cannot be read."""
    digest = hashlib.sha256(_build())
    try:
        for name in names:
            digest.update(f"{len(name)}:{name}".encode("utf-8", "surrogatepass"))
        for file in (file for path in paths for file in _files(path)):
            where = os.fsencode(file.absolute())
            digest.update(b"%d:%s" % (len(where), where))
            digest.update(_content(file))
    except (OSError, StallscopeError, ValueError):
        return None
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """What the page of a trace is made of: the trace, the manifests beside it, the trace that tells its lines."""
    yield path
    yield from sorted(each for each in path.parent.iterdir() if MANIFEST_NAME.fullmatch(each.name) and each.is_file())
    for run in find_runs(path):
        for worker in run.workers:
            attribution = run.attribution_trace(worker)
            if attribution is not None and attribution.exists():
                yield attribution


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@cache
def _build() -> bytes:
    """The version and, for a checkout that is being worked on, when its files were changed."""
    digest = hashlib.sha256(version().encode())
    for folder in dict.fromkeys(Path(each).resolve() for each in stallscope.__path__):
        for part in ("", "analysis", "traces"):
            for file in sorted((folder / part).rglob("*") if part else folder.glob("*.py")):
                if file.suffix in (".py", ".css", ".js"):
                    with contextlib.suppress(OSError):
                        found = file.stat()
                        digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns};".encode())
    return digest.digest()


def _read(path: Path) -> str | None:
    try:
        with gzip.open(path) as file:
            page = file.read(LARGEST_PAGE + 1)
        text = page.decode() if len(page) <= LARGEST_PAGE else None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # those looked at last are kept longest
    return text


def _write(folder: Path, key: str, packed: bytes) -> bool:
    """Whether the page was kept. It is never seen half-written."""
    temporary = None
    try:
        if folder.is_symlink():  # it may lead to a folder that is not ours
            return False
        folder.mkdir(parents=folder.name != FOLDER, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(packed)
        Path(temporary).replace(folder / f"{key}{SUFFIX}")
        _make_room(folder)
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        return False
    return True


def _make_room(folder: Path) -> None:
    """Remove the pages looked at longest ago until the rest are small enough together."""
    ours = (each for each in folder.glob(f"*{SUFFIX}") if _NAME.fullmatch(each.name) and not each.is_symlink())
    found = sorted(((each.stat(), each) for each in ours), key=lambda pair: -pair[0].st_mtime_ns)
    held = 0
    for told, path in found:
        held += told.st_size
        if held > LARGEST:
            path.unlink(missing_ok=True)
