"""Events are added to a trace's text and change nothing else of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stallscope.traces.model.errors import BadInput
from stallscope.traces.out.write import with_events

OURS = (b'{"ph":"X","name":"a"}', b'{"ph":"X","name":"b"}')


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"schemaVersion": 1, "traceEvents": [\n {"ph": "M", "name": "x"}\n], "end": 1}', ["a", "b", "x"]),
        ('[{"ph": "M", "name": "x"}]', ["a", "b", "x"]),
        ('{"traceEvents": [ ]}', ["a", "b"]),
        ("[]", ["a", "b"]),
    ],
)
def test_in_front_of_the_others(text: str, names: list[str], tmp_path: Path):
    """Ours come first; without them the text is what it was, to the byte, in every form a trace has."""
    path = tmp_path / "trace.json"
    path.write_text(text)
    made = b"".join(with_events(path, OURS)).decode()
    document = json.loads(made)
    events = document["traceEvents"] if isinstance(document, dict) else document
    assert [event["name"] for event in events] == names
    added = "\n" + ",\n".join(each.decode() for each in OURS)
    assert text in (made.replace(added + ",\n", ""), made.replace(added, ""))


def test_without_events_nothing_changes(tmp_path: Path):
    """No event of ours: the same bytes."""
    path = tmp_path / "trace.json"
    path.write_text('{"traceEvents": [{"ph": "M"}]}')
    assert b"".join(with_events(path, ())) == path.read_bytes()


def test_a_document_without_events(tmp_path: Path):
    """There is no place to put them: one sentence."""
    path = tmp_path / "trace.json"
    path.write_text('{"schemaVersion": 1}')
    with pytest.raises(BadInput, match="holds no list of events"):
        list(with_events(path, OURS))
