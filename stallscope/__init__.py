"""Stallscope: why a PyTorch training step is slow, in figures that can be trusted, and what to change.

The folders ``profiling``, ``analysis`` and ``traces`` of the checkout are imported as ``stallscope.profiling`` and so
on, through links beside this file. Where git made the links plain text files (Windows' default), the checkout's
folder is added to this package's path instead.

    stallscope.read(path) -> Trace                     the events of a trace file as columns
    stallscope.summarize(path) -> Summary              what `stallscope summary` prints, as values
    with stallscope.profile("runs/x") as p: …          record the steps of a block; p.summary, p.folder
    stallscope.compare(baseline, candidate) -> …       two lists of paths: before and after
    stallscope.whatif(path) -> Forecasts               what each fix would save
    stallscope.report(path, output) -> Path            the page, as one HTML file
    stallscope.annotate(path, output) -> Path          a copy of the trace for Perfetto
    stallscope.to_frame(summary, "kernels") -> …       a table as a pandas frame
"""

from __future__ import annotations

from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from typing import Any

    from stallscope.api import annotate, compare, report, summarize, to_frame, whatif
    from stallscope.recording import profile
    from stallscope.traces.read.read import read

_here = _Path(__file__).parent
if (_here / "traces").is_file():  # a link that git wrote as text
    __path__.append(str(_here.parent))

__all__ = ["annotate", "compare", "profile", "read", "report", "summarize", "to_frame", "whatif"]


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used: `import stallscope` itself loads nothing."""
    if name == "__version__":
        from stallscope.traces.model.version import version  # noqa: PLC0415

        return version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "profile":
        from stallscope.recording import profile  # noqa: PLC0415

        return profile
    from stallscope import api, notebook  # noqa: PLC0415

    del notebook  # loaded, it draws what a notebook shows
    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
