"""Programs that are started for the evidence end in time, and with them all that they started."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.evidence.gpu.programs import called

CHILD = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']); "


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(100):
        if not running(pid):
            return True
        time.sleep(0.1)
    return False


def test_what_went_wrong_is_told_in_a_line() -> None:
    """Nothing for a program that went well; the code and the last line of one that did not."""
    assert called([sys.executable, "-c", "print('fine')"], 60) is None
    failed = called([sys.executable, "-c", "import sys; print('no GPU'); sys.exit(3)"], 60)
    assert failed == "exit code 3: no GPU"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are looked up in /proc")
@pytest.mark.parametrize("rest", ["time.sleep(300)", "sys.exit(0)"], ids=["hangs", "ends before its child"])
def test_no_child_outlives_the_program(tmp_path: Path, rest: str) -> None:
    """A program that hangs is ended in time, and its child with it; so is the child of one that ended well."""
    note = tmp_path / "pid"
    code = f"{CHILD}open({str(note)!r}, 'w').write(str(p.pid)); {rest}"
    began = time.monotonic()
    problem = called([sys.executable, "-c", code], 8)
    assert time.monotonic() - began < 60
    assert problem == ("not done within 8 s" if rest.startswith("time") else None)
    assert gone(int(note.read_text(encoding="utf-8")))


@pytest.mark.skipif(os.name == "nt", reason="a signal that Windows has not")
def test_a_program_may_save_what_it_has(tmp_path: Path) -> None:
    """It is asked to end before it is made to: what it writes then is there."""
    note = tmp_path / "saved"
    code = (
        "import signal, sys, time\n"
        f"def save(*_): open({str(note)!r}, 'w').write('half'); sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "time.sleep(300)"
    )
    assert called([sys.executable, "-c", code], 8) == "not done within 8 s"
    assert note.read_text(encoding="utf-8") == "half"
