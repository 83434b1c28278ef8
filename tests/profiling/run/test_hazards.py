"""What recording must survive, each with a real torch script."""

import os
import textwrap
import threading
from pathlib import Path

import pytest

from stallscope.profiling.words.sentences import USER_PROFILER
from tests import ROOT
from tests.lanes import one_of_a_kind
from tests.scripts import processes
from tests.scripts.forked import profiled, python
from tests.scripts.processes import write
from tests.scripts.recorded import events, inside, manifest, steps_in, timing_trace, window

pytestmark = pytest.mark.slow

HEADER = """
    import os, sys, threading, torch
    from torch import nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    loss_of = nn.CrossEntropyLoss()
    x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    def step(net=model):
        opt.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        opt.step()
        return loss.item()
"""


def findings(folder):
    """The names of a run's findings."""
    return [finding.name for finding in manifest(folder).findings]


def script(folder, body, name="train.py"):
    """A script that defines a model and ``step()``, and then does what ``body`` says."""
    return write(folder, textwrap.dedent(HEADER) + textwrap.dedent(body), name)


def test_iris(tmp_path):
    """4000 epochs: stdout is python's byte for byte, 4000 steps are counted, and each recorded step is whole."""
    iris = ROOT / "profiling" / "workloads" / "iris_mlp.py"
    argv = (iris, "--epochs", "4000", "--device", "cpu")
    plain, ours = (
        processes.python(*argv, cwd=tmp_path),
        processes.profiled(*argv, cwd=tmp_path, options=("--steps", "12")),
    )
    assert (ours.code, ours.out) == (0, plain.out)
    run = tmp_path / "runs" / "iris_mlp"
    found = manifest(run)
    assert (found.steps.count, found.steps.source, found.exit_code, found.complete) == (4000, "optimizer", 0, True)
    assert [(each.kind, each.round, each.forward_hooks) for each in found.windows] == [
        ("unprofiled", "short", False),
        ("timing", "short", False),
        ("attribution", "short", True),
        ("unprofiled", "full", False),
        ("timing", "full", False),
        ("attribution", "full", True),
        ("unprofiled", "after", False),
    ]
    assert [each.detail for each in found.windows if each.detail] == [["shapes", "marks"]] * 2
    assert all(each.pause_ns > 0 for each in found.windows if each.trace)
    for each in found.windows:
        assert len(each.samples_ns) == each.steps
        assert sum(each.samples_ns) <= each.duration_ns
    trace = timing_trace(run)
    steps = steps_in(trace)
    first = window(found, "timing", "full").first_step
    assert [step["name"] for step in steps] == [f"ProfilerStep#{first + i}" for i in range(12)]
    for step in steps:
        assert inside(trace, step, "aten::cross_entropy_loss") == 1  # one forward
        assert inside(trace, step, "NllLossBackward0") == 1  # one backward
        assert inside(trace, step, "Optimizer.step#SGD.step") == 1
        assert inside(trace, step, "aten::item") == 1
    assert not list(run.glob(".*"))


def test_short_scripts(tmp_path):
    """30 steps get the short round; 5 get a sentence saying what they are too short for, and no trace."""
    script(tmp_path, "for _ in range(30): step()", "thirty.py")
    script(tmp_path, "for _ in range(5): step()", "five.py")
    ended = profiled("thirty.py", cwd=tmp_path)
    assert ended.code == 0
    found = manifest(tmp_path / "runs" / "thirty")
    assert found.steps.count == 30
    assert [(each.kind, each.round, each.steps) for each in found.windows] == [
        ("unprofiled", "short", 5),
        ("timing", "short", 5),
        ("attribution", "short", 3),
    ]
    assert len(list((tmp_path / "runs" / "thirty").glob("*.json.gz"))) == 2
    ended = profiled("five.py", cwd=tmp_path)
    assert ended.code == 0
    assert "the script ran 5 steps, too short for a recording: that takes 17 steps" in ended.err
    assert findings(tmp_path / "runs" / "five") == ["too_short"]
    assert manifest(tmp_path / "runs" / "five").steps.count == 5
    summary = python("-m", "stallscope", "summary", "runs/five", cwd=tmp_path)
    assert summary.code == 2
    assert summary.err.startswith(
        "stallscope: runs/five: this run of 5 steps recorded no trace (the script ran 5 steps"
    )
    assert summary.err.count("\n") == 1


