"""What the manifest says of memory and of the GPU, with stand-ins for both, and what it must never say."""

from __future__ import annotations

import gzip
import subprocess
import sys
from types import SimpleNamespace

import msgspec
import pytest

from stallscope.profiling.machine.device import Accelerator
from stallscope.profiling.record.recorder import memory_peaks
from stallscope.profiling.run.account import Account
from stallscope.profiling.run.options import Options
from stallscope.profiling.watch.events import Events
from stallscope.traces.model import manifest
from stallscope.traces.model.manifest import GpuState, Manifest
from tests.profiling.record.driven import Training
from tests.scripts.processes import ENVIRONMENT, PROFILE, TIMEOUT, write

PEAKS = (
    {"allocated_bytes.all.peak": 700, "reserved_bytes.all.peak": 900, "num_alloc_retries": 2, "num_ooms": 1},
    {"allocated_bytes.all.peak": 30, "reserved_bytes.all.peak": 40},
)


def with_gpus(*, used=True):
    """A torch with two GPUs, and what their allocators say."""
    cuda = SimpleNamespace(
        is_initialized=lambda: used, device_count=lambda: len(PEAKS), memory_stats=lambda index: PEAKS[index]
    )
    return SimpleNamespace(cuda=cuda)


def test_memory_peaks_are_added_up_over_the_gpus():
    """700 + 30 bytes allocated; what an allocator does not tell counts 0; without a GPU in use nothing is asked."""
    expected = {"peak_allocated_bytes": 730, "peak_reserved_bytes": 940, "alloc_retries": 2, "ooms": 1}
    assert memory_peaks(with_gpus()) == expected
    assert memory_peaks(with_gpus(used=False)) == memory_peaks(None) == {}


def test_memory_peaks_are_in_the_manifest():
    """Null on a CPU run, the figures of the allocators on a GPU's."""
    options = Options(target="train.py", is_module=False, args=())
    account = Account(options, Events(lambda _: None))
    assert account.manifest().peak_allocated_bytes is None
    account.torch = with_gpus()
    told = account.manifest()
    assert (told.peak_allocated_bytes, told.peak_reserved_bytes, told.alloc_retries, told.ooms) == (730, 940, 2, 1)


class Warming:
    """A GPU that gets a degree warmer each time it is asked."""

    name, queues, busy_capturing = "cuda", True, False

    def __init__(self):
        self.degrees = 40

    def synchronize(self):
        """Nothing is queued."""

    def state(self):
        """Its state now."""
        self.degrees += 1
        return GpuState(temperature_c=self.degrees)


def test_the_state_of_the_gpu_is_kept_at_both_ends_of_each_window():
    """Asked once when a window opens, once when it closes: 41 and 42, 43 and 44, 45 and 46; and so into JSON."""
    training = Training(device=Warming())
    for _ in range(24):
        training.step()
    windows = training.capture.windows
    assert [(each.kind, each.gpu_at_open.temperature_c, each.gpu_at_close.temperature_c) for each in windows] == [
        ("unprofiled", 41, 42),
        ("timing", 43, 44),
        ("attribution", 45, 46),
    ]
    assert b'"gpu_at_open":{"sm_mhz":null,"memory_mhz":null,"power_w":null,"temperature_c":41,' in msgspec.json.encode(
        windows[0]
    )


def test_only_nvidias_driver_is_asked(monkeypatch):
    """NVML knows CUDA's devices: of another accelerator nothing is claimed."""
    monkeypatch.setattr("stallscope.profiling.machine.device.gpu_state", lambda api: GpuState(power_w=float(api.watts)))
    api = SimpleNamespace(synchronize=lambda: None, watts=7)
    assert Accelerator("cuda", api).state() == GpuState(power_w=7.0)
    assert Accelerator("xpu", api).state() is None


ALLOWED = {
    "Manifest": "schema stallscope created command worker rank world_size pid machine steps windows findings "
    "call_sites modules peak_allocated_bytes peak_reserved_bytes alloc_retries ooms children exit_code complete "
    "cpu_run whole_run settings",
    "WholeRun": "total_ns looks looking_ns parts python",
    "RunPart": "name ns lines",
    "LineTime": "file line function ns",
    "Settings": "launch_blocking no_caching_allocator anomaly deterministic cudnn_benchmark matmul_precision "
    "default_dtype loaders optimizers",
    "LoaderSettings": "workers pinned persistent prefetch",
    "OptimizerSettings": "name foreach fused capturable",
    "Machine": "os python cpu cores threads torch torch_gpu gpu_usable gpus others_on_gpu findings libraries",
    "Libraries": "cublas cudnn",
    "Gpu": "name architecture sms memory_bytes driver driver_model",
    "GpuProcess": "gpu pid name memory_bytes",
    "GpuState": "sm_mhz memory_mhz power_w temperature_c slowed_by",
    "Finding": "name text",
    "Window": "kind round first_step steps duration_ns samples_ns evaluation_steps trace warmup_steps activities "
    "detail pause_ns forward_hooks gpu_at_open gpu_at_close",
    "Steps": "count source optimizer_steps root_forwards dataloader_fetches scaler_updates evaluation_forwards period "
    "made_of",
    "StepPart": "name count",
    "CallSite": "kind frames exact would_synchronize",
    "Frame": "file line function",
    "NamedModule": "name type root",
    "Children": "kind count",
    "CpuRun": "steps duration_ns samples_ns why",
}


def test_the_manifest_holds_an_allow_list_of_facts():
    """These structures with these fields and no other, and none that takes keys of any name: new facts are decided."""
    structs = {
        name: each
        for name, each in vars(manifest).items()
        if isinstance(each, type) and issubclass(each, msgspec.Struct)
    }
    assert {name: set(each.__struct_fields__) for name, each in structs.items()} == {
        name: set(fields.split()) for name, fields in ALLOWED.items()
    }
    kinds = [str(field.type) for each in structs.values() for field in msgspec.structs.fields(each)]
    assert not [kind for kind in kinds if "dict" in kind or "Any" in kind]


CANARY_SCRIPT = """
    import os, pathlib, torch
    # a comment that says canary-in-the-source
    secret = pathlib.Path("secret.txt").read_text()
    model = torch.nn.Linear(4, 2)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(30):
        opt.zero_grad(); model(torch.randn(3, 4)).sum().backward(); opt.step()
    assert os.environ["SECRET_TOKEN"] and secret
"""


@pytest.mark.slow
def test_no_environment_and_no_file_contents_are_kept(tmp_path):
    """A token in the environment, a comment in the script, a file that it reads: in no file of the run folder."""
    write(tmp_path, CANARY_SCRIPT)
    (tmp_path / "secret.txt").write_text("canary-in-a-file")
    done = subprocess.run(
        [sys.executable, *PROFILE, "train.py", "an-argument"],
        cwd=tmp_path,
        capture_output=True,
        timeout=TIMEOUT,
        env={**ENVIRONMENT, "SECRET_TOKEN": "canary-in-the-environment"},
        check=True,
    )
    written = {path.name: path.read_bytes() for path in (tmp_path / "runs" / "train").iterdir()}
    assert len(written) == 3, done.stderr
    texts = [gzip.decompress(each) if name.endswith(".gz") else each for name, each in written.items()]
    assert not [text for text in texts if b"canary" in text]
    told = msgspec.json.decode(written["stallscope.json"], type=Manifest)
    assert told.command == ["train.py", "an-argument"]
    assert msgspec.json.decode(msgspec.json.encode(told)) == msgspec.json.decode(written["stallscope.json"])
