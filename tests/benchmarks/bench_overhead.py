"""What ``stallscope profile`` costs the training: the unprofiled window, and everything after the last window."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stallscope.traces.manifest import Manifest
from tests.benchmarks.measure import ROOT, Row

ROUNDS = 7
STEPS = 6000

# The network and the data size of the Iris workload; the script times each of its steps itself.
SCRIPT = f"""
import json, time, torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
x, y = torch.rand(120, 4), torch.randint(0, 3, (120,))
losses, marks = [], []
for step in range({STEPS}):
    marks.append(time.perf_counter_ns())
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
marks.append(time.perf_counter_ns())
print(json.dumps(marks))
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Of one run, median ns per step: in the last half of the script, in the unprofiled window (None: a bare run).

    Medians over single steps, since whatever else runs on the machine only ever makes some of them longer.
    """

    late: float
    window: float | None


def run() -> list[Row]:
    """Interleave bare and profiled runs; ratios within each pair."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(SCRIPT, encoding="utf-8")
        pairs = [(_bare(script), _profiled(script)) for _ in range(ROUNDS)]
    windows = [ours.window / bare.late for bare, ours in pairs if ours.window is not None]
    lates = [ours.late / bare.late for bare, ours in pairs]
    bare = statistics.median(each.late for each, _ in pairs)
    return [
        Row("bare step", f"{bare / 1e3:.1f} µs"),
        Row("unprofiled window ÷ bare", _spread(windows)),
        Row("after the last window ÷ bare", _spread(lates)),
    ]


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} pairs of runs)"


def _bare(script: Path) -> Times:
    return Times(_late(_run([str(script)], script.parent)), None)


def _profiled(script: Path) -> Times:
    late = _late(_run(["-m", "stallscope", "profile", "--no-summary", str(script)], script.parent))
    newest = max((script.parent / "runs").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    manifest = msgspec.json.decode((newest / "stallscope.json").read_bytes(), type=Manifest)
    full = next(each for each in manifest.windows if (each.kind, each.round) == ("unprofiled", "full"))
    return Times(late, statistics.median(full.samples_ns))


def _run(argv: list[str], folder: Path) -> list[int]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *argv], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    marks: list[int] = json.loads(done.stdout)
    return marks


def _late(marks: list[int]) -> float:
    half = len(marks) // 2
    return statistics.median(later - earlier for earlier, later in zip(marks[half:], marks[half + 1 :], strict=False))