@pytest.mark.full
def test_the_shortest_script_that_is_recorded(tmp_path):
    """17 steps, as the sentence says, and nothing after them: the end of the script ends the last step."""
    script(tmp_path, "for _ in range(17): step()")
    assert profiled("train.py", cwd=tmp_path).code == 0
    found = manifest(tmp_path / "runs" / "train")
    assert found.steps.count == 17
    assert len(steps_in(timing_trace(tmp_path / "runs" / "train", "short"))) == 5


def test_runs_are_never_mixed(tmp_path):
    """A run whose name is taken gets a number; --name is used as given."""
    script(tmp_path, "for _ in range(20): step()")
    (tmp_path / "runs" / "train").mkdir(parents=True)
    for options, folder in (((), "train-2"), (("--name", "mine"), "mine")):
        ended = profiled("train.py", cwd=tmp_path, options=options)
        assert f"recorded in {Path('runs', folder)}" in ended.err
        assert manifest(tmp_path / "runs" / folder).steps.count == 20


def test_exception_and_exit_code_in_the_loop(tmp_path):
    """Exit code and traceback are the script's; a closed window is readable; an open one is given up."""
    script(tmp_path, "for i in range(1000):\n    step()\n    if i == 60: raise ValueError('in the loop')", "raises.py")
    script(tmp_path, "for i in range(1000):\n    step()\n    if i == 60: sys.exit(3)", "exits.py")
    plain, ours = python("raises.py", cwd=tmp_path), profiled("raises.py", cwd=tmp_path)
    assert ours.code == 1
    assert ours.err.startswith(plain.err)
    assert manifest(tmp_path / "runs" / "raises").exit_code == 1
    assert len(steps_in(timing_trace(tmp_path / "runs" / "raises", "short"))) == 5
    assert profiled("exits.py", cwd=tmp_path).code == 3
    assert manifest(tmp_path / "runs" / "exits").exit_code == 3
    assert manifest(tmp_path / "runs" / "exits").steps.count == 61


def test_exceptions_through_our_wrappers_show_no_frame_of_ours(tmp_path):
    """An exception that a dataset raises, caught and printed by the script itself, looks as without us."""
    body = """
        import traceback
        class Broken(torch.utils.data.Dataset):
            def __len__(self): return 4
            def __getitem__(self, i): raise ValueError(i)
        try:
            next(iter(torch.utils.data.DataLoader(Broken())))
        except ValueError:
            print(traceback.format_exc())
    """
    script(tmp_path, body)
    plain, ours = python("train.py", cwd=tmp_path), profiled("train.py", cwd=tmp_path)
    assert "Broken" in plain.out or "__getitem__" in plain.out
    assert ours.out == plain.out


THREADS = """
    def train(n):
        for _ in range(n):
            step()
    thread = threading.Thread(target=train, args=(int(sys.argv[1]),))
    thread.start()
    thread.join()
    print("joined")
"""


@pytest.mark.parametrize("steps", one_of_a_kind([14, 18, 300], 14))
def test_training_in_a_second_thread(tmp_path, steps):
    """Recorded there; a thread that ends inside a window (14, 18) takes its profiler with it instead of crashing."""
    script(tmp_path, THREADS)
    ended = profiled("train.py", str(steps), cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "joined\n"), ended.err
    found = manifest(tmp_path / "runs" / "train")
    assert found.steps.count == steps
    rounds = {each.round for each in found.windows if each.kind == "timing"}
    assert ("short" in rounds) == (steps > 14)  # whether 300 steps fill the full round too is a matter of speed
    assert "recorder_failed" not in findings(tmp_path / "runs" / "train")


def test_training_in_a_thread_that_outlives_the_main_one(tmp_path):
    """A non-daemon thread is waited for, as the interpreter does; a daemon thread is cut off, safely."""
    script(tmp_path, "threading.Thread(target=lambda: [step() for _ in range(400)]).start()", "joined.py")
    script(
        tmp_path,
        "threading.Thread(target=lambda: [step() for _ in range(10**9)], daemon=True).start()\n"
        "import time; time.sleep(0.3)",
        "daemon.py",
    )
    assert profiled("joined.py", cwd=tmp_path).code == 0
    assert manifest(tmp_path / "runs" / "joined").steps.count == 400
    assert profiled("daemon.py", cwd=tmp_path).code in (0, python("daemon.py", cwd=tmp_path).code)


