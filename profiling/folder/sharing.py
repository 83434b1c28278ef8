"""One run folder for all ranks of a launch, agreed on through the file system alone.

The first rank that has something to write makes the folder; the others find it by the claims in it. A claim is a
hidden file, one for each rank, made so that only one process can have made it (``O_EXCL``), with the launch's name in
it. A folder of another launch, or one in which somebody else already is this rank (an earlier start of the same
command), is passed over.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from stallscope.profiling.folder.launch import Launch
from stallscope.traces.runs.runs import load_manifests

MAX_RUNS = 10_000
CLAIM = ".stallscope.rank"
YOUNG = 10.0  # seconds: a folder without a claim may be one that another rank is just making
CLAIM_WAIT = 5.0  # seconds that its claim is waited for; network file systems take their time to show it
CLAIM_POLL = 0.05
RANKS_WAIT = 3.0  # seconds
START_TOGETHER = 600.0  # seconds between the first writes of ranks of a launch that cannot be told by its name


def make_run_folder(logdir: Path, name: str, launch: Launch | None = None) -> Path:
    """Create ``logdir/name``, or with ``-2``, ``-3``… if it exists; two runs never get the same.

    Of several ranks one creates it; the others get the folder that it has made.

    Raises:
        OSError: it cannot be created.
    """
    logdir.mkdir(parents=True, exist_ok=True)
    for folder in _candidates(logdir, name):
        if _created(folder):
            if launch is not None:
                _claim(folder, launch)
            return folder
        if launch is not None and _of_launch(folder, launch) and _claim(folder, launch):
            return folder
    raise FileExistsError(f"{logdir / name} and {MAX_RUNS} more of the name")


def moved(source: Path, target: Path) -> Path:
    """Put all that is in a folder into an empty one, and take away the emptied folders; returns ``target``.

    Raises:
        OSError: it cannot be done.
    """
    try:
        source.replace(target)  # at once
    except PermissionError:  # Windows
        for each in source.iterdir():
            each.replace(target / each.name)
        source.rmdir()
    for emptied in source.parents[:2]:
        with contextlib.suppress(OSError):  # other runs are in it
            emptied.rmdir()
    return target


def await_ranks(folder: Path, world_size: int) -> None:
    """Wait until every rank has written up its run in ``folder``; for three seconds at most."""
    patience = time.monotonic() + RANKS_WAIT
    while time.monotonic() < patience:
        manifests, _ = load_manifests(folder)
        if sum(each.complete for each in manifests.values()) >= world_size:
            return
        time.sleep(CLAIM_POLL)


def _candidates(logdir: Path, name: str) -> Iterator[Path]:
    yield logdir / name
    for number in range(2, MAX_RUNS):
        yield logdir / f"{name}-{number}"


def _created(folder: Path) -> bool:
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        return True
    return False


def _claim(folder: Path, launch: Launch) -> bool:
    """Become this launch's rank in ``folder``; False if somebody already is."""
    try:
        handle = os.open(folder / f"{CLAIM}{launch.rank}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(launch.job + "\n")
    return True


def _of_launch(folder: Path, launch: Launch) -> bool:
    """Whether the folder's claims are of this launch; a folder made just now is given the time to get one."""
    patience = time.monotonic() + CLAIM_WAIT
    while True:
        claims = _claims(folder)
        if claims:
            return all(_fits(job, age, launch) for job, age in claims)
        if not _may_be_in_the_making(folder) or time.monotonic() > patience:
            return False
        time.sleep(CLAIM_POLL)


def _fits(job: str, age: float, launch: Launch) -> bool:
    return job == launch.job and (launch.unique or abs(age) <= START_TOGETHER)


def _claims(folder: Path) -> list[tuple[str, float]]:
    """The launch that each claim names, and how many seconds ago it was made; [] while none can be read."""
    claims = []
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{CLAIM}*"):
            job = path.read_text(encoding="utf-8", errors="replace")
            if job.endswith("\n"):  # wholly written
                claims.append((job[:-1], time.time() - path.stat().st_mtime))
    return claims


def _may_be_in_the_making(folder: Path) -> bool:
    """Whether a folder is so young, and so empty, that another rank may be about to put its claim in."""
    with contextlib.suppress(OSError):
        young = abs(time.time() - folder.stat().st_mtime) < YOUNG
        return young and all(path.name.startswith(CLAIM) for path in folder.iterdir())
    return False
