"""The machine is described from what the system's own tools print; what they do not say stays unknown."""

import multiprocessing
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stallscope.profiling.machine import cpu, machine, smi, tools
from stallscope.traces.model.manifest import Finding, Gpu, GpuProcess, Machine

LINUX = """\
0, GPU-9a1c, NVIDIA H200, 143771, 570.86.15, [N/A], 9.0
1, GPU-77b2, NVIDIA H200, 143771, 570.86.15, [N/A], 9.0
"""
WINDOWS = "0, GPU-f00d, NVIDIA GeForce RTX 3080 Ti, 12288, 566.36, WDDM, 8.6\r\n"
OLD_DRIVER = "0, GPU-01d0, Tesla V100-SXM2-16GB, 16160, 450.80.02, [N/A]\n"

ROCM = """WARNING: AMD GPU device(s) is/are in a low-power state.
{"card0": {"Card Series": "AMD Instinct MI300X OAM", "GFX Version": "gfx942", "VRAM Total Memory (B)": "205822885888"},
 "system": {"Driver version": "6.10.5"}}"""


def answers(table: dict[str, str | None]) -> Callable[[Sequence[str]], str | None]:
    """A runner whose tools print what ``table`` says for the first of its keys found in the command."""

    def run(command: Sequence[str]) -> str | None:
        line = " ".join(command)
        return next((text for key, text in table.items() if key in line), None)

    return run


def files(table: dict[str, str]) -> Callable[[Path], str | None]:
    """A file system that holds ``table`` and nothing else."""
    return lambda path: table.get(path.as_posix())


def computer(**facts: object) -> Machine:
    """A machine with a GPU that torch can use, unless said otherwise."""
    usual: dict[str, object] = {
        "os": "Linux",
        "python": "3.12.1",
        "cpu": "EPYC",
        "cores": 8,
        "threads": 8,
        "torch": "2.13.0+cu130",
        "torch_gpu": "cuda 13.0",
        "gpu_usable": True,
        "gpus": [Gpu(name="NVIDIA H200")],
    }
    return Machine(**{**usual, **facts})  # type: ignore[arg-type]


def names(findings: list[Finding]) -> list[str]:
    """Their names, in order."""
    return [finding.name for finding in findings]


# --- GPUs -------------------------------------------------------------------------------------------


def test_nvidia_smi_on_linux() -> None:
    """Each row is a GPU: MiB become bytes, 9.0 becomes sm_90, and [N/A] is no driver model."""
    found = smi.nvidia_gpus(answers({"--query-gpu": LINUX}))
    assert found == [
        smi.SmiGpu(
            index=index,
            uuid=uuid,
            gpu=Gpu(name="NVIDIA H200", architecture="sm_90", memory_bytes=150_754_820_096, driver="570.86.15"),
        )
        for index, uuid in ((0, "GPU-9a1c"), (1, "GPU-77b2"))
    ]


def test_nvidia_smi_on_windows() -> None:
    """Windows tells its driver model, which decides how launches are batched."""
    (found,) = smi.nvidia_gpus(answers({"--query-gpu": WINDOWS})) or []
    assert (found.gpu.name, found.gpu.driver_model) == ("NVIDIA GeForce RTX 3080 Ti", "WDDM")


def test_an_old_driver_that_refuses_compute_cap() -> None:
    """A query that an old driver refuses is asked again without the field it does not know."""
    (found,) = smi.nvidia_gpus(answers({"compute_cap": None, "--query-gpu": OLD_DRIVER})) or []
    assert found.gpu == Gpu(name="Tesla V100-SXM2-16GB", memory_bytes=16_944_988_160, driver="450.80.02")


def test_no_tool_is_not_no_gpu() -> None:
    """Without nvidia-smi and rocm-smi nothing is claimed: None, not an empty list."""
    nothing = answers({})
    assert smi.nvidia_gpus(nothing) is None
    assert smi.nvidia_processes([], nothing) is None
    assert smi.rocm_gpus(nothing) is None
    assert smi.rocm_processes(nothing) is None


