"""The fixture ``stallscope_budget``: what the steps of a test do, held against budgets.

    def test_the_step_waits_for_nothing(stallscope_budget):
        with stallscope_budget(waits=0):
            train(model, steps=100)

pytest loads this in every session of everybody who has Stallscope installed: it imports nothing of ours by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stallscope.recording import Profile

# ruff: noqa: PLC0415 - see above


@pytest.fixture
def stallscope_budget(tmp_path: Path) -> Callable[..., AbstractContextManager[Profile]]:
    """Hold what 50 steps or more do against budgets: ``with`` around the loop; beyond one of them the test fails.

    Figures are those of ``stallscope check``, numbers or texts such as "12 MB". Without any, and beside them, those of
    ``stallscope.toml`` (or ``pyproject.toml``) in the current folder hold, but for those against a baseline. What the
    block gives is the recording: ``as p``, and ``p.step()`` at the end of an iteration, where steps are not found by
    themselves.
    """

    @contextmanager
    def block(**limits: Any) -> Iterator[Profile]:
        from stallscope import profile
        from stallscope.checking import load_budgets, must_be_checkable
        from stallscope.traces.model.errors import BadInput

        try:
            given = load_budgets(None, [f"{name}={value}" for name, value in limits.items()])
            budgets = given.without_baseline()
            must_be_checkable(budgets, None)
        except BadInput as error:
            raise pytest.UsageError(str(error)) from None
        recording = profile(tmp_path / "stallscope", plan="quick", skip=1, warmup=1)
        with recording:
            yield recording
        _judge(recording, budgets)

    return block


def _judge(recording: Profile, budgets: Any) -> None:
    """Fail the test where a budget is exceeded, or nothing is known of the steps."""
    from stallscope.analysis.report.formats import renderer
    from stallscope.checking import checked
    from stallscope.traces.model.errors import StallscopeError

    if recording.folder is None:
        said = "; ".join(recording.messages) or "no step was seen"
        pytest.fail(f"stallscope_budget: nothing was recorded ({said}); run more steps in the block", pytrace=False)
    try:
        found = checked([recording.folder], budgets)
    except StallscopeError as error:
        pytest.fail(f"stallscope_budget: {error}; run more steps in the block", pytrace=False)
    if found.outcome != "pass":
        pytest.fail(str(renderer("check", "text")(found)), pytrace=False)
