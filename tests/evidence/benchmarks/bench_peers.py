"""The peers' view against the peer: HTA's figures of real traces, by HTA itself and by ``summary --peers``.

Every figure of HTA's temporal breakdown, idle breakdown, launch statistics and launch queue. HTA runs in an environment
of its own (``peers_env.py``). Where operators carry a ``stream`` argument, as Triton's do, HTA takes them for device
rows; such traces are left out.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path

from stallscope.analysis.peers.hta import find_hta
from stallscope.traces.read.read import read
from tests.evidence.benchmarks.measure import Row
from tests.evidence.benchmarks.peers_env import python_of
from tests.real import NO_REAL_TRACES, real_trace_folder

TRACES = (
    "a100/diff_control_a100",
    "a100/alexnet",  # cuda_sync rows
    "a100/recommender_rank0_of_16",
    "h100/bert_small",
    "h100/owlv2_large",
    "v100/ns_resolution_rank0",  # times that a double cannot hold
    "kineto-2021/resnet50_num_workers_0/worker0.1623143089861",
    "amd/mi300_resnet_train_act_checkpoint",
    "ranks/sampled_rank-0",
)
TOLERANCE = 0.001

HTA = """
import json, logging, sys, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from hta.trace_analysis import TraceAnalysis
found = {}
for path in sys.argv[1:]:
    analysis = TraceAnalysis(trace_files={0: path}, trace_dir="/")
    temporal = analysis.get_temporal_breakdown(visualize=False).iloc[0]
    figures = {
        "kernel_us": temporal["kernel_time(us)"],
        "idle_us": temporal["idle_time(us)"],
        "compute_us": temporal["compute_time(us)"],
        "non_compute_us": temporal["non_compute_time(us)"],
    }
    idle = analysis.get_idle_time_breakdown(ranks=[0], visualize=False)[0]
    for name in ("host_wait", "kernel_wait", "other"):
        figures[name + "_us"] = idle[idle.idle_category == name].idle_time.sum()
    launches = analysis.get_cuda_kernel_launch_stats(ranks=[0], visualize=False)[0]
    figures["launches"] = len(launches)
    figures["launch_delay_us"] = launches.launch_delay.mean() if len(launches) else None
    short = (launches.cpu_duration <= 50) & (launches.gpu_duration < launches.cpu_duration)
    figures["short_kernels"] = short.sum()
    figures["slow_launches"] = (launches.cpu_duration > 50).sum()
    figures["late_launches"] = (launches.launch_delay > 100).sum()
    try:
        queue = analysis.get_queue_length_time_series(ranks=[0])[0]
        figures["longest_queue"] = queue.queue_length.max()
        full = analysis.get_time_spent_blocked_on_full_queue({0: queue})
        figures["full_queue_us"] = full.duration_at_max_queue_length.sum() if full is not None else 0
    except Exception:  # it stops at graph launches, of which one call has many kernels
        pass
    found[path] = {name: None if value is None else float(value) for name, value in figures.items()}
print(json.dumps(found))
"""


def run() -> list[Row]:
    """One row a trace: how many figures agree to 0.1 %, and those that do not."""
    folder = real_trace_folder()
    if folder is None:
        return [Row("HTA", NO_REAL_TRACES)]
    paths = [next(folder.glob(f"{name}*.json.gz")) for name in TRACES]
    theirs = hta_figures(paths)
    return [row(name, theirs[str(path)], asdict(found)) for name, path in zip(TRACES, paths, strict=True)
            if (found := find_hta(read(path))) is not None]  # fmt: skip


def hta_figures(paths: list[Path]) -> dict[str, dict[str, float | None]]:
    """What HTA itself says of each trace, by path."""
    command = [str(python_of("hta")), "-c", HTA, *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, dict[str, float | None]] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(name: str, theirs: dict[str, float | None], ours: dict[str, float | None]) -> Row:
    """How the two sets of figures compare."""
    other = [f"{figure}: HTA {value}, ours {ours[figure]}" for figure, value in theirs.items()
             if not agree(value, ours[figure])]  # fmt: skip
    idle = f"idle {theirs['idle_us']:.0f} of {theirs['kernel_us']:.0f} µs"
    same = f"{len(theirs) - len(other)} of {len(theirs)} figures equal to 0.1 % ({idle})"
    return Row(f"HTA {name}", "; ".join([same, *other]))


def agree(theirs: float | None, ours: float | None) -> bool:
    """Whether two figures are equal within the tolerance; None only to None."""
    if theirs is None or ours is None:
        return theirs is ours
    return abs(theirs - ours) <= TOLERANCE * max(abs(theirs), 1.0)
