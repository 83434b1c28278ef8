"""Where the time of a whole run went, by the looks that the recorder took (``manifest.whole_run``)."""

from __future__ import annotations

from collections.abc import Iterable

from stallscope.analysis.contract.run import RunLine, RunPart, WholeRun
from stallscope.analysis.stages.where.site_names import script_folder, short_path
from stallscope.traces.model.manifest import LineTime, Manifest


def find_whole_run(manifest: Manifest | None) -> WholeRun | None:
    """The ledger of the run; None where there is none."""
    told = None if manifest is None else manifest.whole_run
    if manifest is None or told is None:
        return None
    folder, total = script_folder(manifest), max(1, told.total_ns)

    def lines(found: Iterable[LineTime]) -> list[RunLine]:
        return [
            RunLine(line=f"{short_path(each.file, folder)}:{each.line}", function=each.function, share=each.ns / total)
            for each in found
        ]

    parts = [
        RunPart(name=part.name, seconds=part.ns / 1e9, share=part.ns / total, lines=lines(part.lines))
        for part in told.parts
    ]
    return WholeRun(seconds=total / 1e9, looks=told.looks, parts=parts, python=lines(told.python))
