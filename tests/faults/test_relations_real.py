"""Relations that hold between the figures of a real trace and of a copy that says the same in another way."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pytest

from stallscope.analysis.summary import summarize
from stallscope.traces.read.read import read
from tests.faults.test_corpus import figures
from tests.faults.test_relations import without_moments
from tests.real import small_real_traces

Document = dict[str, Any]
pytestmark = pytest.mark.slow


class Exact(float):
    """A number written as it was read, to the last digit."""

    def __new__(cls, spelled: str) -> Self:
        """Keep how it is spelt."""
        made = super().__new__(cls, spelled)
        made.spelled = spelled
        return made

    def __repr__(self) -> str:
        return self.spelled


def written(document: Document, **layout: Any) -> bytes:
    """JSON text with the numbers as they were read."""
    text = json.dumps(_marked(document), **layout)
    return text.replace('"\\u0001', "").replace('\\u0001"', "").encode()


def _marked(value: Any) -> Any:
    """Numbers with a fraction as texts between two marks, which ``written`` takes away."""
    if isinstance(value, Exact | Decimal):
        return f"\x01{value!r}\x01" if isinstance(value, Exact) else f"\x01{value}\x01"
    if isinstance(value, dict):
        return {key: _marked(each) for key, each in value.items()}
    return [_marked(each) for each in value] if isinstance(value, list) else value


def complete(document: Document) -> list[dict[str, Any]]:
    """The events of a trace that are objects."""
    return [event for event in document["traceEvents"] if isinstance(event, dict)]


def shifted(document: Document, chance: random.Random) -> None:
    """All times later by a third of a second and a few ns."""
    for event in complete(document):
        if event.get("ph") in ("X", "i", "s", "f", "t", "C", "B", "E") and "ts" in event:
            event["ts"] = Decimal(str(event["ts"])) + Decimal("333333.125")
    del chance


def renumbered(document: Document, chance: random.Random) -> None:
    """Correlations, and the flows that go with them, by other numbers."""
    by = chance.randrange(1_000, 100_000)
    for event in complete(document):
        args = event.get("args")
        for key in args if isinstance(args, dict) else ():
            if ("correlation" in key or "corr_id" in key) and type(args[key]) is int and args[key] > 0:
                args[key] += by
        if event.get("cat") == "ac2g" and type(event.get("id")) is int and event["id"] > 0:
            event["id"] += by


def other_order(document: Document, chance: random.Random) -> None:
    """The fields of each event in another order."""
    document["traceEvents"] = [
        dict(chance.sample(list(each.items()), len(each))) if isinstance(each, dict) else each
        for each in document["traceEvents"]
    ]


def of_no_interest(document: Document, chance: random.Random) -> None:
    """Metadata, counters and keys that nobody reads."""
    for event in complete(document):
        event["nobody"] = "reads this"
    events = document["traceEvents"]
    for number in range(20):
        extra = {"ph": "C", "name": "power", "pid": "meter", "ts": number, "args": {"watts": number}}
        events.insert(chance.randrange(len(events) + 1), extra)


RELATIONS: dict[str, Callable[[Document, random.Random], None]] = {
    each.__name__: each for each in (shifted, renumbered, other_order, of_no_interest)
}


def read_document(path: Path) -> Document:
    """A trace as JSON values, numbers with a fraction as they are spelt."""
    found = json.loads(gzip.decompress(path.read_bytes()), parse_float=Exact)
    return {"traceEvents": found} if isinstance(found, list) else found


@small_real_traces
@pytest.mark.parametrize("name", [*RELATIONS, "white_space"])
def test_the_same_said_otherwise(path, name, tmp_path):
    """Later, with other numbers, fields in another order, white space, rows of no interest: figures stay."""
    document = read_document(path)
    plain, copied = tmp_path / "plain.json", tmp_path / "changed.json"
    plain.write_bytes(written(document))
    if name in RELATIONS:
        RELATIONS[name](document, random.Random(7))  # noqa: S311
    copied.write_bytes(written(document, indent="\t" if name == "white_space" else None))
    before, after = (summarize(read(each)) for each in (plain, copied))
    assert without_moments(before) == without_moments(after)
    if name != "shifted":
        assert figures(before) == figures(after)