@pytest.mark.parametrize("text", ["", "No devices were found\n", "{not json", "[1, 2]"])
def test_answers_that_are_no_answers(text: str) -> None:
    """A tool that prints something else than asked for yields no GPU and no exception."""
    assert not smi.nvidia_gpus(answers({"nvidia-smi": text}))
    assert not smi.rocm_gpus(answers({"rocm-smi": text}))
    assert not smi.rocm_processes(answers({"rocm-smi": text}))


def test_rocm_smi() -> None:
    """AMD's tool prints JSON after warnings; keys in lower case, memory in bytes as text."""
    (found,) = smi.rocm_gpus(answers({"rocm-smi": ROCM})) or []
    assert found.gpu == Gpu(
        name="AMD Instinct MI300X OAM", architecture="gfx942", memory_bytes=205_822_885_888, driver="6.10.5"
    )


def test_processes_of_nvidia_smi() -> None:
    """A process is on the GPU of its uuid; unknown memory and names out of sight stay unknown."""
    text = "GPU-77b2, 4711, /usr/bin/python3.12, 2048\nGPU-9a1c, 12, [Not Found], [N/A]\nGPU-9a1c, [N/A], x, 1\n"
    gpus = smi.parse_nvidia_gpus(LINUX)
    assert smi.nvidia_processes(gpus, answers({"--query-compute-apps": text})) == [
        GpuProcess(gpu=1, pid=4711, name="python3.12", memory_bytes=2_147_483_648),
        GpuProcess(gpu=0, pid=12, name="unknown program", memory_bytes=None),
    ]


def test_processes_of_rocm_smi() -> None:
    """Name and bytes are the first and third value of a PID's text."""
    assert smi.parse_rocm_processes('{"system": {"PID123": "python3, 1, 1048576, 0, 0"}}') == [
        GpuProcess(gpu=0, pid=123, name="python3", memory_bytes=1_048_576)
    ]


def test_our_own_processes_are_not_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our process, its children and their children are left out; a stranger stays."""
    monkeypatch.setattr(machine, "own_roots", lambda: frozenset([100]))
    parents = {100: 1, 101: 100, 102: 101, 200: 1, 1: 0}
    processes = [GpuProcess(gpu=0, pid=pid, name="python") for pid in (100, 102, 200)]
    found = machine.others(processes, holds_gpu=True, parent=parents.get, hidden=lambda _: False)
    assert found is not None
    assert [process.pid for process in found] == [200]


@pytest.mark.parametrize(("holds_gpu", "expected"), [(True, None), (False, [4711])])
def test_in_a_container_one_of_the_unseen_may_be_us(holds_gpu: bool, expected: list[int] | None) -> None:
    """The driver lists numbers of the host: while we hold a GPU, who else does cannot be told."""
    processes = [GpuProcess(gpu=0, pid=4711, name="unknown program")]
    found = machine.others(processes, holds_gpu=holds_gpu, parent=lambda _: None, hidden=lambda _: True)
    assert (found if found is None else [process.pid for process in found]) == expected


def test_torch_and_driver_describe_the_same_gpu() -> None:
    """SMs come from torch, the driver from nvidia-smi, joined by uuid: CUDA_VISIBLE_DEVICES may hide GPU 0."""
    listed = smi.parse_nvidia_gpus(WINDOWS + "1, GPU-ABCD, NVIDIA H200, 143771, 570.1, TCC, 9.0\n")
    seen = [("abcd", Gpu(name="NVIDIA H200", architecture="sm_90", sms=132, memory_bytes=1))]
    assert machine.merge(seen, listed) == [
        Gpu(name="NVIDIA H200", architecture="sm_90", sms=132, memory_bytes=1, driver="570.1", driver_model="TCC")
    ]


def test_gpus_that_torch_cannot_see() -> None:
    """Beside a CPU-only torch the driver's list is all there is."""
    assert [gpu.name for gpu in machine.merge([], smi.parse_nvidia_gpus(WINDOWS))] == ["NVIDIA GeForce RTX 3080 Ti"]


