"""What the manifest says of a run, as findings of its summary."""

from __future__ import annotations

from msgspec.structs import replace

from stallscope.analysis.fill.run import fill_run_findings
from stallscope.traces.model.manifest import Finding
from tests.profiling.folder.test_export import manifest


def test_a_run_that_was_ended_from_outside():
    """A manifest that nobody completed has one finding more, and that is the last."""
    whole = replace(manifest(), complete=True, findings=[Finding(name="no_optimizer", text="none ever stepped")])
    killed = replace(whole, complete=False)
    assert [each.name for each in fill_run_findings(whole)] == ["no_optimizer"]
    assert [each.name for each in fill_run_findings(killed)] == ["no_optimizer", "ended_early"]
    assert "SIGTERM" in fill_run_findings(killed)[-1].text
