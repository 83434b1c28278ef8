"""A bug of ours, at each place where torch or the script calls us: switched off, said once, and nothing else."""

import json
import textwrap
from pathlib import Path

import pytest

from tests.lanes import one_of_a_kind
from tests.scripts import processes
from tests.scripts.forked import run_many, run_many_plain
from tests.scripts.processes import write
from tests.scripts.recorded import manifest
from tests.scripts.tiny import tiny

pytestmark = pytest.mark.slow

BREAK = """
    import importlib, sys
    def broken(*args, **kwargs): raise ZeroDivisionError("broken")
    if "stallscope" in sys.modules:
        owner = importlib.import_module("stallscope.profiling.{module}")
        *path, name = "{entry}".split(".")
        for each in path: owner = getattr(owner, each)
        kept = vars(owner)[name]
        setattr(owner, name, property(broken) if isinstance(kept, property) else broken)
"""
MEND = """
    if "stallscope" in sys.modules: setattr(owner, name, kept)
"""
WAYS = {
    "loop": "total = sum(step() for _ in range(300))",
    "fetches": """
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=4)
        total = sum(step(batch) for _ in range(20) for (batch,) in data)
    """,
    "scaler": """
        scaler, total = torch.amp.GradScaler("cpu", init_scale=8.0), 0
        for _ in range(60):
            opt.zero_grad()
            loss = loss_of(x)
            scaler.scale(loss).backward()
            scaler.step(opt)
            scaler.update()
            total += loss.item()
    """,
    "profiler": """
        total = sum(step() for _ in range(14))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p:
            for _ in range(5):
                total += step()
                p.step()
        total += sum(step() for _ in range(60))
        print([each.count for each in p.key_averages() if each.key == "Optimizer.step#SGD.step"])
    """,
    "idle profiler": """
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                    schedule=torch.profiler.schedule(wait=1000, warmup=0, active=1)) as p:
            total = 0
            for _ in range(60):
                total += step()
                p.step()
    """,
    "thread": """
        total = 0
        def train():
            global total
            total = sum(step() for _ in range(14))
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
    """,
}
ENTRIES = {  # what is broken: by which way of training it is reached
    "watch.events Events._root_called": "loop",
    "watch.events Events.optimizer_starts": "loop",
    "watch.events Events.optimizer_ends": "loop",
    "watch.events Events.fetch": "fetches",
    "watch.events Events.steps_seen": "scaler",
    "watch.events Events.scaler_stepped": "scaler",
    "watch.events Events.scaler_updated": "scaler",
    "watch.sight Counting.stepped": "loop",
    "watch.sight Sight.called": "loop",
    "watch.sight Sight.stepped": "loop",
    "watch.sight Sight.fetched": "fetches",
    "record.capture Capture.boundary": "loop",
    "record.recorder Recorder.lose": "profiler",
    "record.capture Capture.pause": "profiler",
    "record.capture Capture.recording": "idle profiler",
    "record.capture Capture.thread_ends": "thread",
    "folder.export RunFolder.new_trace": "loop",
    "folder.export RunFolder.finished": "loop",
    "record.recorder Recorder.export": "loop",
    "mark.disguise Disguises.caller": "loop",
    "mark.disguise Disguises.of": "loop",
    "mark.callsites CallSites.index_of_line": "loop",
    "mark.marks Marks._install": "loop",
    "mark.module_ranges ModuleRanges._enter": "loop",
    "mark.optimizer_ranges OptimizerRanges._starts": "loop",
}
AT_IMPORT = {  # what is handed over when torch is imported: each in a process of its own, which imports it afterwards
    "record.capture Capture.session_starts": "profiler",
    "record.capture Capture.session_ends": "profiler",
    "watch.thread_end ThreadEnds.watch": "thread",
}


def name_of(entry):
    """The script that breaks an entry."""
    return entry.replace(" ", "_").replace(".", "_").lower()


def script(folder, entry, way):
    """A script that breaks an entry, trains in such a way, prints the sum of its losses, and mends the entry."""
    module, _, path = entry.partition(" ")
    parts = (WAYS[way], f'print("{entry}", total.hex())', MEND)
    broken = textwrap.dedent(BREAK.format(module=module, entry=path))
    return write(folder, broken + tiny(*parts), f"{name_of(entry)}.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """How each script ended, and stdout without us and with us."""
    folder = tmp_path_factory.mktemp("failures")
    scripts = [script(folder, entry, way) for entry, way in ENTRIES.items()]
    plain = run_many_plain(*scripts, flags=("-W", "ignore"))
    ours = run_many(*scripts, cwd=folder, flags=("-W", "ignore"))
    assert plain.code == ours.code == 0, plain.err + ours.err
    return json.loads((folder / "out.json").read_text()), plain.out.splitlines(), ours.out.splitlines()


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_bug_of_ours_is_switched_off_and_said_once(run, entry):
    """Every loss is what it is without us, the script ends well, and one sentence names the failure."""
    outcomes, plain, ours = run
    (said,) = [line for line in plain if line.startswith(f"{entry} ")]
    assert said in ours
    outcome = outcomes[name_of(entry)]
    assert outcome["exit_code"] == 0
    told = [each for each in outcome["messages"] if "ZeroDivisionError" in each or "broken" in each]
    assert len(told) == 1


def test_marks_that_could_not_be_put_in_are_not_claimed(run):
    """The windows of the run whose marks failed when they were put in say that they have none."""
    found = manifest(Path(run[0]["mark_marks_marks__install"]["folder"]))
    assert {tuple(each.detail) for each in found.windows if each.kind == "attribution"} == {("shapes",)}


def test_nothing_else_is_printed(run):
    """The counts of the script's own profiler, too, are those of the run without us."""
    _, plain, ours = run
    assert ours == plain


@pytest.mark.parametrize("entry", one_of_a_kind(AT_IMPORT, "record.capture Capture.session_starts"))
def test_the_same_of_what_torchs_import_hands_over(tmp_path, entry):
    """Stdout and exit code are what they are without us, and one sentence names the failure."""
    path = script(tmp_path, entry, AT_IMPORT[entry])
    plain, ours = processes.python("-W", "ignore", path, cwd=tmp_path), processes.profiled(path, cwd=tmp_path)
    assert (ours.code, ours.out) == (0, plain.out), ours.err
    assert ours.err.count("ZeroDivisionError") == 1
