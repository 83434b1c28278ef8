"""Reading a trace of about 50 MB beside ``json.load``: CPU seconds and peak memory, each in a fresh process."""

from __future__ import annotations

import gzip
import statistics
import tempfile
from pathlib import Path

from tests.builders import TraceBuilder
from tests.evidence.benchmarks.measure import Cost, Row, cost
from tests.real import real_trace_folder

ROUNDS = 5
STEPS = 1650
LARGEST_REAL = "h100/owlv2_large.json.gz"

READ = "import sys; from stallscope.traces.read.read import read; read(sys.argv[1])"
JSON_LOAD = """
import sys, gzip, json
with gzip.open(sys.argv[1]) as file:
    json.load(file)
"""


def generated() -> str:
    """A trace of about 50 MB, laid out as Kineto does: steps of twenty operators, launches, kernels and flows."""
    builder = TraceBuilder()
    for step in range(STEPS):
        builder.step(step * 1000.0, 990.125)
        for i in range(20):
            at = step * 1000.0 + i * 45.0
            shape = {"External id": step * 20 + i, "Record function id": 0, "Ev Idx": step * 20 + i}
            builder.op("aten::linear", at, 40.5, **shape).op(f"aten::op{i}", at + 1, 30.25, **shape)
            builder.launch(at + 5, 4.125, kernel=(f"void gemm_kernel_{i}<float, 128, 64>(Params)", at + 20, 12.5))
            builder.event(ph="s", id=i, pid=1, tid=1, ts=at + 5, cat="ac2g", name="ac2g")
            builder.event(ph="f", id=i, pid=0, tid=7, ts=at + 20, cat="ac2g", name="ac2g", bp="e")
    return builder.json(indent=2)


def run() -> list[Row]:
    """Measure, on the generated trace and on the largest real one where it is present."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.json.gz"
        text = generated().encode()
        path.write_bytes(gzip.compress(text, 6))
        rows = compare("generated", path, len(text))
    folder = real_trace_folder()
    if folder is not None:
        with gzip.open(folder / LARGEST_REAL) as file:
            size = sum(len(piece) for piece in iter(lambda: file.read(1 << 20), b""))
        rows += compare(LARGEST_REAL, folder / LARGEST_REAL, size)
    return rows


def compare(name: str, path: Path, size: int) -> list[Row]:
    """``ROUNDS`` interleaved rounds of both; medians of the ratios within each round."""
    rounds = [(cost(READ, str(path)), cost(JSON_LOAD, str(path))) for _ in range(ROUNDS)]
    ours = statistics.median(mine.cpu_s for mine, _ in rounds)
    times = statistics.median(theirs.cpu_s / mine.cpu_s for mine, theirs in rounds)
    mb = size / 1e6
    return [
        Row(f"read {name}, {mb:.0f} MB of JSON", f"{ours:.2f} s CPU, {mb / ours:.0f} MB/s, start-up included"),
        Row("  json.load / read, CPU", f"{times:.1f}x"),
        Row("  json.load / read, peak memory", memory_ratio(rounds)),
        Row("  peak memory of read / JSON size", share_of(rounds[0][0], size)),
    ]


def memory_ratio(rounds: list[tuple[Cost, Cost]]) -> str:
    """The median ratio of peak memory; a dash where the system does not tell."""
    ratios = [theirs.peak_bytes / mine.peak_bytes for mine, theirs in rounds if mine.peak_bytes and theirs.peak_bytes]
    return f"{statistics.median(ratios):.1f}x" if ratios else "-"


def share_of(mine: Cost, size: int) -> str:
    """Peak memory as a multiple of the size of the JSON; a dash where the system does not tell."""
    return f"{mine.peak_bytes / size:.2f}x ({mine.peak_bytes / 1e6:.0f} MB)" if mine.peak_bytes else "-"
