"""Real traces changed in their structure: keys, types, times and ids of events, and what is around them.

    python -m tests.evidence.fuzz.structure --seconds 600 [--seed 1] [--traces FOLDER] [--keep FOLDER]

Needs no atheris. Of each trace a short stretch is taken, a few of its values are replaced by what no writer should
write, and it is summarized and rendered: that ends in a page or in one of our sentences. What breaks this is kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Final

from stallscope.analysis.report.style import PLAIN
from stallscope.analysis.report.summary import text
from stallscope.analysis.summary import summarize
from stallscope.traces.model.errors import StallscopeError
from stallscope.traces.read.read import read
from tests import ROOT
from tests.real import real_trace_folder

MOST_EVENTS = 120
ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 0.5, 2**31, 2**53 + 1, 2**62, 2**63, 2**64, -(2**63), 1e300, 1e-300, -0.0,
    float("nan"), float("inf"), "", "0", "-1", "7", "1e9", "NaN", "x" * 300, "\ud800", "a\x00b", "<b>", "\x1b[31m",
    [], [0], {}, {"a": 1}, [[[]]], ["x", None],
)  # fmt: skip
KEYS: Final = ("ph", "cat", "name", "pid", "tid", "ts", "dur", "args", "id", "bp", "s")


def stretches(folder: Path, chance: random.Random) -> list[dict[str, Any]]:
    """Of each trace its head and some runs of events that stand next to each other."""
    found = []
    for path in sorted(folder.rglob("*.json*")):
        if path.stat().st_size > 20_000_000:
            continue
        try:
            raw = path.read_bytes()
            document = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        except (ValueError, OSError):
            continue
        document = {"traceEvents": document} if isinstance(document, list) else document
        events = document.get("traceEvents")
        if isinstance(events, list) and events:
            for _ in range(3):
                at = chance.randrange(max(1, len(events) - MOST_EVENTS))
                found.append({**document, "traceEvents": events[at : at + MOST_EVENTS]})
    return found


def changed(document: dict[str, Any], chance: random.Random) -> str:
    """A copy as JSON text with one to six changes in it."""
    whole: dict[str, Any] = json.loads(json.dumps(document))
    whole["traceEvents"] = whole["traceEvents"][: chance.randint(1, MOST_EVENTS)]
    for _ in range(chance.randint(1, 6)):
        chance.choice((_value, _value, _argument, _argument, _all_of_a_key, _rows, _top))(whole, chance)
    written = json.dumps(whole, indent=chance.choice((None, None, 1)))
    if chance.random() < 0.1:  # cut, or a key twice
        return written[: chance.randrange(len(written))] + chance.choice(("", "]}", '"}]}'))
    return written


def _value(whole: dict[str, Any], chance: random.Random) -> None:
    event = _event(whole, chance)
    if event is not None:
        event[chance.choice(KEYS)] = chance.choice(ODD)


def _argument(whole: dict[str, Any], chance: random.Random) -> None:
    event = _event(whole, chance)
    if event is not None and isinstance(event.get("args"), dict) and event["args"]:
        event["args"][chance.choice(list(event["args"]))] = chance.choice(ODD)


def _all_of_a_key(whole: dict[str, Any], chance: random.Random) -> None:
    """The same oddity in every event that has the key, among its arguments too."""
    events = [each for each in whole["traceEvents"] if isinstance(each, dict)]
    inside = [each["args"] for each in events if isinstance(each.get("args"), dict)]
    among = chance.choice((events, inside))
    keys = sorted({key for each in among for key in each})
    if keys:
        key, odd = chance.choice(keys), chance.choice(ODD)
        for each in among:
            if key in each:
                each[key] = odd


def _rows(whole: dict[str, Any], chance: random.Random) -> None:
    """Rows doubled, dropped, exchanged, or no events at all."""
    events = whole["traceEvents"]
    kind = chance.randrange(4)
    if not events:
        return
    if kind == 0:
        events.extend(events[: chance.randint(1, len(events))])
    elif kind == 1:
        del events[chance.randrange(len(events))]
    elif kind == 2:
        chance.shuffle(events)
    else:
        events.insert(chance.randrange(len(events)), chance.choice(ODD))


def _top(whole: dict[str, Any], chance: random.Random) -> None:
    key = chance.choice([*whole, "schemaVersion", "distributedInfo", "deviceProperties", "baseTimeNanoseconds"])
    if key != "traceEvents":
        whole[key] = chance.choice((*ODD, [{"id": {}, "name": []}], [{"numSms": "x"}]))


def _event(whole: dict[str, Any], chance: random.Random) -> dict[str, Any] | None:
    found = [each for each in whole["traceEvents"] if isinstance(each, dict)]
    return chance.choice(found) if found else None


def held(path: Path) -> str | None:
    """What broke the promise, as type and place; None: a page or a sentence."""
    try:
        text.page(summarize(read(path)), PLAIN)
    except StallscopeError as error:
        return None if "\n" not in str(error) else "a sentence of several lines"
    except Exception as error:  # noqa: BLE001 - what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {error}"
    return None


def main() -> None:
    """Run for a stated time; the exit code is 1 where something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.fuzz.structure")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--traces", type=Path, default=real_trace_folder() or ROOT / "traces" / "samples")
    parser.add_argument("--keep", type=Path, default=ROOT / ".fuzz" / "structure")
    told = parser.parse_args()
    chance, broken, count = random.Random(told.seed), Counter[str](), 0  # noqa: S311
    documents = stretches(told.traces, chance)
    until = time.monotonic() + told.seconds
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:  # noqa: PTH112, S108
        path = Path(folder) / "trace.json"
        while time.monotonic() < until:
            path.write_text(changed(chance.choice(documents), chance), encoding="utf-8", errors="surrogatepass")
            count += 1
            if (what := held(path)) is not None:
                if not broken[what]:
                    told.keep.mkdir(parents=True, exist_ok=True)
                    (told.keep / f"{len(broken)}-{told.seed}.json").write_bytes(path.read_bytes())
                broken[what] += 1
    for what, times in broken.most_common():
        sys.stdout.write(f"{times:6} {what}\n")
    sys.stdout.write(f"{count} files of {len(documents)} stretches, {sum(broken.values())} broke the promise\n")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