OWN_PROFILERS = {
    "plain": """
        for _ in range(13): step()                      # inside our first timing window
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p:
            for _ in range(7): step()
        for _ in range(400): step()
        print(sum(e.count for e in p.key_averages() if e.key == "Optimizer.step#SGD.step"))
    """,
    "scheduled": """
        ready = []
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                    schedule=torch.profiler.schedule(wait=2, warmup=2, active=3, repeat=2),
                                    on_trace_ready=lambda p: ready.append(
                                        sum(e.count for e in p.key_averages() if e.key == "Optimizer.step#SGD.step"))
                                    ) as p:
            for _ in range(40):
                step()
                p.step()
        for _ in range(400): step()
        print(ready)
    """,
    "around everything": """
        ready = []
        def done(p):
            p.export_chrome_trace(f"theirs{len(ready)}.json")
            ready.append(sum(e.count for e in p.key_averages() if e.key == "Optimizer.step#SGD.step"))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                    schedule=torch.profiler.schedule(wait=40, warmup=0, active=3, repeat=2),
                                    on_trace_ready=done) as p:
            for _ in range(900):
                step()
                p.step()
        import json
        for n in range(2):
            names = [e.get("name", "") for e in json.load(open(f"theirs{n}.json"))["traceEvents"] if e.get("ph") == "X"]
            print(ready[n], sorted(name for name in names if name.startswith("ProfilerStep")))
    """,
    "autograd": """
        for _ in range(8): step()
        with torch.autograd.profiler.profile() as p:
            for _ in range(7): step()
        for _ in range(400): step()
        print(sum(e.count for e in p.key_averages() if e.key == "Optimizer.step#SGD.step"))
    """,
    "from the start": """
        p = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        p.start()
        for _ in range(50): step()
        p.stop()
        p.export_chrome_trace("theirs.json")
        for _ in range(400): step()
        import json
        names = [e.get("name") for e in json.load(open("theirs.json"))["traceEvents"] if e.get("ph") == "X"]
        print(names.count("Optimizer.step#SGD.step"), sum("ProfilerStep" in str(n) for n in names))
    """,
    "other thread": """
        got = []
        def other():
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p:
                for _ in range(5): torch.relu(x)
            got.append(sum(e.count for e in p.key_averages() if e.key == "aten::relu"))
        for _ in range(13): step()
        thread = threading.Thread(target=other)
        thread.start()
        while not got: step()
        thread.join()
        for _ in range(400): step()
        print(got)
    """,
}


THEIR_RESULTS = {
    "plain": "7\n",
    "scheduled": "[3, 3]\n",
    "around everything": (
        "3 ['ProfilerStep#40', 'ProfilerStep#41', 'ProfilerStep#42']\n"
        "3 ['ProfilerStep#83', 'ProfilerStep#84', 'ProfilerStep#85']\n"
    ),
    "autograd": "7\n",
    "from the start": "50 0\n",
    "other thread": "[5]\n",
}


@pytest.mark.parametrize("name", one_of_a_kind(OWN_PROFILERS, "plain", "scheduled"))
def test_a_profiler_of_the_script(tmp_path, name):
    """Theirs counts what it counts without us; ours stops before it, says so, and records when theirs is through."""
    script(tmp_path, OWN_PROFILERS[name])
    ours = profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, THEIR_RESULTS[name]), ours.err
    run = tmp_path / "runs" / "train"
    assert len(steps_in(timing_trace(run, "short"))) == 5
    assert "user_profiler" in findings(run)
    assert "recorder_failed" not in findings(run)
    for trace in run.glob("*.json.gz"):
        assert events(trace)


SLOW_STEP = """
    import time
    if "stallscope" in sys.modules:
        from stallscope.profiling.record import capture
        capture.FOREIGN_WAIT = 0.1
    got = []
    def other():
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p:
            for _ in range(5): torch.relu(x)
        got.append(sum(e.count for e in p.key_averages() if e.key == "aten::relu"))
    for _ in range(13): step()
    thread = threading.Thread(target=other)
    thread.start()
    time.sleep(1)
    for _ in range(400): step()
    thread.join()
    print(got)
"""


