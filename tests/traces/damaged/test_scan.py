"""The tolerant path: what is damaged is mended or left out and named, and everything beside it is as if undamaged."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stallscope.traces.damaged.lenient import TooDeepError, parse, parse_document
from stallscope.traces.damaged.scan import scan
from stallscope.traces.model.errors import Refused
from stallscope.traces.read.read import read
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import Limits
from tests.builders import TraceBuilder
from tests.examples import examples
from tests.traces.plain import plain, rows


def refuse(text: bytes) -> None:
    """An ``is_event`` that sends every event through the lenient parser."""
    raise msgspec.DecodeError(text)


def scanned(text: bytes, **options: Any) -> tuple[list[Any], dict[str, int]]:
    """The entries of ``text`` (events and what follows them) and what was noted."""
    damage = Damage()
    found = scan(text, damage, last=True, **options)
    return json.loads(found.text, parse_float=Decimal), dict(damage.counts)


def event(name: str) -> str:
    """An event in Kineto's line layout, with ``name`` between quotes as it is."""
    return (
        f'\n  {{\n    "ph": "X", "cat": "cpu_op", "name": "{name}", "pid": 1, "tid": 1,\n    "ts": 1.000, "dur": 2.000,'
        '\n    "args": {\n      "External id": 7, "path": "a"\n    }\n  }'
    )


def names(*events: str) -> tuple[list[str | None], dict[str, int]]:
    """The names that are read from ``events``, and what was noted."""
    entries, noted = scanned((",".join(events) + "\n  ],").encode())
    return [entry and entry["name"] for entry in entries], noted


@pytest.mark.parametrize(
    ("name", "read_as", "noted"),
    [
        ('say "hi" twice', 'say "hi" twice', {"unescaped_quote": 1}),
        ('"', '"', {"unescaped_quote": 1}),
        ('""', '""', {"unescaped_quote": 1}),
        ('half "', 'half "', {"unescaped_quote": 1}),
        ('f"{x}", y', 'f"{x}", y', {"unescaped_quote": 1}),
        ('a {"ph": "X"} b', 'a {"ph": "X"} b', {"unescaped_quote": 1}),
        (r"C:\Users\new", r"C:\Users\new", {"lenient_json": 1}),
        (r"a\x41b", r"a\x41b", {"lenient_json": 1}),
        ("tab\there", "tab\there", {"lenient_json": 1}),
        ("nul\0", "nul\0", {"lenient_json": 1}),
        (r"\ud83d\ude00", "😀", {}),
        (r"half \ud83d pair", "half � pair", {"bad_utf8": 1}),
    ],
)
def test_names_are_recovered(name: str, read_as: str, noted: dict[str, int]):
    """A name that its writer did not escape is read as it was meant, and the events around it as they are."""
    assert names(event("before"), event(name), event("after")) == (["before", read_as, "after"], noted)
    assert names(event(name)) == ([read_as], noted)


def test_a_path_that_ends_in_a_backslash_is_recovered():
    r"""In ``"C:\dir\"`` the backslash would escape the closing quote: the string ends where JSON goes on."""
    found, noted = names(event("before"), event("C:\\dir\\"), event("after"))
    assert found == ["before", "C:\\dir\\", "after"]
    assert "unescaped_quote" in noted or "lenient_json" in noted


