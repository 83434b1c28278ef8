"""More of what recording must survive; ``test_hazard_index.py`` says which hazard is tested where."""

from __future__ import annotations

import ast
import gzip
import json
import os
import textwrap
from types import SimpleNamespace

import pytest

from stallscope import api
from stallscope.profiling.record.plan import Detail
from stallscope.profiling.record.recorder import Recorder, memory_peaks
from tests import ROOT
from tests.lanes import one_of_a_kind
from tests.scripts.forked import profiled, python, run_many, run_many_plain
from tests.scripts.processes import write
from tests.scripts.recorded import manifest, steps_in, timing_trace, window
from tests.scripts.tiny import script

PROFILING = ROOT / "profiling"


ENDS = {"exits": "os._exit(7)", "killed": "os.kill(os.getpid(), 9)"}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("name", one_of_a_kind(ENDS, "killed"))
def test_a_process_that_ends_without_a_word(tmp_path, name):
    """os._exit and SIGKILL: the exit is python's; what was closed before is there and readable.

    The manifest says that the run is not complete, and how it ended is unknown.
    """
    script(tmp_path, "for _ in range(30): step()\n" + ENDS[name])
    plain, ours = python("train.py", cwd=tmp_path), profiled("train.py", cwd=tmp_path)
    assert ours.code == plain.code
    found = manifest(tmp_path / "runs" / "train")
    assert (found.complete, found.exit_code) == (False, None)
    assert len(steps_in(timing_trace(tmp_path / "runs" / "train", "short"))) == 5
    assert api.summarize(tmp_path / "runs" / "train").steps.count == 5


MANY = {
    "itt": """
        before = [step() for _ in range(14)]
        with torch.autograd.profiler.emit_itt():
            for _ in range(20): step()
        print("emitted")
        for _ in range(60): step()
    """,
    "nvtx": """
        import types
        of_torch = torch.autograd.profiler.ProfilerState, torch.cuda.synchronize
        states = {name: getattr(of_torch[0], name) for name in dir(of_torch[0]) if name.isupper()}
        states["NVTX"] = states["ITT"]  # which this build has
        torch.autograd.profiler.ProfilerState = types.SimpleNamespace(**states)
        torch.cuda.synchronize = lambda: None
        for _ in range(14): step()
        with torch.autograd.profiler.emit_nvtx():
            for _ in range(20): step()
        print("emitted")
        torch.autograd.profiler.ProfilerState, torch.cuda.synchronize = of_torch
        for _ in range(60): step()
    """,
    "refused": """
        of_torch = torch.cuda.synchronize
        torch.cuda.synchronize = lambda: None
        for _ in range(14): step()
        try:
            with torch.autograd.profiler.emit_nvtx(): step()
        except RuntimeError as error: print(error)
        torch.cuda.synchronize = of_torch
        for _ in range(60): step()
    """,
    "cprofile": """
        import cProfile, pstats
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(60): step()
        profiler.disable()
        calls = {name[2]: row[0] for name, row in pstats.Stats(profiler).stats.items() if name[0] == __file__}
        print(calls["step"])
    """,
    "setprofile": """
        calls = []
        sys.setprofile(lambda frame, event, arg: event == "call" and frame.f_code is step.__code__ and calls.append(1))
        for _ in range(60): step()
        sys.setprofile(None)
        print(len(calls))
    """,
    "names": """
        names = ['say "hi"', "caf\\u00e9 \\u4e2d", "back\\\\slash", "line\\nbreak", "bell\\x07", "<b>&", "nul\\0 byte"]
        for i in range(60):
            with torch.profiler.record_function(names[i % len(names)]): step()
        print("named")
    """,
}
SAID = {
    "itt": "emitted\n",
    "nvtx": "emitted\n",
    "refused": "Can't use NVTX profiler",
    "cprofile": "60\n",
    "setprofile": "60\n",
    "names": "named\n",
}
STEPS = {"itt": 94, "nvtx": 94, "refused": 74, "cprofile": 60, "setprofile": 60, "names": 60}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of all of ``MANY``, recorded in one process, and stdout without us and with us."""
    folder = tmp_path_factory.mktemp("hazards")
    scripts = [script(folder, f'print("-- {name}")\n' + textwrap.dedent(MANY[name]), f"{name}.py") for name in MANY]
    plain = run_many_plain(*scripts, flags=("-W", "ignore"))
    ours = run_many(*scripts, cwd=folder, flags=("-W", "ignore"))
    assert plain.code == ours.code == 0, plain.err + ours.err
    return folder / "runs", plain.out, ours.out


@pytest.mark.slow
def test_other_profilers_see_the_same(run):
    """ITT and NVTX ranges, cProfile, sys.setprofile, ranges of any name: stdout is what it is without us."""
    _, plain, ours = run
    assert ours == plain
    for name, said in SAID.items():
        assert f"-- {name}\n{said}" in ours


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_steps_are_found_beside_other_profilers(run, name):
    """All steps are counted, and a window of five is recorded before, after or in spite of the other one."""
    found = manifest(run[0] / name)
    assert found.steps.count == STEPS[name]
    assert window(found, "timing", "short").steps == 5
    names = {each.name for each in found.findings}
    assert "recorder_failed" not in names
    assert ("user_profiler" in names) == (name in ("itt", "nvtx", "refused"))


@pytest.mark.slow
def test_names_that_break_a_trace_do_not_break_the_summary(run):
    """Quotes, control characters and foreign letters in the script's own ranges: five steps all the same."""
    summary = api.summarize(run[0] / "names")
    assert summary.steps.count == 5
    assert summary.health.grade in ("ok", "degraded")


