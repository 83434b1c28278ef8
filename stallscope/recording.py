"""``with stallscope.profile("runs/x") as p:`` around a training loop, in a script or a notebook."""

from __future__ import annotations

import html
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stallscope.profiling.record.plan import Depth
from stallscope.profiling.run import session
from stallscope.profiling.run.options import Options, run_name
from stallscope.profiling.run.runner import Target
from stallscope.profiling.words import voice
from stallscope.traces.model.errors import BadInput, StallscopeError
from stallscope.traces.model.manifest import Finding

if TYPE_CHECKING:
    from stallscope.analysis.contract.summary import Summary

# A summary is made, and shown, only when it is asked for.
# ruff: noqa: PLC0415

NOTEBOOK = "notebook"
HTML_COLUMNS = 100
YIELDS = "`stallscope profile` records all of this program already: the block is not recorded apart"


class Profile:
    """The recording of a block: finds its steps, records its windows, explains them. Made by ``stallscope.profile``.

    ``folder``: the run folder; None before the block has ended, and where nothing was recorded. ``messages``: what was
    said of the run on stderr. A failure of ours is one of them, never an exception: the block goes on.
    """

    def __init__(self, options: Options) -> None:
        self.folder: Path | None = None
        self.messages: tuple[str, ...] = ()
        self._options = options
        self._session: session.Session | None = None
        self._ended = False
        self._summary: Summary | None = None
        self._rank: int | None = None  # of several
        self._voice = voice.of_process()

    def __enter__(self) -> Self:
        if self._session is not None or self._ended:
            raise StallscopeError("this recording is over; call stallscope.profile(...) again for another block")
        outer = session.active()
        if isinstance(outer, _Block):
            raise StallscopeError("stallscope.profile(...) is inside another one: one block is recorded at a time")
        if outer is not None:
            self._say((YIELDS,))
            return self
        try:
            self._session = _Block(self._options, self._options.name or NOTEBOOK)
            self._session.begin()
        except Exception as error:  # noqa: BLE001 - the block runs all the same
            self._session = None
            self._say((f"recording could not begin ({type(error).__name__}: {error}); the program goes on",))
        return self

    def step(self) -> None:
        """Say that a step ends here. Without such calls steps are found by what modules and optimizers do."""
        if self._session is not None:
            self._session.step()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        recorded, self._session, self._ended = self._session, None, True
        if recorded is None or recorded.pid != os.getpid():
            return
        ending = None if kind is None else f"the recorded block ended with {kind.__name__}"
        findings = () if ending is None else (Finding(name="script_failed", text=ending),)
        outcome = recorded.close(None, findings=findings)
        self.folder = outcome.run_folder
        self._rank = outcome.rank if outcome.world_size > 1 else None
        self._say(outcome.messages)

    @property
    def summary(self) -> Summary | None:
        """The summary of the recorded steps (of several ranks, this one's); None where nothing was recorded.

        Raises:
            StallscopeError: the block has not ended yet.
        """
        if not self._ended:
            raise StallscopeError("the block has not ended: ask for the summary after it")
        if self._summary is None and self.folder is not None:
            from stallscope import api

            self._summary = api.summarize(self.folder, rank=self._rank)
        return self._summary

    def __repr__(self) -> str:
        """Return one line: where the recording is, and its answer."""
        if not self._ended:
            return f"<stallscope.profile: {'recording' if self._session else 'not recording'}>"
        found = self.summary
        if found is None:
            return f"<stallscope.profile: nothing recorded: {'; '.join(self.messages)}>"
        return f"<stallscope.profile: {self.folder}: {found.steps.count} steps, {found.verdict.kind}>"

    def _repr_markdown_(self) -> str:
        """Return the report as Markdown; of what was not recorded, why."""
        page = self._page("markdown")
        return f"`{repr(self).replace('`', chr(39))}`" if page is None else page

    def _repr_html_(self) -> str:
        """Return the report as a notebook shows it; every name from the trace is escaped."""
        page = self._page("text")
        if page is None:
            return f"<pre>{html.escape(repr(self))}</pre>"
        from stallscope.notebook import block

        return block(page)

    def _page(self, form: str) -> str | None:
        """Return the report in one of its formats; None where nothing was recorded, or not yet."""
        from stallscope.analysis.report.formats import renderer
        from stallscope.analysis.report.style import Style

        summary = self.summary if self._ended else None
        return None if summary is None else str(renderer("summary", form)([summary], Style(width=HTML_COLUMNS)))

    def _say(self, messages: tuple[str, ...]) -> None:
        self.messages = messages
        for message in messages:
            self._voice.say(message)


class _Block(session.Session):
    """The recording of a block, which another one may not be inside of."""


def profile(
    folder: str | Path | None = None,
    *,
    plan: str = "standard",
    steps: int | None = None,
    attribution: bool = True,
    warmup: int = 3,
    skip: int = 5,
    cpu_only: bool = False,
) -> Profile:
    """Record the steps that run inside ``with stallscope.profile("runs/x") as p:``; options as on the command line.

    ``folder``: the run folder; a number is added if it exists. Default: ``runs/`` and the script's name.

    Raises:
        BadInput: there can be no such folder, or a number is out of range.
    """
    if plan not in set(Depth):
        raise BadInput(f"plan must be one of {', '.join(Depth)}")
    if (steps is not None and steps < 1) or warmup < 0 or skip < 0:
        raise BadInput("steps must be 1 or more, warmup and skip 0 or more")
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    where = Path("runs") / (Path(script).stem if script else NOTEBOOK) if folder is None else Path(folder)
    options = Options(
        target=script or NOTEBOOK,
        is_module=False,
        args=tuple(sys.argv[1:]) if script else (),
        logdir=where.parent,
        name=where.name,
        plan=Depth(plan),
        steps=steps,
        attribution=attribution,
        warmup=warmup,
        skip=skip,
        cpu_only=cpu_only,
        progress=False,
    )
    run_name(options, Target(options.target, is_module=False, args=()))
    return Profile(options)