def test_a_profiler_on_another_thread_while_a_step_takes_long(tmp_path):
    """Ours cannot be stopped before theirs starts: it is never stopped, which would crash, and the run goes on."""
    script(tmp_path, SLOW_STEP)
    ours = profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, "[5]\n"), ours.err
    found = manifest(tmp_path / "runs" / "train")
    assert (found.steps.count, found.windows) == (413, [])
    assert "user_profiler" in findings(tmp_path / "runs" / "train")
    assert "recorder_failed" not in findings(tmp_path / "runs" / "train")


AT_THE_END = {
    "started late and never stopped": """
        for _ in range(40): step()
        p = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        p.start()
        print([step().hex() for _ in range(400)][-1])
    """,
    "stopped and exported at exit": """
        import atexit, json
        for _ in range(40): step()
        p = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
        def end():
            p.stop()
            p.export_chrome_trace("theirs.json")
            names = [e.get("name") for e in json.load(open("theirs.json"))["traceEvents"] if e.get("ph") == "X"]
            print(names.count("Optimizer.step#SGD.step"), sum("ProfilerStep" in str(n) for n in names))
        p.start()
        atexit.register(end)
        for _ in range(400): step()
    """,
    "from entry to exit": """
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p:
            for _ in range(400): step()
        print(sum(e.count for e in p.key_averages() if e.key == "Optimizer.step#SGD.step"))
    """,
}


TORCH_CRASHES = {"started late and never stopped": {0, -11, 139}}  # mostly, in its last moments, without us as well


@pytest.mark.parametrize("name", one_of_a_kind(AT_THE_END, "stopped and exported at exit"))
def test_a_profiler_of_the_script_that_is_there_to_the_end(tmp_path, name):
    """Never stopped, stopped at exit, around everything: theirs as without us; what we had stays; said exactly once."""
    script(tmp_path, AT_THE_END[name])
    plain, ours = processes.python("train.py", cwd=tmp_path), processes.profiled("train.py", cwd=tmp_path)
    assert ours.out == plain.out != ""
    assert {ours.code, plain.code} <= TORCH_CRASHES.get(name, {0}), ours.err
    assert ours.err.count(USER_PROFILER) == 1
    run = tmp_path / "runs" / "train"
    found = manifest(run)
    assert found.steps.count in (400, 440)
    assert [each.name for each in found.findings].count("user_profiler") == 1
    assert "recorder_failed" not in findings(run)
    if name == "from entry to exit":
        assert "nothing was recorded" in ours.err
        assert found.windows == []
    else:
        assert len(steps_in(timing_trace(run, "short"))) == 5


COMPILE = """
    import torch._dynamo
    from torch._dynamo.utils import counters
    torch._dynamo.reset()
    counters.clear()
    compiles = []
    def backend(graph, inputs):
        compiles.append(len(graph.graph.nodes))
        return graph
    kind = os.path.basename(sys.argv[0])[:-3]
    if kind == "module": net = torch.compile(model, backend=backend)
    if kind == "eager": net = torch.compile(model, backend="eager")
    if kind == "fullgraph": net = torch.compile(model, backend=backend, fullgraph=True)
    if kind == "in_place": net = model; model.compile(backend=backend)
    if kind == "function": net = torch.compile(lambda a: model(a), backend=backend, fullgraph=True)
    if kind == "late":
        for _ in range(30): step()
        net = torch.compile(model, backend=backend, fullgraph=True)
    for i in range(3000):
        step(net)
    if kind != "late":
        x = torch.randn(5, 4); y = torch.randint(0, 3, (5,))  # another batch size: dynamo compiles once more
        for _ in range(5): step(net)
    print(kind, compiles, counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()))
"""
KINDS = {"module": 3005, "eager": 3005, "fullgraph": 3005, "in_place": 3005, "function": 3005, "late": 3030}