@pytest.mark.slow
def test_names_that_break_a_trace_are_mended(run):
    """What torch writes of a name with quotes is no JSON: ours is, with that name, and it is said once."""
    found = manifest(run[0] / "names")
    names = set()
    for each in found.windows:
        if each.trace is not None:
            rows = json.loads(gzip.decompress((run[0] / "names" / each.trace).read_bytes()))["traceEvents"]
            names |= {row["name"] for row in rows if row.get("cat") == "user_annotation"}
    assert {'say "hi"', "<b>&"} < names
    (said,) = [each for each in found.findings if each.name == "traces_mended"]
    assert "no valid JSON" in said.text
    assert "unescaped_quote: " in said.text
    messages = json.loads((run[0].parent / "out.json").read_text())["names"]["messages"]
    assert [each for each in messages if "no valid JSON" in each] == [said.text]
    assert not [each for each in manifest(run[0] / "cprofile").findings if each.name == "traces_mended"]


def calls_of(path):
    """The names of everything that a module of ours calls or looks up by attribute."""
    return {
        node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)
    }


def test_backward_hooks_are_never_installed():
    """No module of profiling/ registers one, on modules or on tensors, nor replaces ``Tensor.__getitem__``."""
    paths = [path for path in PROFILING.rglob("*.py") if "workloads" not in path.parts]
    assert len(paths) > 30
    for path in paths:
        asked = {name for name in calls_of(path) if name.startswith("register_")}
        assert not {name for name in asked if "backward" in name or name == "register_hook"}, path.name


class Options:
    """What torch's profiler is made with."""

    def __init__(self, **options):
        self.told = options


def fake_torch(make_config):
    """A torch as far as preparing a recording goes, with one device kind, whose options are made by ``make_config``."""
    kinds = SimpleNamespace(CPU=SimpleNamespace(name="CPU"), CUDA=SimpleNamespace(name="CUDA"))
    made = []

    def profile(**options):
        made.append(options)
        return SimpleNamespace(prepare_trace=lambda: None)

    torch = SimpleNamespace(
        profiler=SimpleNamespace(
            ProfilerActivity=kinds, supported_activities=lambda: [kinds.CPU, kinds.CUDA], profile=profile
        ),
        _C=SimpleNamespace(
            _profiler=SimpleNamespace(**({} if make_config is None else {"_ExperimentalConfig": make_config}))
        ),
    )
    return torch, made


def refuses(**_options):
    """Options of an older torch, which does not know the one that is asked for."""
    raise TypeError


@pytest.mark.parametrize(
    ("make", "told"), [(None, None), (refuses, None), (Options, {"enable_cuda_sync_events": True})]
)
def test_an_older_torch_records_with_what_it_has(make, told):
    """Without the options class, or with one that lacks synchronization events, the recording is made without them."""
    torch, made = fake_torch(make)
    assert Recorder(torch, cpu_only=False).prepare("cuda", Detail())[0] == ["CPU", "CUDA"]
    config = made[0]["experimental_config"]
    assert (None if config is None else config.told) == told


def test_without_a_gpu_or_its_interface_the_host_is_recorded():
    """A device kind that this build cannot record, and ``--cpu-only``: the host alone."""
    torch, _ = fake_torch(None)
    assert Recorder(torch, cpu_only=True).prepare("cuda", Detail())[0] == ["CPU"]
    assert Recorder(torch, cpu_only=False).prepare("xpu", Detail())[0] == ["CPU"]
    assert json.dumps(Recorder(torch, cpu_only=False).prepare("cpu", Detail())[0]) == '["CPU"]'


def test_an_allocator_without_statistics():
    """``CUDAPluggableAllocator`` raises where it is asked for them: nothing is known of memory then."""

    def memory_stats(_index):
        raise RuntimeError("CUDAPluggableAllocator does not yet support getDeviceStats")

    cuda = SimpleNamespace(is_initialized=lambda: True, device_count=lambda: 1, memory_stats=memory_stats)
    assert memory_peaks(SimpleNamespace(cuda=cuda)) == {}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="arguments are text there")
def test_arguments_that_are_no_text(tmp_path):
    """A byte that is no UTF-8 reaches the script as it is, and the manifest as an escape; all windows are kept."""
    script(tmp_path, "print(ascii(sys.argv[1]))\nfor _ in range(30): step()")
    ours = profiled("train.py", "caf\udce9", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, "'caf\\udce9'\n")
    found = manifest(tmp_path / "runs" / "train")
    assert found.command == ["train.py", "caf\\udce9"]
    assert (found.complete, len(found.windows)) == (True, 3)
    assert "recorded in" in ours.err


@pytest.mark.slow
def test_an_endless_script_without_a_step(tmp_path):
    """Work without modules and optimizers: nothing is recorded, nothing written, and one sentence says why."""
    write(tmp_path, "import torch\nfor _ in range(2000): torch.ones(8).sum()\nprint('done')\n")
    ours = profiled("train.py", cwd=tmp_path)
    assert (ours.code, ours.out) == (0, "done\n")
    assert "no training step was found" in ours.err
    assert not (tmp_path / "runs").exists()
