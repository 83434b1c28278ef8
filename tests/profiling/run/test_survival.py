"""What happens to the run folder in the middle of a run: the script does not notice, what was closed stays readable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stallscope import api
from tests.scripts.forked import profiled, python, run_many, run_many_plain
from tests.scripts.processes import write
from tests.scripts.recorded import manifest, window
from tests.scripts.tiny import tiny

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="POSIX limits and permissions")]

START = """
    import resource, shutil
    folder = pathlib.Path(__file__).parent / "runs" / pathlib.Path(__file__).stem
    ours = "stallscope" in sys.modules
    def steps(count): return sum(step() for _ in range(count))
    def wait_for(pattern):
        until = time.monotonic() + 60
        while ours and not list(folder.glob(pattern)) and time.monotonic() < until: time.sleep(0.01)
    def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""

# The short round: steps 5 to 9 alone, 12 to 16 timed, 19 to 21 attributed; the folder is made at the end of step 16.
SCRIPTS = {
    "limited": """
        total = steps(18)
        wait_for("*.gz")
        limit(2000)
        total += steps(40)
        limit(resource.RLIM_INFINITY)
        print(total.hex())
    """,
    "manifest": """
        total = steps(18)
        wait_for("stallscope.json")
        if ours:
            (folder / "stallscope.json").unlink()
            (folder / "stallscope.json" / "in the way").mkdir(parents=True)
        print((total + steps(40)).hex())
    """,
    "vanished": """
        total = steps(18)
        wait_for("stallscope.json")
        shutil.rmtree(folder, ignore_errors=True)
        print((total + steps(40)).hex())
    """,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder, what each script's end said, and stdout without us and with us."""
    folder = tmp_path_factory.mktemp("survival")
    texts = {name: tiny(START, body) for name, body in SCRIPTS.items()}
    scripts = [write(folder, text, f"{name}.py") for name, text in texts.items()]
    plain = run_many_plain(*scripts)
    ours = run_many(*scripts, cwd=folder)
    assert plain.code == ours.code == 0, plain.err + ours.err
    assert ours.err == ""
    return folder, json.loads((folder / "out.json").read_text()), plain.out, ours.out


def test_the_script_does_not_notice(run):
    """A limit on files, a manifest that cannot be written, a folder that is deleted: every loss to the bit."""
    _, _, plain, ours = run
    assert ours == plain
    assert plain.count("0x") == 3


def test_what_was_closed_before_the_disk_was_full_is_there(run):
    """The attribution trace does not fit: the timing window before it stays, is readable, and one sentence says so."""
    folder, ended, _, _ = run
    found = manifest(folder / "runs" / "limited")
    assert [(each.kind, each.round) for each in found.windows] == [("unprofiled", "short"), ("timing", "short")]
    assert (found.steps.count, found.complete) == (58, True)
    assert api.summarize(folder / "runs" / "limited").steps.count == 5
    said = [each for each in ended["limited"]["messages"] if "disk" in each]
    assert len(said) == 1
    assert "a trace could not be written" in said[0]


def test_traces_without_a_manifest_are_readable(run):
    """All windows are there and can be summarized, without what only the manifest knows; one sentence says why."""
    folder, ended, _, _ = run
    traces = list((folder / "runs" / "manifest").glob("*.pt.trace.json.gz"))
    assert len(traces) == 2
    assert {api.summarize(each).steps.count for each in traces} == {3, 5}
    said = [each for each in ended["manifest"]["messages"] if "could not be written" in each]
    assert len(said) == 1
    assert "stallscope.json" in said[0]


def test_a_folder_that_is_deleted_is_not_made_again(run):
    """It is said, and nothing appears where the script's owner deleted something."""
    folder, ended, _, _ = run
    assert not (folder / "runs" / "vanished").exists()
    assert any("could not be written" in each for each in ended["vanished"]["messages"])


def test_a_log_folder_that_is_missing_or_read_only(tmp_path):
    """A missing one is made, with those above it; in a read-only one nothing is, and one sentence says so."""
    text = tiny(START, "print(steps(60).hex())")
    plain = python(write(tmp_path, text), cwd=tmp_path)
    ours = profiled("train.py", cwd=tmp_path, options=("--logdir", "a/b/c"))
    assert (ours.code, ours.out) == (0, plain.out)
    assert window(manifest(tmp_path / "a" / "b" / "c" / "train"), "timing", "short").steps == 5
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):  # for root nothing is read-only but what the system itself keeps
        locked = Path("/proc/locked")
    if not locked.parent.exists():
        pytest.skip("no read-only folder for root here")
    ours = profiled("train.py", cwd=tmp_path, options=("--logdir", str(locked)))
    assert (ours.code, ours.out, ours.err.count("\n")) == (0, plain.out, 1)
    assert "no run folder could be made" in ours.err
