"""Real disks, full or read-only: the script does not notice, closed windows stay, one sentence says what is missing.

Each test mounts a small file system of its own (a tmpfs), which takes root on Linux; elsewhere they are skipped.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.scripts.forked import profiled, python
from tests.scripts.processes import write
from tests.scripts.recorded import manifest
from tests.scripts.tiny import tiny

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")]

SCRIPT = """
    import contextlib, subprocess
    disk, run = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]) / "train"
    def steps(count): return sum(step() for _ in range(count))
    def fill():
        with contextlib.suppress(OSError), (disk / "filled").open("wb", buffering=0) as file:
            while True: file.write(bytes(4096))
    def told():
        try: return (run / "stallscope.json").read_text()
        except OSError: return ""
    def wait_for(kind):
        until = time.monotonic() + 60
        while "stallscope" in sys.modules and kind not in told() and time.monotonic() < until: time.sleep(0.01)
    def lock(): subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
"""
# The short round: steps 5 to 9 alone, 12 to 16 timed, 19 to 21 attributed.


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MB that is ours alone."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount here")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.decode(errors='replace').strip()}")
    yield place
    with contextlib.suppress(OSError):
        subprocess.run(["umount", "-l", place], check=False)


def both(tmp_path, disk, body):
    """What we say on stderr of a script that ends as it does without us (on a folder that is left alone)."""
    path = write(tmp_path, tiny(SCRIPT, body))
    other = tmp_path / "other"
    other.mkdir()
    alone = write(tmp_path, tiny(SCRIPT, body.replace("fill()", "pass").replace("lock()", "pass")), "alone.py")
    plain = python(alone, other, cwd=tmp_path)
    ours = profiled(path, disk, cwd=tmp_path, options=("--logdir", str(disk)))
    assert plain.out.startswith(("0x", "-0x"))
    assert (ours.code, ours.out) == (plain.code, plain.out), ours.err
    return [line.removeprefix("stallscope: ").replace(f"{disk}", "DISK") for line in ours.err.splitlines()]


def assert_summary(run):
    """``stallscope summary`` reads what is there."""
    shown = python("-m", "stallscope", "summary", run, cwd=run)
    assert (shown.code, shown.err) == (0, "")
    assert "Stallscope summary" in shown.out


def test_a_disk_that_is_full_from_the_start(tmp_path, disk):
    """Nothing is recorded, nothing paused, nothing left; the one sentence names the option that helps."""
    (said,) = both(tmp_path, disk, "    fill()\n    print(steps(60).hex())\n")
    assert re.fullmatch(
        r"DISK: 0\.0 MB are free and the next trace may take \d+\.\d MB, so no more is recorded; make room, or choose "
        "another disk with --logdir",
        said,
    )
    assert [path.name for path in disk.iterdir()] == ["filled"]


BETWEEN = """
    total = steps(24)
    wait_for("attribution")
    {then}
    print((total + steps(3000)).hex())
"""


@pytest.mark.parametrize("then", ["fill()", "lock()"])
def test_a_disk_that_takes_nothing_more_after_the_short_round(tmp_path, disk, then):
    """Full or read-only from there on: the short round can be summarized, the full one is not begun; one sentence."""
    problem, ended = both(tmp_path, disk, BETWEEN.format(then=then))
    assert ended == "3024 steps; recorded in disk/train"
    assert ("MB are free" if then == "fill()" else "Read-only file system") in problem
    found = manifest(disk / "train")
    assert [(each.kind, each.round) for each in found.windows] == [
        ("unprofiled", "short"),
        ("timing", "short"),
        ("attribution", "short"),
    ]
    assert_summary(disk / "train")


INSIDE = """
    total = steps(18)
    wait_for("timing")
    fill()
    print((total + steps(60)).hex())
"""


def test_a_disk_that_fills_up_while_a_window_is_recorded(tmp_path, disk):
    """The attribution trace cannot be written, though torch says it was: the timing window stays, and no half file."""
    problem, ended = both(tmp_path, disk, INSIDE)
    assert problem == "DISK/train: a trace could not be written (it ends in the middle); is the disk full?"
    assert ended == "78 steps; recorded in disk/train"
    (trace,) = (disk / "train").glob("*.pt.trace.json*")
    assert trace.stat().st_size > 0
    assert [path.name for path in (disk / "train").glob(".*")] == []
    assert_summary(disk / "train")


def test_a_disk_that_is_read_only(tmp_path, disk):
    """Nothing is recorded, and the one sentence says why and what to do."""
    (said,) = both(tmp_path, disk, "    lock()\n    print(steps(60).hex())\n")
    assert said == (
        "DISK: no run folder could be made (Read-only file system), so nothing was recorded; choose another place with "
        "--logdir"
    )
    assert list(disk.iterdir()) == []


LIMITED = """
    import resource
    total = steps(18)
    wait_for("timing")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    print((total + steps(60)).hex())
"""


def test_a_limit_on_the_size_of_files(tmp_path):
    """The attribution trace and the last manifest are too large: what was closed before can be summarized."""
    place = tmp_path / "place"
    place.mkdir()
    problem, ended = both(tmp_path, place, LIMITED)
    assert problem.startswith("DISK/train: a trace could not be written (")
    assert ended == "78 steps; recorded in place/train"
    assert_summary(place / "train")