@pytest.mark.parametrize(
    ("text", "entries", "noted"),
    [
        (b'{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}], {}),
        (b'{"a": 1},, {"a": 2},]', [{"a": 1}, {"a": 2}], {"lenient_json": 2}),
        (b'{"a": 1} {"a": 2}]', [{"a": 1}, {"a": 2}], {"lenient_json": 1}),
        (b'{"a": 1,}, {"b": [1,,2,], "c": {,}}]', [{"a": 1}, {"b": [1, 2], "c": {}}], {"lenient_json": 4}),
        (
            b'{"a": NaN, "b": -Infinity, "c": 1e400, "d": N/A, "e": nan(ind)}]',
            [dict.fromkeys("abcde")],
            {"non_finite": 5},
        ),
        (
            b'{"a": 01, "b": 1., "c": .5, "d": True}]',
            [{"a": 1, "b": 1, "c": Decimal("0.5"), "d": True}],
            {"lenient_json": 4},
        ),
        (b'{"a": what}]', [{"a": None}], {"lenient_json": 1}),
        (b'{"a": 1, "a": 2, "b": 3, "b": 3}]', [{"a": 2, "b": 3}], {"duplicate_key": 1}),
        (b'{"a": 18446744073709551615}]', [{"a": 18446744073709551615}], {}),
        (b'{"a": 18446744073709551616}]', [{"a": "18446744073709551616"}], {"big_number": 1}),
        (b'{"a": "\xff\xfe"}]', [{"a": "\ufffd\ufffd"}], {"bad_utf8": 1}),
        (b'7, "x", null, {}]', [7, "x", None, {}], {}),
        (b"]", [], {}),
        (b"", [], {"truncated_json": 1}),
        (b'{"a": 1}', [{"a": 1}], {"truncated_json": 1}),
        (b'{"a": 1}, {"b": [{"c": 1}]', [{"a": 1}], {"truncated_json": 1}),
        (b'{"a": 1}, {"b": "half', [{"a": 1}], {"truncated_json": 1}),
        (b'{"ph": 1 2}, {"ph": 3}]', [None, {"ph": 3}], {}),
    ],
)
def test_what_the_scanner_mends(text: bytes, entries: list[Any], noted: dict[str, int]):
    """Each known fault is mended as far as it can be, counted under its name, and nothing else is touched."""
    assert scanned(text, is_event=refuse) == (entries, noted)


def test_long_numbers_become_text():
    """A number of 400 digits is no number to anybody; its beginning is kept."""
    (entry,), noted = scanned(b'{"a": ' + b"1" * 400 + b"}]", is_event=refuse)
    assert entry["a"].startswith("'1111")
    assert noted == {"big_number": 1}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(['}, {"ph": 1', "}]", '"', "\\", '", "ph": "']),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["ph", "name", "args", "ts", "a"]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@examples(300)
@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 0, 3]), st.booleans())
def test_valid_json_is_read_as_json_reads_it(values: list[Any], indent: int | None, ascii_only: bool):
    """On valid JSON the lenient parser gives what ``json.loads`` gives, notes nothing, and stops at the bracket."""
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    damage = Damage()
    found = scan(text[1:] + b', "after": [{"ph": 1}]}', damage, last=True, is_event=refuse)
    assert json.loads(found.text, parse_float=Decimal) == json.loads(text, parse_float=Decimal)
    assert (dict(damage.counts), found.ended, found.used) == ({}, True, len(text) - 1)
    parsed = parse(text, 0, damage, max_depth=100)
    assert (parsed.value, parsed.end) == (json.loads(text, parse_float=Decimal), len(text))
    assert parse_document(text, damage, max_depth=100).value == parsed.value


@examples(200)
@given(st.lists(VALUES, max_size=6), st.integers(0, 400))
def test_a_block_may_end_anywhere(values: list[Any], cut: int):
    """Cut anywhere, a part of the events gives the first of them, and the rest of the text gives the others."""
    text = json.dumps(values).encode()[1:]
    damage = Damage()
    first = scan(text[:cut], damage, last=False, is_event=refuse)
    rest = scan(text[first.used :], damage, last=True, is_event=refuse) if not first.ended else None
    entries = json.loads(first.text) + (json.loads(rest.text) if rest else [])
    assert entries == values or set(damage.counts) <= {"lenient_json"}


@examples(300)
@given(st.lists(VALUES, max_size=5), st.data())
def test_damage_anywhere_ends_in_valid_json(values: list[Any], data: st.DataObject):
    """Whatever bytes are changed, the scanner ends, and what it gives is a JSON array."""
    text = bytearray(json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text)))
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b'"', b"\\", b"}", b"]", b",", b"{", b"\xff", b"\0", b"NaN", b"1e999", b"\\u", b""])
        )
    for last in (True, False):
        found = scan(bytes(text), Damage(), last=last)
        assert isinstance(msgspec.json.decode(found.text), list)
        assert 0 <= found.used <= len(text)


