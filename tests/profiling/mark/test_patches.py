"""What waits without a tensor (synchronize, barrier, save), on a stand-in for torch with every accelerator."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace

import pytest
import torch

from stallscope.profiling.mark.patches import marked, waits_without_tensors
from tests.profiling.marking import run_marked

APIS = ("cuda", "xpu", "mps")


class Log:
    """Notes each call of what is replaced, and each range around one."""

    active = True

    def __init__(self):
        self.said = []

    def function(self, name):
        """A function of torch's."""
        return lambda *_args: self.said.append(name) or name

    @contextlib.contextmanager
    def of_line(self, kind, caller, *, waits):
        """The range of a call."""
        assert caller.f_code.co_filename == __file__
        self.said.append(("in", kind, waits))
        yield
        self.said.append(("out", kind))


def with_everything(log):
    """A torch with CUDA, XPU and MPS, each with events and streams."""

    def api(name):
        classes = {
            each: type(each, (), {"synchronize": lambda _self, at=f"{name}.{each}": log.said.append(at) or at})
            for each in ("Event", "Stream")
        }
        return SimpleNamespace(**classes)

    inside = ("_cuda_synchronize", "_xpu_synchronize", "_mps_deviceSynchronize", "_accelerator_synchronizeDevice")
    return SimpleNamespace(
        serialization=SimpleNamespace(_save=log.function("_save"), _legacy_save=log.function("_legacy_save")),
        _C=SimpleNamespace(**{name: log.function(name) for name in inside}),
        compiler=SimpleNamespace(is_compiling=lambda: False),
        **{name: api(name) for name in APIS},
    )


CALLS = {
    "cuda.synchronize": ("_cuda_synchronize", lambda fake: fake._C._cuda_synchronize()),
    "xpu.synchronize": ("_xpu_synchronize", lambda fake: fake._C._xpu_synchronize()),
    "mps.synchronize": ("_mps_deviceSynchronize", lambda fake: fake._C._mps_deviceSynchronize()),
    "accelerator.synchronize": (
        "_accelerator_synchronizeDevice",
        lambda fake: fake._C._accelerator_synchronizeDevice(0),
    ),
    "barrier": ("barrier", lambda _: sys.modules["torch.distributed"].barrier()),
    "save": ("_save", lambda fake: fake.serialization._save()),
    **{
        f"{each}.synchronize of {api}": (
            f"{api}.{each}",
            lambda fake, api=api, each=each: getattr(getattr(fake, api), each)().synchronize(),
        )
        for api in APIS
        for each in ("Event", "Stream")
    },
}


def put_in(torch_, log):
    """Replace all that waits; returns what puts it back."""
    undo = contextlib.ExitStack()
    for target in waits_without_tensors(torch_):
        undo.callback(marked(torch_, log, target))
    return undo.close


@pytest.fixture
def fake(monkeypatch):
    """The log, and a torch whose calls are marked in it."""
    log = Log()
    made = with_everything(log)
    monkeypatch.setitem(sys.modules, "torch.distributed", SimpleNamespace(barrier=log.function("barrier")))
    return log, made


@pytest.mark.parametrize("name", CALLS)
def test_what_waits_is_marked_while_the_patches_are_on(fake, name):
    """A range around the call, which does what it did and returns what it returned; afterwards all is as before."""
    log, torch_ = fake
    called, call = CALLS[name]
    kind = name.partition(" of ")[0]
    put_back = put_in(torch_, log)
    assert call(torch_) == called
    assert log.said == [("in", kind, True), called, ("out", kind)]
    put_back()
    log.said.clear()
    assert call(torch_) == called
    assert log.said == [called]


def test_nothing_is_marked_inside_compiled_code_nor_when_marking_is_over(fake):
    """While torch compiles, and once the marker is switched off, the call alone is made."""
    log, torch_ = fake
    put_back = put_in(torch_, log)
    torch_.compiler.is_compiling = lambda: True
    torch_._C._cuda_synchronize()
    torch_.compiler.is_compiling = lambda: False
    log.active = False
    torch_.cuda.Event().synchronize()
    assert log.said == ["_cuda_synchronize", "cuda.Event"]
    put_back()


def test_a_torch_without_accelerators_has_less_to_mark():
    """What is not there is not replaced: only ``torch.save``."""
    bare = SimpleNamespace(serialization=SimpleNamespace(_save=print), _C=SimpleNamespace())
    kinds = {each.kind for each in waits_without_tensors(bare)} - {"barrier"}  # as this process has imported it
    assert kinds == {"save"}


def test_this_torch_has_what_is_replaced():
    """Names that torch would rename without a word: save, barrier, events and streams of CUDA are there."""
    kinds = {each.kind for each in waits_without_tensors(torch)}
    assert {"save", "Event.synchronize", "Stream.synchronize"} <= kinds
    assert ("barrier" in kinds) == ("torch.distributed" in sys.modules and torch.distributed.is_available())


TEXT = """
    model(x).sum().item()
    kept = x[x > 0]
"""


def test_marks_without_torchs_cheap_range(tmp_path, monkeypatch):
    """An older torch has no ``_RecordFunctionFast``: ``record_function`` leaves the same ranges in the trace."""
    before = "model, x = torch.nn.Linear(4, 2), torch.randn(3, 4)"
    cheap = run_marked(tmp_path, TEXT, before=before)
    monkeypatch.delattr(torch._C._profiler, "_RecordFunctionFast")
    plain = run_marked(tmp_path, TEXT, before=before)
    assert plain.ranges == cheap.ranges
    assert sum(cheap.ranges.values()) == 4  # the model, its call, the read, the mask
    assert plain.lines() == cheap.lines() == [1, 1, 2]
    assert plain.marks.notes == []