# --- processor --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "cpuinfo", "printed", "expected"),
    [
        ("linux", "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n", {},
         "Intel Xeon Platinum 8481C CPU @ 2.70GHz"),
        ("linux", "processor\t: 0\nCPU implementer\t: 0x41\n", {"lscpu": "Model name:  Neoverse-V2\n"},
         "Neoverse-V2"),
        ("darwin", "", {"machdep.cpu.brand_string": "Apple M2 Pro\n"}, "Apple M2 Pro"),
    ],
)  # fmt: skip
def test_cpu_model(system: str, cpuinfo: str, printed: dict[str, str | None], expected: str) -> None:
    """Linux on x86 says it in /proc/cpuinfo, on Arm in lscpu, macOS in sysctl."""
    assert cpu.cpu_model(answers(printed), files({"/proc/cpuinfo": cpuinfo}), system) == expected


def test_cpu_model_is_never_empty() -> None:
    """Where nothing tells the name, platform's word stands in."""
    assert cpu.cpu_model(answers({}), files({}), "linux")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "200000 100000",
          "/sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 2.0),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)  # fmt: skip
def test_container_quota(table: dict[str, str], expected: float | None) -> None:
    """The lowest limit on the way to the root holds (v2); v1 has one; max and -1 are no limit."""
    assert cpu.cgroup_quota(files(table)) == expected


def test_cores_never_exceed_a_quota() -> None:
    """A container that may use half a core has one, not the host's."""
    assert cpu.usable_cores(files({"/sys/fs/cgroup/cpu.max": "50000 100000"})) == 1


# --- torch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", ("2.13.0+cpu", None)),
        ("__version__ = '2.11.0+cu130'\ncuda: Optional[str] = '13.0'\n", ("2.11.0+cu130", "cuda 13.0")),
        ("__version__ = '2.6'\ncuda = None\nhip: str | None = '6.4.43482-0f2d'\n", ("2.6", "rocm 6.4")),
        ("", (None, None)),
    ],
)
def test_torch_build_without_importing_torch(text: str, expected: tuple[str | None, str | None]) -> None:
    """The version file of torch tells what it was built for."""
    build = machine.build_from_text(text)
    assert (build.version, build.gpu) == expected


