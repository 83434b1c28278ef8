"""A trace that its writer made invalid JSON becomes valid, and loses nothing that can be made out."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.traces.damaged.mend import is_json, mended
from stallscope.traces.model.errors import BadInput
from stallscope.traces.text.damage import Damage

TRACE = """ {
    "schemaVersion": 1,
    "host_name": "vm",
    "traceEvents": [
  {
    "ph": "X",
    "cat": "user_annotation",
    "name": "NAME",
    "ts": 5032129464169.773,
    "dur": 1.5,
    "args": {
      "Ev Idx": 7
    }
  },
  {
    "ph": "X",
    "cat": "cpu_op",
    "name": "aten::add",
    "ts": 5032129464170.000,
    "dur": 0.250
  }
  ],"traceName": "t.json" }"""


def valid(path):
    """The mended trace, and what was wrong with it."""
    damage = Damage()
    text = b"".join(mended(path, damage))
    (path.parent / "mended.json").write_bytes(text)
    assert is_json(path.parent / "mended.json")
    return json.loads(text), dict(damage.counts)


@pytest.mark.parametrize(
    ("written", "name", "damage"),
    [
        (b'say "hi"', 'say "hi"', {"unescaped_quote": 1}),
        (b"bell\x07\n", "bell\x07\n", {"lenient_json": 1}),
        (b"C:\\Users", "C:\\Users", {"lenient_json": 1}),
        (b"caf\xe9", "caf\ufffd", {"bad_utf8": 1}),
    ],
)
def test_a_name_that_spoils_a_trace(tmp_path, written, name, damage):
    """Quotes, control characters, backslashes, bytes that are no UTF-8: both events, times and keys as they were."""
    path = tmp_path / "t.json"
    path.write_bytes(TRACE.encode().replace(b"NAME", written))
    assert not is_json(path)
    with pytest.raises(ValueError):  # noqa: PT011 - of JSON or of UTF-8
        json.loads(path.read_bytes())
    document, found = valid(path)
    first, second = document["traceEvents"]
    assert (first["name"], first["ts"], first["dur"], first["args"]) == (name, 5032129464169.773, 1.5, {"Ev Idx": 7})
    assert (second["name"], second["ts"]) == ("aten::add", 5032129464170)
    assert {key: document[key] for key in document if key != "traceEvents"} == {
        "schemaVersion": 1,
        "host_name": "vm",
        "traceName": "t.json",
    }
    assert found == damage


def test_a_key_beside_the_events_that_spoils_a_trace(tmp_path):
    """A host name with a quote in it: events and the other keys stay."""
    path = tmp_path / "t.json"
    path.write_text(TRACE.replace('"vm"', '"a "vm" here"'), encoding="utf-8")
    document, _ = valid(path)
    assert [event["name"] for event in document["traceEvents"]] == ["NAME", "aten::add"]
    assert document["schemaVersion"] == 1


def test_an_event_that_cannot_be_made_out_is_counted(tmp_path):
    """Bare words in one event of three: the others stay, no ``null`` stands for it, and it is counted."""
    path = tmp_path / "t.json"
    broken = '{"ph": "X", "name": lost lost},\n  {\n    "ph": "X",\n    "cat": "cpu_op"'
    path.write_text(TRACE.replace('{\n    "ph": "X",\n    "cat": "cpu_op"', broken), encoding="utf-8")
    document, found = valid(path)
    assert [event["name"] for event in document["traceEvents"]] == ["NAME", "aten::add"]
    assert found["malformed_event"] == 1


@pytest.mark.parametrize("text", [b"5 bytes", b'{"a": "b" c}', b'{"traceEvents": [ oh'])
def test_a_file_in_which_no_event_can_be_made_out(tmp_path, text):
    """No empty trace is made of it: it is refused before anything is given out."""
    path = tmp_path / "t.json"
    path.write_bytes(text)
    with pytest.raises(BadInput, match="no event can be made out"):
        next(mended(path, Damage()))


@given(names=st.lists(st.text(st.sampled_from(string.printable + "é中"), max_size=12), min_size=1, max_size=5))
def test_whatever_names_stand_in_a_trace(tmp_path_factory, names):
    """Written as they are: what comes out is valid JSON, and is what went in where that was valid already."""
    path = tmp_path_factory.mktemp("mend") / "t.json"
    events = ",\n".join(f'{{"ph": "X", "name": "{name}", "ts": {at}.5, "dur": 1}}' for at, name in enumerate(names))
    text = f'{{"traceEvents": [\n{events}\n], "traceName": "t.json"}}'
    path.write_bytes(text.encode())
    document, _ = valid(path)
    if is_json(path):
        assert document == json.loads(text)
    else:
        with pytest.raises(ValueError, match=":"):
            json.loads(text)


def test_a_large_trace_is_looked_at_in_pieces(tmp_path):
    """Megabytes of events with one bad name in the middle: all others are there, in their order."""
    path = tmp_path / "t.json"
    rows = [f'{{"ph": "X", "cat": "cpu_op", "name": "op{at}", "ts": {at}.250, "dur": 1}}' for at in range(60_000)]
    rows[30_000] = rows[30_000].replace("op30000", 'op"30000"')
    path.write_text('{"traceEvents": [\n' + ",\n".join(rows) + "\n]}", encoding="utf-8")
    assert path.stat().st_size > 3 << 20
    document, found = valid(path)
    assert [event["ts"] for event in document["traceEvents"]] == [at + 0.25 for at in range(60_000)]
    assert document["traceEvents"][30_000]["name"] == 'op"30000"'
    assert found == {"unescaped_quote": 1}
