"""Every command beside ``json.load`` of the same file: CPU time and peak memory of whole processes, in turn.

Real traces repeated to ``BENCH_COMMAND_SIZES`` MB of plain JSON (default 100,500). A bound is in multiples of
``json.load`` within the same run: ``summary`` took 0.407 of it, and 312 MB at 505 MB, when the bounds were set; every
command is to stay within twice that time and 1.5 times that memory, ``compare`` of two within 2.2 summaries.
``annotate`` and ``redact`` write plain files here: what compressing costs is zlib's.
"""

from __future__ import annotations

import gzip
import os
import shutil
import statistics
import sys
from pathlib import Path

from tests.evidence.benchmarks import scaled
from tests.evidence.benchmarks.bench_summary import TEMPLATES, as_installed, built
from tests.evidence.benchmarks.measure import Cost, Row, process_cost
from tests.evidence.benchmarks.peers_env import WORK
from tests.real import real_trace_folder

SIZES = tuple(int(size) for size in os.environ.get("BENCH_COMMAND_SIZES", "100,500").split(","))
ROUNDS = int(os.environ.get("BENCH_COMMAND_ROUNDS", "3"))
SUMMARY_THEN = 0.407  # of json.load
BYTES_THEN = 0.62  # of the file
BOUND, MEMORY_BOUND, COMPARE_BOUND = 2.0, 1.5, 2.2
JSON_LOAD = "import json, sys; json.load(open(sys.argv[1]))"
COMMANDS = {
    "summary": ("summary", "{path}"),
    "summary --health": ("summary", "--health", "{path}"),
    "whatif": ("whatif", "{path}"),
    "report": ("report", "{path}", "-o", "{out}.html", "--force"),
    "compare": ("compare", "{path}", "{path}"),
    "annotate": ("annotate", "{path}", "-o", "{out}.json", "--force"),
    "redact": ("redact", "{path}", "-o", "{out}.redacted.json", "--force"),
}


def run() -> list[Row]:
    """A row for each file and command."""
    WORK.mkdir(exist_ok=True)
    folder = WORK / "commands"
    rows = []
    try:
        for kind, template in TEMPLATES.items():
            real = real_trace_folder()
            text = gzip.decompress((real / template).read_bytes()).decode() if real else built(stacks=kind == "stacks")
            for size in SIZES:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                rows += measured(f"{kind} {size} MB", written(text, size, folder / "trace.json"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def written(text: str, size: int, path: Path) -> Path:
    """The template repeated to that size, as plain text."""
    packed = path.with_suffix(".json.gz")
    scaled.write(text, size, packed)
    with gzip.open(packed) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    packed.unlink()
    return path


def measured(name: str, path: Path) -> list[Row]:
    """Rounds of all commands, and of ``json.load``, one process at a time."""
    costs: dict[str, list[Cost]] = {}
    places = {"path": str(path), "out": str(path.with_name("out"))}
    for number in range(ROUNDS):
        load = process_cost(sys.executable, "-c", JSON_LOAD, str(path))
        costs.setdefault("json.load", []).extend([load] if load else [])
        for command, words in COMMANDS.items():
            told = [word.format(**places) for word in words]
            cost = process_cost(sys.executable, "-m", "stallscope", *told, environment=as_installed())
            costs.setdefault(command, []).extend([cost] if cost else [])
        sys.stderr.write(f"{name}, round {number + 1}\n")
    size = path.stat().st_size
    return [row(name, command, costs, size) for command in COMMANDS]


def row(name: str, command: str, costs: dict[str, list[Cost]], size: int) -> Row:
    """CPU time, its ratio to ``json.load`` and to ``summary``, the peak, and whether the bounds hold."""
    mine, load, summary = costs[command], costs["json.load"], costs["summary"]
    if len(mine) < ROUNDS or len(load) < ROUNDS:
        return Row(f"{name}: {command}", "failed")
    cpu = statistics.median(cost.cpu_s for cost in mine)
    ratio = statistics.median(a.cpu_s / b.cpu_s for a, b in zip(mine, load, strict=True))
    of_summary = statistics.median(a.cpu_s / b.cpu_s for a, b in zip(mine, summary, strict=True))
    peak = max(cost.peak_bytes or 0 for cost in mine)
    held = of_summary <= COMPARE_BOUND if command == "compare" else ratio <= BOUND * SUMMARY_THEN
    small = peak <= max(MEMORY_BOUND * BYTES_THEN * size, 120e6)
    verdict = ", ".join(word for word, kept in (("CPU over", held), ("memory over", small)) if not kept) or "within"
    told = f"{cpu:.2f} s, {ratio:.2f} x json.load, {of_summary:.2f} x summary, {peak / 1e6:.0f} MB"
    return Row(f"{name}: {command}", f"{told}: {verdict}")
