"""Where the time of a whole run goes: the ledger adds up, and each part has its lines."""

import json
import sys
import threading
import time

import pytest

from stallscope.profiling.run.sampling import Sampler, Seen
from stallscope.profiling.run.stacks import Doing, Line, Look, Stacks
from stallscope.profiling.run.whole_run import whole_run
from tests.scripts.forked import profiled
from tests.scripts.processes import write

SCRIPT = """
    import time
    import torch
    torch.set_num_threads(1)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    def evaluate():
        with torch.no_grad():
            model(torch.randn(2, 4))
            time.sleep(0.5)
    time.sleep(0.4)
    for epoch in range(2):
        for _ in range(40):
            optimizer.zero_grad()
            model(torch.randn(2, 4)).sum().backward()
            optimizer.step()
            time.sleep(0.02)
        evaluate()
        torch.save(model.state_dict(), "m.pt")
        time.sleep(0.3)
"""


@pytest.mark.slow
def test_the_parts_of_a_run(tmp_path):
    """1.6 s of steps, 1 s of evaluation, 0.6 s between epochs, 0.4 s before the first step; together the whole run."""
    write(tmp_path, SCRIPT)
    ended = profiled("train.py", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "")
    (path,) = (tmp_path / "runs").glob("*/*stallscope*.json")
    told = json.loads(path.read_bytes())["whole_run"]
    parts = {part["name"]: part["ns"] / 1e9 for part in told["parts"]}
    assert sum(part["ns"] for part in told["parts"]) == pytest.approx(told["total_ns"], rel=0.02)
    assert parts["evaluation"] == pytest.approx(1.0, abs=0.4)
    assert parts["between epochs"] == pytest.approx(0.6, abs=0.4)
    assert parts["start-up"] > 0.2
    assert parts["training"] > 1.2
    lines = {part["name"]: part["lines"][0]["line"] for part in told["parts"] if part["lines"]}
    text = [line.strip() for line in SCRIPT.splitlines()]
    assert lines["evaluation"] == text.index("time.sleep(0.5)")
    assert lines["between epochs"] == text.index("time.sleep(0.3)")
    assert told["looking_ns"] <= 0.01 * told["total_ns"]


def busy(seconds):
    """Keep the thread at one line."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_looks_are_counted_by_time_and_the_thread_is_not_seen():
    """What was looked at adds up to the time between start and stop; ``threading`` knows of no thread more."""
    before = threading.active_count()
    sampler = Sampler(lambda: True)
    sampler.start()
    busy(0.3)
    assert threading.active_count() == before
    seen = sampler.stop()
    assert seen.count >= 2
    total = seen.end_ns - seen.begin_ns
    assert 0.3 * total <= sum(seen.looks.values()) <= total
    told = whole_run(seen)
    assert sum(part.ns for part in told.parts) == total
    assert any(line.function.startswith("busy") for part in told.parts for line in part.lines)


def test_a_sampler_that_fails_says_nothing(monkeypatch):
    """The script goes on; the ledger says that nothing was seen."""
    monkeypatch.setattr(Stacks, "look", lambda *_: 1 / 0)
    sampler = Sampler(lambda: True)
    sampler.start()
    busy(0.05)
    told = whole_run(sampler.stop())
    assert [part.name for part in told.parts] == ["not seen"]


TEXT = """import torch
def evaluate(model):
    with torch.no_grad():
        model(1)
@torch.inference_mode()
def act(env):
    env.step(1)
def train():
    for epoch in range(3):
        for batch in range(9):
            step()
        print()
"""


@pytest.mark.parametrize(
    ("function", "line", "doing", "part"),
    [
        ("evaluate", 4, Doing.BEGUN, "evaluation"),
        ("act", 7, Doing.BEGUN, "rollouts"),
        ("train", 11, Doing.BEGUN, "training"),
        ("train", 12, Doing.BEGUN, "between epochs"),
        ("train", 11, Doing.BEGUN | Doing.WRITES, "writing"),
        ("train", 11, Doing.BEGUN | Doing.LOADS, "loading data"),
        ("train", 11, Doing.BEGUN | Doing.LOADS | Doing.STARTS_LOADER, "starting DataLoader workers"),
        ("train", 11, Doing.BEGUN | Doing.EVALUATES, "evaluation"),
        ("train", 11, Doing.BEGUN | Doing.RECORDS, "recording"),
        ("train", 11, Doing.NOTHING, "start-up"),
        ("train", 11, Doing.BEGUN | Doing.IMPORTS, "start-up"),
    ],
)
def test_what_a_look_belongs_to(function, line, doing, part, tmp_path):
    """By its frames, else by what the file says of its line; the training loop is that around the optimizer."""
    path = tmp_path / "train.py"
    path.write_text(TEXT)
    space: dict = {"torch": sys.modules["torch"]} if "torch" in sys.modules else {"torch": pytest.importorskip("torch")}
    exec(compile(TEXT, str(path), "exec"), space)  # noqa: S102 - the test's own text
    code = getattr(space[function], "__wrapped__", space[function]).__code__
    stepping = [(space["train"].__code__, "__main__", 11)]
    looks = {Look(doing, (Line(id(code), line),)): 10**9}
    seen = Seen(begin_ns=0, end_ns=10**9, looks=looks, count=1, codes={id(code): code})
    assert [each.name for each in whole_run(seen, stepping).parts] == [part]
