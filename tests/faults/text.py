"""Rows B: the JSON text."""

from __future__ import annotations

import json

from stallscope.traces.text.limits import LONGEST_NAME, Limits
from tests.faults.case import Case, case, packed
from tests.faults.seed import kineto_text, training

TEXT = kineto_text(training())
HALF = len(TEXT) // 2
EVENT = '"name": "aten::addmm"'
ALL = ("*",)
TIMES = ("steps", "per_step", "breakdown_us", "kernels", "memcpy", "idle_us")


def once(old: str, new: str, *, place: int = HALF) -> bytes:
    """The text with the first ``old`` behind ``place`` replaced."""
    at = TEXT.index(old, place)
    return (TEXT[:at] + new + TEXT[at + len(old) :]).encode("utf-8", "surrogateescape")


def named(name: str) -> bytes:
    """The text with one operator named ``name``, as it stands between the quotes."""
    return once(EVENT, f'"name": "{name}"')


def nested(levels: int) -> bytes:
    """The text with an argument nested so deeply."""
    return once('"External id": ', '"deep": ' + "[" * levels + "]" * levels + ', "External id": ')


def _cuts() -> list[Case]:
    places = {
        "inside a string": TEXT.index("aten::addmm", HALF) + 4,
        "inside a number": TEXT.index('"ts": ', HALF) + 10,
        "inside a key": TEXT.index('"External id', HALF) + 5,
        "between two events": TEXT.index("},\n  {", HALF) + 2,
        "behind the last event": TEXT.rindex("}\n  ]") + 1,
        "behind the bracket": TEXT.rindex("]") + 1,
        "inside the first step": TEXT.index('"name": "gemm_1"'),
    }
    return [case("B1", name, "degraded", TEXT[:place], "truncated_json") for name, place in places.items()]


