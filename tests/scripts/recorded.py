"""What a profiled script left in its run folder: the manifest, the traces, the steps in them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec

from stallscope.traces.model.manifest import Manifest, Window
from stallscope.traces.runs.runs import or_hidden


def manifest(folder: Path) -> Manifest:
    """The manifest in a run folder, or in the hidden one of a run that was killed."""
    return msgspec.json.decode((or_hidden(folder) / "stallscope.json").read_bytes(), type=Manifest)


def events(path: Path) -> list[dict]:
    """The events of a trace, compressed by now or not."""
    text = path.read_bytes()
    return json.loads(gzip.decompress(text) if path.suffix == ".gz" else text)["traceEvents"]


def window(found: Manifest, kind: str, round_name: str) -> Window | None:
    """The window of a kind and round; None if it was not recorded."""
    return next((each for each in found.windows if (each.kind, each.round) == (kind, round_name)), None)


def timing_trace(folder: Path, round_name: str = "full") -> list[dict]:
    """The events of the timing trace of a round."""
    timing = window(manifest(folder), "timing", round_name)
    assert timing is not None
    assert timing.trace is not None
    return events(or_hidden(folder) / timing.trace)


def steps_in(trace: list[dict]) -> list[dict]:
    """The ProfilerStep ranges of the host, in order."""
    found = [event for event in trace if event.get("name", "").startswith("ProfilerStep#")]
    return sorted((event for event in found if event.get("cat") == "user_annotation"), key=lambda event: event["ts"])


def inside(trace: list[dict], step: dict, name: str) -> int:
    """How many complete events of a name (or beginning with it, if it ends in #) start inside a step."""
    end = step["ts"] + step["dur"]
    return sum(
        1
        for event in trace
        if event.get("ph") == "X"
        and step["ts"] <= event["ts"] < end
        and (event["name"] == name or (name.endswith("#") and event["name"].startswith(name)))
    )
