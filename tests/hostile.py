"""A run in which all that has a name has the same one: operators, kernels, ranges, modules, lines, threads, GPU."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.analysis.stages.where.test_join import Recorder, frame, site
from tests.analysis.test_summary import manifest_of, window

NAMES = {
    "markup": "</script></style><img src=x onerror=alert(1)><svg onload=alert(2)>\"'`&lt;&#60;",
    "javascript": "javascript:alert(1)//data:text/html,<b>",
    "right to left": "a\u202e\u2066gpj\u200f.exe\u2069\u200b\x1b[31m\u2028b",
    "long": "x" * 5000,
    "long words": "Linear<ab> " * 450,
    "code": "alert(1) fetch('//example.com') with open(__file__):",
}
HARMLESS = "abc"


def run_of(name: str, folder: Path) -> Path:
    """A run folder of two windows, timing and attribution, of a script whose every name is ``name``."""
    worker = "".join(c for c in name[:60] if c not in "/\n") if name != HARMLESS else HARMLESS
    traces = []
    for number, marks in ((1, False), (2, True)):
        recorder = Recorder(marks=marks)
        recorder.step(0.0)
        recorder.step(200.0)
        builder = recorder.builder
        for event in builder.events:
            if event["name"] in ("aten::addmm", "gemm", "AddmmBackward0", "gemm_b", "aten::item"):
                event["name"] = name
        builder.annotation(name, 12 * recorder.slower, 3).thread_name(4242, name)
        builder.python(f"nn.Module: {name}", 3 * recorder.slower, 90 * recorder.slower)
        builder.keys["deviceProperties"][0]["name"] = name
        builder.key(traceName=name, distributedInfo={"backend": name, "rank": 0, "world_size": 1})
        builder.memory(20 * recorder.slower, 1_000_000, 4_000_000).memory(90 * recorder.slower, 2_000_000, 4_000_000)
        traces.append(builder.write(folder, f"{worker}.{number}.pt.trace.json.gz").name)
    manifest = manifest_of(
        window("timing", "full", steps=2, duration_ns=1, trace=traces[0]),
        window("attribution", "full", steps=2, duration_ns=1, trace=traces[1]),
        call_sites=[
            site("forward", frame(40, name, file=name)),
            site("backward", frame(41, name, file=name)),
            *(site("item", frame(6, name, file=name), frame(line, name), would_synchronize=True) for line in (47, 49)),
        ],
        modules=[{"name": each, "type": name} for each in ("", name, f"{name}.1")],
        command=[name],
        worker=worker,
        findings=[{"name": "finding", "text": name}],
    )
    (folder / "stallscope.json").write_bytes(msgspec.json.encode(manifest))
    return folder