def test_nesting_is_bounded():
    """Nesting beyond the limit is refused without recursion, in an event and in the whole document."""
    deep = b"[" * 100_000
    with pytest.raises(TooDeepError):
        scan(b'{"a": ' + deep, Damage(), last=True, max_depth=62, is_event=refuse)
    with pytest.raises(TooDeepError):
        parse_document(deep, Damage(), max_depth=64)


# -- the same through read ------------------------------------------------------------------------------------------


def many(count: int = 400) -> TraceBuilder:
    """A trace of ``count`` operators, each with an id."""
    builder = TraceBuilder().step(0, 10.0 * count)
    for i in range(count):
        builder.op(f"op{i}", 10 * i, 5, **{"External id": i, "frames": [{"name": "f", "ts": 1}, {"name": "g"}]})
    return builder


@pytest.mark.parametrize("block_bytes", [500, 5000, 1 << 20])
@pytest.mark.parametrize(
    ("good", "bad", "noted"),
    [
        ('"op200"', '"op"200""', "unescaped_quote"),
        ('"dur": 5.0', '"dur": 5.0,', "lenient_json"),
        ('"External id": 200', '"External id": NaN', "non_finite"),
        ('"op200"', '"op\x01200"', "lenient_json"),
    ],
)
def test_damage_takes_the_tolerant_path_for_its_block_only(
    tmp_path: Path, block_bytes: int, good: str, bad: str, noted: str
):
    """One damaged event among many, in blocks of any size: every event is there, and the damage is named."""
    text = many().json()
    (tmp_path / "good.json").write_text(text)
    (tmp_path / "bad.json").write_text(text.replace(good, bad))
    expected, found = read(tmp_path / "good.json"), read(tmp_path / "bad.json", block_bytes=block_bytes)
    assert [(kind, ts, dur) for kind, _, ts, dur in rows(found)] == [(k, ts, dur) for k, _, ts, dur in rows(expected)]
    assert noted in {issue.name for issue in found.issues}


def test_every_truncation_is_salvaged(tmp_path: Path):
    """Cut at any byte, a trace gives the first of its events, more of them the later the cut, and says so."""
    builder = TraceBuilder().step(0, 100).launch(5, 2, kernel=("gemm", 9, 50)).op("a", 7, 1)
    text, path, before = builder.json().encode(), tmp_path / "trace.json", 0
    whole = rows(builder.trace())
    for length in range(text.index(b"gemm"), len(text), 7):
        path.write_bytes(text[:length])
        trace = read(path)
        found = rows(trace)
        assert set(found) <= set(whole)
        assert len(found) >= before
        assert "truncated_json" in {issue.name for issue in trace.issues}
        before = len(found)


def test_keys_behind_damaged_events_are_kept(tmp_path: Path):
    """Metadata with an unescaped quote, as PT_PROFILER_JOB_NAME may hold, loses nothing."""
    builder = TraceBuilder().op("a", 0, 1).key(PT_PROFILER_JOB_NAME="jXb")
    text = builder.json().replace("jXb", 'j"X"b')
    (tmp_path / "trace.json").write_text(text)
    trace = read(tmp_path / "trace.json")
    assert trace.metadata["PT_PROFILER_JOB_NAME"] == 'j"X"b'
    assert plain(trace.devices) == plain(builder.trace().devices)


@pytest.mark.parametrize("nested", ['{"a": ' * 70 + "1" + "}" * 70, "[" * 70 + "]" * 70])
def test_nesting_that_decodes_is_refused_too(tmp_path: Path, nested: str):
    """Nesting that no parser minds, but no trace has, is refused, naming the option that allows it."""
    path = tmp_path / "trace.json"
    path.write_text(TraceBuilder().op("a", 0, 1, deep="HERE").json().replace('"HERE"', nested))
    with pytest.raises(Refused, match="--max-depth"):
        read(path)
    assert len(read(path, limits=Limits(max_depth=200)).events) == 1
