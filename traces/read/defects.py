"""What a file and its events show to be wrong or missing, as ``TraceIssue`` values.

What only a figure can show (launches without any kernel, steps cut short) is found by the stage of that figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from stallscope.traces.model import fields
from stallscope.traces.model.fields import CALLS, Category
from stallscope.traces.model.issues import Severity, TraceIssue
from stallscope.traces.model.trace import Bools
from stallscope.traces.read.columns import Columns
from stallscope.traces.read.implausible import MOST_EXCLUDED, Excluded
from stallscope.traces.text.damage import Damage
from stallscope.traces.text.limits import LONGEST_NAME

# What ``Damage`` collects: severity and advice; {place} is where it was met first, {until} how far the events reach.
FILE_RULES: dict[str, tuple[Severity, str]] = {
    "truncated_gzip": (
        Severity.DATA_LOSS,
        "The gzip file ends in the middle{place}; what inflates was analysed, {until}. Copy or record it again.",
    ),
    "gzip_crc": (
        Severity.DATA_LOSS,
        "The gzip data is damaged{place}; what inflates was analysed, {until}, and may be wrong. Copy the trace again.",
    ),
    "gzip_trailing": (Severity.DATA_LOSS, "Behind the gzip data there is something else{place}; it was not read."),
    "truncated_json": (
        Severity.DATA_LOSS,
        (
            "The text ends in the middle of the document; the events before that were analysed, {until}. What follows "
            "is missing, so totals are too low: copy or record the trace again."
        ),
    ),
    "changed_while_reading": (
        Severity.DATA_LOSS,
        "The file changed while it was read; wait until its recording has ended and read it again.",
    ),
    "encoding": (Severity.DATA_LOSS, "The text is not in UTF-8{place}; it was converted. Save traces as UTF-8."),
    "unescaped_quote": (
        Severity.DATA_LOSS,
        (
            "These names hold quotes that torch did not escape (torch 2.13 and older do so){place}; the events were "
            "recovered. Leave quotes out of the names of ranges."
        ),
    ),
    "lenient_json": (
        Severity.DATA_LOSS,
        "This is no valid JSON{place} (control characters, escapes, commas or numbers); it was read all the same.",
    ),
    "non_finite": (
        Severity.DATA_LOSS,
        "These values are no numbers (NaN, Infinity, 1e400, N/A){place} and count as missing.",
    ),
    "bad_utf8": (
        Severity.DATA_LOSS,
        "These texts are not UTF-8{place}; U+FFFD stands for what cannot be read, so names may be merged or split.",
    ),
    "duplicate_key": (
        Severity.DATA_LOSS,
        "These fields are told twice, with different values, in one event; the last one counts.",
    ),
    "big_number": (Severity.DATA_LOSS, "These numbers do not fit 64 bits{place} and count as missing."),
    "duplicate_event": (
        Severity.DATA_LOSS,
        "These events are exact copies of others, as in files that were merged; each was counted once.",
    ),
}

RULES: tuple[tuple[str, Severity, str], ...] = (
    (
        "malformed_event",
        Severity.DATA_LOSS,
        "These entries are no events that a trace can hold and were left out; record again if there are many.",
    ),
    (
        "unpaired_phase",
        Severity.DATA_LOSS,
        "Begin and end events (ph B, E) were left out; save complete events (ph X), as torch.profiler does.",
    ),
    (
        "negative_duration",
        Severity.DATA_LOSS,
        "These events end before they begin and count as 0 long; figures that hold them are too low. Record again.",
    ),
    (
        "long_string",
        Severity.DATA_LOSS,
        f"These names are longer than {LONGEST_NAME} characters; the rest of each was dropped.",
    ),
    (
        "unfinished_event",
        Severity.NOTICE,
        "These events had not ended when the recording stopped; their durations are lower bounds.",
    ),
    (
        "launched_before_recording",
        Severity.INFO,  # a loss from FEW on
        "This device work has no launch in the trace, as at the start of a recording; it counts, but to no operator.",
    ),
    (
        "unknown_category",
        Severity.INFO,  # a loss from FEW on
        "These events have a category that Stallscope does not know; they are in no figure.",
    ),
    (
        "no_steps",
        Severity.INFO,
        "No ProfilerStep: steps are told by what comes back, or all counts as one; `stallscope profile` marks them.",
    ),
)
FEW = {"launched_before_recording": 0.01, "unknown_category": 0.05}  # shares of GPU time and of rows: up to these, info
OF_ENTRIES = ("malformed_event", "unpaired_phase")  # their share is one of all entries, that of others of all rows


def unknown_categories(categories: Mapping[str, int]) -> dict[str, int]:
    """Those of the spelled ``categories`` that no table knows, with their counts, sorted by name."""
    return {name: n for name, n in sorted(categories.items()) if name not in fields.CATEGORIES}


def issues_of(columns: Columns, damage: Damage, excluded: Excluded) -> tuple[TraceIssue, ...]:
    """Every defect found: of the file, of times, of events, each group gravest first."""
    return (*_of_file(columns, damage), *_of_times(excluded), *_of_events(columns))


def _of_file(columns: Columns, damage: Damage) -> Iterator[TraceIssue]:
    for name, (severity, advice) in FILE_RULES.items():
        if name in damage:
            place = damage.places.get(name)
            said = advice.format(place=f" ({place})" if place else "", until=_until(columns))
            yield TraceIssue(name, severity, damage.counts[name], said)


def _until(columns: Columns) -> str:
    """How far the events reach, counted from the first."""
    if not len(columns.events):
        return "none of them an event"
    ms = (int(columns.events.end_ns.max()) - int(columns.events.ts_ns.min())) / 1e6
    return f"{columns.counts.total} entries, which reach {ms:.3f} ms from the first event on"


def _of_times(excluded: Excluded) -> Iterator[TraceIssue]:
    if not excluded.count:
        return
    withheld = excluded.device_share > MOST_EXCLUDED
    advice = (
        f"The times of these events ({excluded.share:.1%} of all, {excluded.device_share:.1%} of the GPU's) cannot be "
        "right: days long, or far from all others. They were left out; "
        + ("GPU figures are withheld. " if withheld else "")
        + "record again."
    )
    yield TraceIssue(
        "implausible_time",
        Severity.DATA_LOSS,
        excluded.count,
        advice,
        share=excluded.share,
        withholds_device_figures=withheld,
    )


def _of_events(columns: Columns) -> Iterator[TraceIssue]:
    counts = columns.counts
    unlaunched = _unlaunched(columns)
    found = {
        "malformed_event": counts.malformed,
        "unpaired_phase": counts.paired,
        "negative_duration": counts.negative,
        "long_string": sum(len(name) >= LONGEST_NAME for name in columns.strings),
        "unfinished_event": counts.unfinished,
        "launched_before_recording": int(unlaunched.sum()),
        "unknown_category": sum(unknown_categories(columns.categories).values()),
        "no_steps": 0 if _has_steps(columns) else 1,
    }
    for name, severity, advice in RULES:
        if found[name]:
            share = _share(columns, name, found[name], unlaunched)
            lost = name in FEW and share is not None and share > FEW[name]
            yield TraceIssue(name, Severity.DATA_LOSS if lost else severity, found[name], advice, share=share)


def _share(columns: Columns, name: str, count: int, unlaunched: Bools) -> float | None:
    """The part of all entries, of all rows, or of the GPU's time that an issue is about."""
    if name == "no_steps":
        return None
    if name == "launched_before_recording":
        durations = columns.events.dur_ns[columns.work.row]
        return int(durations[unlaunched].sum()) / max(1, int(durations.sum()))
    return count / max(1, columns.counts.total if name in OF_ENTRIES else len(columns.events))


def call_names(columns: Columns) -> list[str]:
    """The distinct names of runtime and driver calls."""
    rows = columns.events.rows(*CALLS)
    return [columns.strings[i] for i in np.unique(columns.events.name[rows]).tolist()]


def _unlaunched(columns: Columns) -> Bools:
    """Which device rows have no call under their correlation, shape (m,)."""
    ids = columns.events.correlation
    calls = columns.events.rows(*CALLS)
    of_calls = np.sort(ids.values[calls][ids.known[calls]], kind="stable")  # nearly in order as they are
    row = columns.work.row
    if not len(of_calls):
        return np.ones(len(row), np.bool_)
    place = np.minimum(np.searchsorted(of_calls, ids.values[row]), len(of_calls) - 1)
    found: Bools = ~(ids.known[row] & (of_calls[place] == ids.values[row]))
    return found


def _has_steps(columns: Columns) -> bool:
    rows = columns.events.rows(Category.ANNOTATION)
    names = np.unique(columns.events.name[rows]).tolist()
    return any(fields.step_number(columns.strings[i]) is not None for i in names)