def cases() -> list[Case]:
    """Every case of these rows."""
    return [
        *_cuts(),
        case("B1", "before the events", "bad", TEXT[:200], says="truncated JSON"),
        case("B1", "cut and packed", "degraded", packed(TEXT[:-3000]), "truncated_json"),
        case("B2", "two documents", "bad", TEXT + TEXT, says=f"another at byte {len(TEXT)}"),
        case(
            "B2",
            "two lists",
            "bad",
            "[" + "]\n[".join(['{"ph": "X", "name": "a", "ts": 1, "dur": 1}'] * 2) + "]",
            says="another at byte",
        ),
        case("B2", "text behind", "degraded", TEXT + "the end", "lenient_json", unchanged=ALL),
        case("B2", "zeros behind", "degraded", TEXT + "\0" * 99, "lenient_json", unchanged=ALL),
        case(
            "B3",
            "comma behind the last event",
            "degraded",
            TEXT.replace("}\n  ]", "},\n  ]"),
            "lenient_json",
            unchanged=ALL,
        ),
        case("B3", "doubled comma", "degraded", once("},\n  {", "},,\n  {"), "lenient_json", unchanged=ALL),
        case(
            "B3",
            "comma behind an argument",
            "degraded",
            once("\n    }\n  }", ",\n    }\n  }"),
            "lenient_json",
            unchanged=ALL,
        ),
        case("B3", "missing comma", "degraded", once("},\n  {", "}\n  {"), "lenient_json", unchanged=ALL),
        case(
            "B4",
            "NaN in an argument",
            "degraded",
            once('"External id": 2', '"External id": NaN, "x": 2'),
            "non_finite",
            unchanged=ALL,
        ),
        case(
            "B4",
            "Infinity in an argument",
            "degraded",
            once('"blocks per SM": 0.97', '"blocks per SM": -Infinity'),
            "non_finite",
            unchanged=TIMES,
        ),
        case(
            "B4",
            "1e400 as duration",
            "degraded",
            once('"dur": 70.000', '"dur": 1e400'),
            "non_finite",
            "malformed_event",
        ),
        case(
            "B4",
            "N/A as bandwidth",
            "degraded",
            once('"bytes": 4', '"memory bandwidth (GB/s)": N/A, "bytes": 4'),
            "non_finite",
            unchanged=ALL,
        ),
        case(
            "B4",
            "NaN in the metadata",
            "degraded",
            TEXT.replace('"schemaVersion": 1', '"schemaVersion": 1, "k": {"a": NaN}'),
            "non_finite",
            unchanged=ALL,
        ),
        case("B5", "bad UTF-8 in a name", "degraded", named("aten::\udcff\udc94"), "bad_utf8", unchanged=TIMES),
        case(
            "B5",
            "bad UTF-8 in the metadata",
            "degraded",
            TEXT.replace('"schemaVersion": 1', '"schemaVersion": 1, "host_name": "a\udcff"').encode(
                "utf-8", "surrogateescape"
            ),
            "bad_utf8",
            unchanged=ALL,
        ),
        case("B5", "half a surrogate pair", "degraded", named(r"aten::\ud83d"), "bad_utf8", unchanged=TIMES),
        case("B6", "line break in a name", "degraded", named("aten::\naddmm"), "lenient_json", unchanged=TIMES),
        case(
            "B6",
            "escape character in a name",
            "degraded",
            named("aten::\x1b[31maddmm"),
            "lenient_json",
            unchanged=TIMES,
        ),
        case("B6", "zero in a name", "degraded", named("aten::\0addmm"), "lenient_json", unchanged=TIMES),
        case("B7", "quotes in a name", "degraded", named('say "hi"'), "unescaped_quote", unchanged=TIMES),
        case("B7", "one quote in a name", "degraded", named('6" pipe'), "unescaped_quote", unchanged=TIMES),
        case(
            "B7",
            "quote in every kernel name",
            "degraded",
            TEXT.replace("gemm_1", 'gemm<"1">'),
            "unescaped_quote",
            unchanged=("steps", "per_step", "breakdown_us"),
        ),
        case(
            "B7",
            "quote in the last event",
            "degraded",
            once(
                '"name": "cudaStreamSynchronize"',
                '"name": "cudaStream"Synchronize"',
                place=TEXT.rindex('"name": "cudaStream'),
            ),
            "unescaped_quote",
        ),
        case(
            "B7",
            "quote in an argument",
            "degraded",
            once('"External id": 2', '"path": "layer"0"", "External id": 2'),
            "unescaped_quote",
            unchanged=ALL,
        ),
        case(
            "B7",
            "quote in the metadata",
            "degraded",
            TEXT.replace('"schemaVersion": 1', '"schemaVersion": 1, "PT_PROFILER_JOB_NAME": "a"b"'),
            "unescaped_quote",
            unchanged=ALL,
        ),
        case(
            "B7", "name that looks like an event", "degraded", named('x"}, {"ph": "X'), unchanged=("steps", "kernels")
        ),
        case("B8", "Windows path", "degraded", named(r"C:\Users\new.py(3): f"), "lenient_json", unchanged=TIMES),
        case("B8", "hexadecimal escape", "degraded", named(r"a\x41"), "lenient_json", unchanged=TIMES),
        case("B8", "path that ends in a backslash", "degraded", named("C:\\dir\\"), unchanged=TIMES),
        case("B9", "key twice, other value", "degraded", once('"pid": 4242', '"dur": 1, "pid": 4242'), "duplicate_key"),
        case("B9", "key twice, same value", "ok", once('"ph": "X", ', '"ph": "X", "ph": "X", '), unchanged=ALL),
        case(
            "B9",
            "metadata twice",
            "degraded",
            TEXT.replace('"schemaVersion": 1', '"host_name": "a", "host_name": "b"'),
            "duplicate_key",
            unchanged=ALL,
        ),
        case("B10", "100 levels", "refused", nested(100), says="--max-depth"),
        case("B10", "100 000 levels", "refused", nested(100_000), says="--max-depth"),
        case("B10", "100 000 open brackets", "refused", "[" * 100_000, says="--max-depth"),
        case("B10", "100 levels, allowed", "ok", nested(100), unchanged=ALL, limits=Limits(max_depth=200)),
        case("B10", "10 levels", "ok", nested(10), unchanged=ALL),
        case("B11", "name of 1 MB", "degraded", named("x" * 2**20), "long_string", unchanged=TIMES),
        case("B11", "name of 60 kB", "ok", named("x" * (LONGEST_NAME - 4000)), unchanged=TIMES),
        case(
            "B11",
            "argument of 3 MB",
            "ok",
            once('"External id": 2', '"x": "' + "y" * 3 * 2**20 + '", "External id": 2'),
            unchanged=ALL,
        ),
        case("B12", "unsigned 64 bits", "ok", once('"context": 1', '"Comms Id": 18446744073709551615'), unchanged=ALL),
        case(
            "B12",
            "correlation of 30 digits",
            "degraded",
            once('"External id": 2', '"correlation": ' + "1" * 30 + ', "External id": 2'),
            "big_number",
            unchanged=ALL,
        ),
        case(
            "B12",
            "5 000 digits in what nothing reads",
            "ok",
            once('"External id": 2', '"x": ' + "1" * 5000 + ', "External id": 2'),
            unchanged=ALL,
        ),
        case(
            "B12", "duration of 400 digits", "degraded", once('"dur": 70.000', '"dur": ' + "1" * 400), "malformed_event"
        ),
        case(
            "B12",
            "monstrous exponent",
            "degraded",
            once('"dur": 70.000', '"dur": 1e4006744073709551616'),
            "non_finite",
            "malformed_event",
        ),
        case(
            "B13",
            "top level a list",
            "ok",
            json.dumps(training().events),
            unchanged=("steps", "per_step", "breakdown_us", "kernels"),
        ),
        *[
            case("B14", name, "bad", text, says=says)
            for name, text, says in (
                ("number", "12", "a single int"),
                ("null", "null", "a single NoneType"),
                ("text", '"abc"', "a single str"),
                ("no events", "{}", "without a list of traceEvents"),
                ("null events", '{"traceEvents": null}', "without a list"),
                ("dict of events", '{"traceEvents": {}}', "its traceEvents is a dict"),
                ("empty list of events", '{"traceEvents": []}', "holds no events"),
                ("list of numbers", "[1, 2, 3]", "none of its 3 entries"),
            )
        ],
        case("B15", "execution trace", "bad", '{"schema": "1.1.1-chakra", "nodes": []}', says="execution trace"),
        case("B15", "rocprofiler", "bad", '{"rocprofiler-sdk-tool": []}', says="rocprofiler"),
        case("B15", "memory snapshot", "bad", '{"segments": [], "device_traces": []}', says="memory snapshot"),
        case("B15", "memory timeline", "bad", "[[1, 2], [3, 4]]", says="none of its 2 entries"),
        case("B15", "our manifest", "bad", '{"schema": "stallscope.manifest/1", "windows": []}', says="manifest"),
        case(
            "B16",
            "300 packages",
            "ok",
            TEXT.replace(
                '"schemaVersion": 1',
                '"schemaVersion": 1, "metadata": ' + json.dumps({"pip": [f"p{i}==1.0" for i in range(300)]}),
            ),
            unchanged=ALL,
        ),
        case(
            "B16",
            "5 000 labels",
            "ok",
            {
                **training().keys,
                "traceEvents": [
                    *training().events,
                    *(
                        {"ph": "M", "name": "process_labels", "pid": i, "tid": 0, "ts": 0, "args": {"labels": "x"}}
                        for i in range(5000)
                    ),
                ],
            },
            unchanged=TIMES,
        ),
        case(
            "B16",
            "hostile value",
            "ok",
            TEXT.replace('"schemaVersion": 1', '"schemaVersion": 1, "host_name": "]}{[\\u001b[31m"'),
            unchanged=ALL,
        ),
    ]