@pytest.mark.full
@pytest.mark.parametrize("kinds", ["fullgraph late", "module eager in_place function"])
def test_compiled_models_compile_as_often_as_without_us(tmp_path, kinds):
    """The same graphs of the same sizes, no graph break, no warning even where warnings are errors.

    Compiled modules, with fullgraph, in place, a compiled function, and one compiled while forward hooks are out.
    """
    kinds = kinds.split()
    scripts = [script(tmp_path, COMPILE, f"{kind}.py") for kind in kinds]
    plain = processes.run_many_plain(*scripts, flags=("-W", "error"))
    assert plain.code == 0, plain.err
    ours = processes.run_many(*scripts, cwd=tmp_path, flags=("-W", "error"))
    assert (ours.code, ours.out) == (0, plain.out), ours.err
    assert plain.out.startswith(f"{kinds[0]} [")
    for kind in kinds:
        found = manifest(tmp_path / "runs" / kind)
        assert found.steps.count == KINDS[kind]
        assert window(found, "timing", "full") is not None
        assert window(found, "attribution", "full").detail == ["shapes", "marks"]
        assert "backward" in {site.kind for site in found.call_sites}
        if kind != "late":  # hooks stay where something is compiled, and it is said
            assert window(found, "unprofiled", "full").forward_hooks


def test_forked_and_spawned_children_are_left_alone(tmp_path):
    """A child of os.fork exits with its own code, workers and processes work, and only the parent records."""
    body = """
        import multiprocessing
        if __name__ == "__main__":
            for i in range(13): step()
            child = os.fork()
            if child == 0:
                for _ in range(40): step()
                print("child", flush=True)
                sys.exit(3)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            for _ in range(300): step()
            child = os.fork()
            if child == 0:
                raise SystemExit(4)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            process = multiprocessing.Process(target=step)
            process.start(); process.join(); print(process.exitcode)
            data = torch.utils.data.TensorDataset(x, y)
            print(len(list(torch.utils.data.DataLoader(data, num_workers=2))))
    """
    if not hasattr(os, "fork"):
        pytest.skip("this platform has no fork")
    script(tmp_path, body)
    plain, ours = python("train.py", cwd=tmp_path), profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (plain.code, plain.out), ours.err
    assert manifest(tmp_path / "runs" / "train").steps.count == 313
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["train"]


def test_environment_set_before_torch_is_imported_counts(tmp_path):
    """The script is the first to import torch, and its environment is not changed."""
    text = """
        import os, sys
        print("torch" in sys.modules, "numpy" in sys.modules)
        before = dict(os.environ)
        os.environ["OMP_NUM_THREADS"] = "2"
        import torch
        print(torch.get_num_threads(), sorted(set(os.environ) - set(before)))
        print([type(finder).__name__ for finder in sys.meta_path if "stallscope" in type(finder).__module__])
    """
    write(tmp_path, text)
    ours = processes.profiled("train.py", cwd=tmp_path)
    assert ours.out.splitlines()[0].startswith("False")
    assert ours.out.splitlines()[1:] == ["2 []", "[]"]
    assert "no training step was found" in ours.err
    assert not (tmp_path / "runs").exists()


def test_a_log_folder_that_cannot_be_made(tmp_path):
    """The script goes on untouched; one sentence says why nothing was recorded."""
    script(tmp_path, "for _ in range(60): step()\nprint('done')")
    (tmp_path / "file").write_text("in the way")
    ours = profiled("train.py", cwd=tmp_path, options=("--logdir", "file/runs"))
    assert (ours.code, ours.out) == (0, "done\n")
    assert ours.err.count("\n") == 1
    assert "no run folder could be made" in ours.err


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_full_disk(tmp_path):
    """A file size limit stops the trace; the script goes on, the sentence says it, no half file stays visible."""
    body = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        for _ in range(60): step()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("done")
    """
    script(tmp_path, body)
    ours = profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, "done\n"), ours.err
    assert "is the disk full?" in ours.err
    run = tmp_path / "runs" / "train"
    assert [path.name for path in run.iterdir()] == ["stallscope.json"]
    assert manifest(run).steps.count == 60


def test_numerics_and_random_state_are_untouched(tmp_path):
    """Losses, weights and the random state after training are bit-equal with and without us."""
    body = """
        import random
        random.seed(0)
        losses = [step() for _ in range(200)]
        print([x.hex() for x in losses], [p.tolist() for p in model.parameters()])
        print(torch.get_rng_state().sum().item(), random.random(), torch.is_grad_enabled())
        print(sorted(n for n in vars(torch.nn.modules.module) if n.startswith("_global") ))
    """
    script(tmp_path, body)
    plain, ours = python("train.py", cwd=tmp_path), profiled("train.py", cwd=tmp_path)
    assert plain.out.startswith("['0x") or plain.out.startswith("['-0x")
    assert ours.out == plain.out


def test_nothing_of_ours_is_left_running():
    """The test process itself has no thread of ours."""
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stallscope")]
