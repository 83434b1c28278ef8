"""Rows F: names chosen to harm whoever looks at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.builders import TraceBuilder
from tests.faults.case import Case, case, written
from tests.faults.events import each, plus, values
from tests.faults.seed import START, training

ALL = ("*",)
FIGURES = ("steps", "per_step")

NAMES = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "colours": "\x1b[31mred\x1b[0m",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "link": "\x1b]8;;http://example.com\x1b\\click\x1b]8;;\x1b\\",
    "one character controls": "\x9b31m\x90q\x9c\x85",
    "returns and backspaces": "safe\rEVIL\b\b\b\x7f",
    "right to left": "\u202egpj.exe\u2066x\u2069",
    "nothing to see": "a\u200b\u200c\u200d\u2060\ufeffb\u00adc",
    "line separators": "a\u2028b\u2029c\nd",
    "rich markup": "[red]x[/red][link=http://example.com]y[/link]",
    "markdown": "[x](javascript:alert(1)) ![y](http://example.com/z) `|` | a |\n# b",
    "mention": "@everyone #1 !2",
    "formula": '=cmd|"/c calc"!A1',
    "formulas": "+1+1 -2 @SUM(A1)",
    "percent": "%s%n%(x)s{}{0.__class__}$(id)`id`",
    "pattern": "(a+)+$[(*",
    "traversal": "../../../../etc/passwd",
    "not assigned": "\ue000\U000e0041\ufffe",
    "wide": "漢字" * 40 + "👩‍👩‍👧",
}


def everywhere(name: str) -> TraceBuilder:
    """The training with ``name`` wherever a trace can hold one: rows, threads, device, metadata, worker."""
    builder = each(None, lambda e: e.update(name=name) if e["name"] in ("gemm_1", "aten::addmm") else None)
    builder.keys["deviceProperties"][0]["name"] = name
    builder.thread_name(4242, name).key(traceName=name, host_name=name, **{name: name})
    builder.key(distributedInfo={"backend": name, "rank": 0, "world_size": 1})
    return builder.op(name, START + 965, 5.0, **{name: name, "Call stack": name, "External id": 900})


def _file(name: str):
    def make(folder: Path) -> Path:
        return written(folder, training(), name)

    return make


def _manifest(folder: Path) -> Path:
    """A run folder whose manifest names files outside of it."""
    outside = written(folder, "secret", "outside.json")
    run = folder / "run"
    run.mkdir()
    written(run, training(), "w.1700000000000000000.pt.trace.json")
    window: dict[str, Any] = {
        "kind": "timing",
        "round": "full",
        "first_step": 0,
        "steps": 4,
        "duration_ns": 4_000_000,
        "samples_ns": [],
        "trace": f"../{outside.name}",
    }
    machine = {"os": "\x1b[31m", "python": "3", "cpu": "<b>", "cores": 1, "threads": 1, "torch": None}
    manifest: dict[str, Any] = {
        "schema": "stallscope.manifest/1",
        "stallscope": "0",
        "created": "",
        "command": ["rm"],
        "worker": "w",
        "pid": 1,
        "machine": machine,
        "steps": {"count": 4, "source": "optimizer"},
        "windows": [window],
    }
    written(run, manifest, "stallscope.json")
    return run


def cases() -> list[Case]:
    """Every case of these rows."""
    rows = {
        "script": "F1",
        "image": "F1",
        "traversal": "F3",
        "formula": "F5",
        "formulas": "F5",
        "percent": "F6",
        "pattern": "F6",
    }
    found = [
        case(rows.get(kind, "F2"), f"name: {kind}", "ok", values(everywhere(name)), unchanged=FIGURES)
        for kind, name in NAMES.items()
    ]
    return [
        *found,
        case("F1", "file name", "ok", _file("<b>&amp;[red].json"), unchanged=ALL),
        case("F2", "file name with escapes", "ok", _file("a\x1b[31m\u202eb.json"), unchanged=ALL),
        case(
            "F2",
            "missing file with escapes in its name",
            "bad",
            lambda folder: folder / "a\x1b[31m.json",
            says="no such file",
        ),
        case("F3", "trace name is a path", "ok", training().key(traceName="/etc/passwd"), unchanged=ALL),
        case("F3", "manifest names a file outside", "ok", _manifest, unchanged=("per_step", "breakdown_us")),
        case("F4", "trace is a link", "ok", _link, unchanged=ALL),
        case(
            "F7",
            "20 000 keys in one event",
            "ok",
            plus({"ph": "M", "name": "x", "args": {f"k{i}": i for i in range(20_000)}}),
            unchanged=FIGURES,
        ),
        case("F7", "metadata of 5 MB", "ok", training().key(blob="x" * 5 * 2**20), unchanged=ALL),
        case(
            "F8",
            "name of a file that exists",
            "ok",
            plus(
                {
                    "ph": "X",
                    "cat": "python_function",
                    "name": "/etc/passwd(1): root",
                    "pid": 1,
                    "tid": 1,
                    "ts": START + 20,
                    "dur": 5,
                }
            ),
            unchanged=FIGURES,
        ),
        case(
            "F9",
            "secrets among the metadata",
            "ok",
            training().key(env={"TOKEN": "hunter2"}, argv=["--key", "hunter2"]),
            unchanged=ALL,
        ),
    ]


def _link(folder: Path) -> Path:
    written(folder, training(), "real.json")
    (folder / "trace.json").symlink_to("real.json")
    return folder / "trace.json"
