"""`stallscope env`: the same facts as text and as JSON."""

import json

from stallscope.analysis.report.env import json as env_json
from stallscope.analysis.report.env import text as env_text
from stallscope.analysis.report.style import Style
from stallscope.traces.model.manifest import Finding, Gpu, GpuProcess, Machine

WORKSTATION = Machine(
    os="Windows 11 AMD64",
    python="3.12.1",
    cpu="Intel Core i7-12700K",
    cores=20,
    threads=12,
    torch="2.13.0+cu130",
    torch_gpu="cuda 13.0",
    gpu_usable=True,
    gpus=[
        Gpu(
            name="NVIDIA GeForce RTX 3080 Ti",
            architecture="sm_86",
            sms=80,
            memory_bytes=12_884_901_888,
            driver="566.36",
            driver_model="WDDM",
        )
    ],
    others_on_gpu=[GpuProcess(gpu=0, pid=4711, name="game.exe")],
    findings=[Finding(name="gpu_shared", text="other programs hold the GPU: end them")],
)


def test_the_whole_machine_as_text() -> None:
    """Every known fact stands in the text, each on the row of its subject, findings last."""
    assert env_text.render(WORKSTATION, Style()) == (
        "processor   Intel Core i7-12700K, 20 cores for this process, torch computes with\n"
        "            12 of them\n"
        "GPU 0       NVIDIA GeForce RTX 3080 Ti (sm_86), 80 SMs, 12.9 GB, driver 566.36\n"
        "            (WDDM)\n"
        "on the GPU  game.exe (pid 4711, GPU 0)\n"
        "torch       2.13.0+cu130, built for cuda 13.0, can use the GPU\n"
        "system      Windows 11 AMD64, Python 3.12.1\n"
        "\n"
        "gpu_shared\n"
        "  other programs hold the GPU: end them\n"
    )


def test_what_is_not_known_is_not_claimed() -> None:
    """Without a GPU nothing is said of programs on it; with one, not knowing is said."""
    bare = Machine(os="Linux", python="3.11", cpu="EPYC", cores=1, threads=None, torch=None)
    assert env_text.render(bare, Style()) == (
        "processor   EPYC, 1 core for this process\n"
        "GPU         none found\n"
        "torch       not installed\n"
        "system      Linux, Python 3.11\n"
    )
    assert env_text.sharing(None) == "could not be found out"
    assert env_text.sharing([]) == "no other program"


def test_ascii_and_width() -> None:
    """A process name with control characters cannot reach the terminal, and lines keep the width."""
    evil = Machine(os="Linux", python="3", cpu="Prozessor für \x1b[31mrot " * 6, cores=1, threads=1, torch="2.13.0+cpu")
    text = env_text.render(evil, Style(width=60, unicode=False))
    assert text.isascii()
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 60


def test_json_names_its_schema() -> None:
    """The JSON holds the machine as it is, with its schema first."""
    facts = json.loads(env_json.render(WORKSTATION))
    assert next(iter(facts)) == "schema"
    assert facts["schema"] == "stallscope.env/1"
    assert facts["gpus"][0]["sms"] == 80
    assert facts["findings"] == [{"name": "gpu_shared", "text": "other programs hold the GPU: end them"}]
