"""What was changed between two sides, and what limits their comparison."""

from __future__ import annotations

import pytest

from stallscope.analysis.compare.compare import RunFigures, compare
from stallscope.analysis.contract.compare import Comparison
from tests.analysis.comparing import manifest_of, run


def notes(comparison: Comparison) -> set[str]:
    """The names of the notes."""
    return {note.name for note in comparison.notes}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (["t.py", "--record-every", "1"], ["t.py", "--record-every", "100"], [("--record-every", "1", "100")]),
        (["t.py", "--record-every=1"], ["t.py", "--record-every", "100"], [("--record-every", "1", "100")]),
        (["t.py"], ["t.py", "--amp"], [("--amp", None, "")]),
        (["t.py", "--shift", "-1"], ["t.py", "--shift", "-2"], [("--shift", "-1", "-2")]),
        (["t.py", "small"], ["t.py", "large"], [("", "t.py small", "t.py large")]),
        (["t.py", "--lr", "1"], ["t.py", "--lr", "1"], []),
    ],
)
def test_the_arguments_that_differ_are_what_was_changed(
    before: list[str], after: list[str], changed: list[tuple[str, str | None, str | None]]
) -> None:
    """Options are matched by name, the rest as it stands; equal command lines changed nothing."""
    found = compare([run("a", manifest_of(*before))], [run("b", manifest_of(*after))]).changed
    assert found is not None
    assert [(change.name, change.baseline, change.candidate) for change in found] == changed


def test_without_a_manifest_what_was_changed_is_unknown() -> None:
    """A bare trace does not say how it was made."""
    assert compare([run("a")], [run("b", manifest_of("t.py"))]).changed is None


LIMITS = {
    "degraded_trace": ([run("a", grade="degraded")], [run("b")]),
    "different_devices": ([run("a", vendor="cuda", device="V100")], [run("b", vendor="cuda", device="A100")]),
    "different_cpus": ([run("a", machine={"cpu": "Slow"})], [run("b", machine={"cpu": "Fast"})]),
    "different_torch": ([run("a", machine={"torch": "2.6"})], [run("b", machine={"torch": "2.13"})]),
    "different_threads": ([run("a", machine={"threads": 1})], [run("b", machine={"threads": 8})]),
    "different_world_sizes": ([run("a", world_size=2)], [run("b", world_size=8)]),
    "different_scripts": ([run("a", manifest_of("one.py"))], [run("b", manifest_of("other.py"))]),
    "steps_found_differently": (
        [run("a", manifest_of("t.py"))],
        [run("b", manifest_of("t.py", source="forward"))],
    ),
    "mixed_runs": (
        [run("a", manifest_of("t.py", "--lr", "1")), run("b", manifest_of("t.py", "--lr", "2"))],
        [run("c", manifest_of("t.py"))],
    ),
    "few_steps": ([run("a", samples=[100.0] * 3)], [run("b")]),
    "gpu_shared": ([run("a", machine={"others_on_gpu": ["game.exe"]})], [run("b")]),
    "simulated": ([run("a", simulated=True)], [run("b")]),
    "same_trace_twice": ([run("a"), run("a")], [run("b")]),
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_limits_a_comparison_is_named(name: str) -> None:
    """Each limit has its note; two like runs have none of them."""
    before, after = LIMITS[name]
    assert name in notes(compare(before, after))
    calm = [run("a", manifest_of("t.py"), unprofiled=9.0)], [run("b", manifest_of("t.py"), unprofiled=9.0)]
    assert notes(compare(*calm)) == set()


def test_what_holds_of_both_sides_is_said_once() -> None:
    """Both sides mix learning rates: one note, not two."""
    sides = [[run(f"{name}{rate}", manifest_of("t.py", "--lr", rate)) for rate in "12"] for name in "ab"]
    assert [note.name for note in compare(*sides).notes].count("mixed_runs") == 1


def test_a_side_without_manifests_is_no_other_script() -> None:
    """What is unknown does not differ."""
    assert "different_scripts" not in notes(compare([run("a")], [run("b", manifest_of("t.py"))]))


def test_runs_in_turn_are_interleaved_and_one_side_first_is_not() -> None:
    """Taken at minutes 1 and 3 against 2 and 4: in turn. Either side wholly first: said."""

    def side(*minutes: int) -> list[RunFigures]:
        return [run(str(n), manifest_of("t.py", created=f"2026-01-01T00:0{n}:00Z")) for n in minutes]

    assert "not_interleaved" not in notes(compare(side(1, 3), side(2, 4)))
    assert "not_interleaved" in notes(compare(side(1, 2), side(3, 4)))
    assert "not_interleaved" in notes(compare(side(3, 4), side(1, 2)))