@pytest.mark.slow
def test_without_torch_torch_is_not_imported() -> None:
    """collect(with_torch=False) leaves torch out of the process, yet knows its version as installed."""
    script = (
        "import sys, stallscope.profiling.machine.machine as m; found = m.collect(with_torch=False);"
        "print('torch' in sys.modules, found.torch, found.threads)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    imported, version, threads = done.stdout.split()
    import torch

    assert (imported, version, threads) == ("False", str(torch.__version__), "None")


def test_collect_here() -> None:
    """On the machine that runs this test the facts agree with torch's own."""
    import torch

    found = machine.collect(touch_gpu=False)
    assert found.torch == str(torch.__version__)
    assert found.threads == torch.get_num_threads()
    assert found.cores >= 1
    assert found.cpu
    assert not torch.cuda.is_initialized()


# --- tools ------------------------------------------------------------------------------------------


def fake_tool(folder: Path, name: str, body: str) -> None:
    """Put an executable ``name`` into ``folder``."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(sys.platform == "win32", reason="a script with #! is no executable on Windows")
@pytest.mark.slow
def test_tools_that_fail_or_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool's output is taken; one that fails, hangs or is missing gives None, soon."""
    monkeypatch.setenv("PATH", str(tmp_path))
    fake_tool(tmp_path, "good", "print('0, GPU-1')")
    fake_tool(tmp_path, "bad", "print('0, GPU-1'); raise SystemExit(9)")
    fake_tool(tmp_path, "stuck", "import time; time.sleep(60)")
    assert tools.run_tool(["good"]) == "0, GPU-1\n"
    assert tools.run_tool(["bad"]) is None
    assert tools.run_tool(["stuck"], timeout_s=0.3) is None
    assert tools.run_tool(["missing"]) is None


@pytest.mark.skipif(sys.platform == "win32", reason="a script with #! is no executable on Windows")
@pytest.mark.slow
def test_a_gpu_beside_a_cpu_only_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real executable on PATH: the GPU is found, and the finding says what to install."""
    import torch

    if torch.version.cuda or torch.version.hip:
        pytest.skip("this torch is no CPU-only build")
    monkeypatch.setenv("PATH", str(tmp_path))
    body = f"import sys; print({WINDOWS.strip()!r} if 'query-gpu' in sys.argv[1] else 'GPU-f00d, 1, game.exe, [N/A]')"
    fake_tool(tmp_path, "nvidia-smi", body)
    found = machine.collect()
    assert [gpu.name for gpu in found.gpus] == ["NVIDIA GeForce RTX 3080 Ti"]
    assert [process.name for process in found.others_on_gpu or []] == ["game.exe"]
    assert names(found.findings) == ["cpu_torch_beside_gpu", "gpu_shared"]
    assert "NVIDIA GeForce RTX 3080 Ti" in found.findings[0].text
    assert "install" in found.findings[0].text


# --- findings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, []),
        ({"gpus": [], "torch": "2.13.0+cpu", "torch_gpu": None, "gpu_usable": False}, []),
        ({"torch": "2.13.0+cpu", "torch_gpu": None, "gpu_usable": False}, ["cpu_torch_beside_gpu"]),
        ({"gpu_usable": False}, ["gpu_unusable"]),
        ({"gpu_usable": None}, []),
        ({"torch": None, "torch_gpu": None, "gpu_usable": None}, []),
        ({"others_on_gpu": []}, []),
        ({"others_on_gpu": [GpuProcess(gpu=0, pid=7, name="game")]}, ["gpu_shared"]),
    ],
)
def test_findings_of_the_machine(facts: dict[str, object], expected: list[str]) -> None:
    """Each finding comes with its cause and with nothing else."""
    assert names(machine.findings_of_machine(computer(**facts))) == expected


@pytest.mark.parametrize(
    ("facts", "gpu_used", "kernel_rows", "expected"),
    [
        ({}, True, True, []),
        ({}, True, None, []),
        ({}, True, False, ["no_kernel_rows"]),
        ({}, False, False, ["script_chose_cpu"]),
        ({"gpu_usable": None}, False, None, ["script_chose_cpu"]),
        ({"gpu_usable": False}, False, None, []),
        ({"gpus": []}, False, None, []),
        ({"torch": "2.13.0+cpu", "torch_gpu": None, "gpu_usable": False}, False, None, []),
    ],
)
def test_findings_of_a_run(
    facts: dict[str, object], gpu_used: bool, kernel_rows: bool | None, expected: list[str]
) -> None:
    """A CPU run is remarked on only where torch could have used a GPU; missing kernels only where they were due."""
    found = machine.findings_of_run(computer(**facts), gpu_used=gpu_used, kernel_rows=kernel_rows)
    assert names(found) == expected


def test_a_shared_gpu_names_who_and_how_much() -> None:
    """The sentence names program, pid, memory and GPU, and says what to do."""
    text = machine.gpu_shared([GpuProcess(gpu=1, pid=4711, name="python", memory_bytes=2_100_000_000)]).text
    assert "python (pid 4711, 2.1 GB on GPU 1)" in text
    assert "CUDA_VISIBLE_DEVICES" in text


def test_a_hidden_gpu_is_told_without_the_variables_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest holds no environment variables: that one is set is all that is said."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1234")
    text = machine.gpu_unusable("NVIDIA H200", "2.13.0").text
    assert text.endswith("CUDA_VISIBLE_DEVICES is set and hides it: unset it")
    assert "1234" not in text


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is to be reaped there")
def test_children_that_have_ended_are_left_to_the_script() -> None:
    """Ours are known by their numbers, without waiting for any: the script still gets the exit code of its child."""
    child = multiprocessing.get_context("spawn").Process(target=sys.exit, args=(3,))
    child.start()
    assert child.pid is not None
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and waits to be reaped
    assert child.pid in machine.own_roots()
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 3
    child.join()


def test_missing_kernels_on_amd_blame_amd_tools() -> None:
    """ROCm has no CUPTI: the advice names its own recorder."""
    (found,) = machine.findings_of_run(computer(torch_gpu="rocm 6.4"), gpu_used=True, kernel_rows=False)
    assert "roctracer" in found.text
    assert "CUPTI" not in found.text
