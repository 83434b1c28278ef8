"""Variants of a training run in turn, each in a fresh process under the recorder: what ``ab`` looks at.

Nothing of the user's is touched: revisions are checked out into git worktrees of our own, which go again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import numpy as np

from stallscope import api
from stallscope.analysis.ab.judge import Plan, Seen, differences, judged
from stallscope.analysis.ab.statistics import ALPHA, decide, interval, run_in_turn, spent
from stallscope.analysis.check.counts import find_counts
from stallscope.analysis.check.figures import without_allowed
from stallscope.analysis.contract.ab import Ab, AbForecast, AbRun
from stallscope.analysis.units import microseconds
from stallscope.traces.model.errors import BadInput, StallscopeError
from stallscope.traces.model.manifest import Manifest
from stallscope.traces.runs.runs import load_manifests

COUNTED: Final = ("launches", "waits", "reads", "pageable_copies", "allocations", "graph_captures", "operators")
TAIL: Final = 300  # characters of a failed script's last words
FEWEST_STEPS: Final = 5
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run the training. ``words``: as after ``python``."""

    label: str
    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = field(default_factory=Path.cwd)

    @property
    def command(self) -> str:
        """As one would type it."""
        told = [f"{name}={value}" for name, value in self.environment.items()]
        return " ".join([*told, *map(shlex.quote, self.words)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be run, and when to stop."""

    variants: tuple[Variant, ...]
    most: int = 20  # rounds
    fixed: bool = False  # all rounds, one look at the end
    max_time_s: float | None = None
    least: float = 0.01
    steps: int | None = None
    noise: bool = False
    same_result: str | None = None  # "loss", or a file that the script writes
    tolerance: float = 1e-3  # of the loss
    timeout_s: float | None = None  # of one run
    seed: int = 1
    logdir: Path = Path("runs")


def words_of(command: str) -> tuple[str, ...]:
    """A command as the words after ``python``.

    Raises:
        BadInput: there is no script in it.
    """
    words = shlex.split(command, posix=os.name == "posix")
    if words and Path(words[0]).stem in ("python", "python3"):
        words = words[1:]
    if not words:
        raise BadInput("a variant names no script; write it as after python: 'train.py --lr 0.1'")
    return tuple(words)


def run_all(asked: Asked, say: Callable[[str], None]) -> Ab:
    """Run until it is decided, or the rounds or the time are up, or Ctrl-C; what there is by then is judged.

    Raises:
        BadInput: a variant fails, hangs, records no step or cannot be written.
    """
    plan = Plan(
        labels=tuple(each.label for each in asked.variants),
        commands=tuple(each.command for each in asked.variants),
        most=asked.most, least=asked.least, seed=asked.seed, noise=asked.noise,
    )  # fmt: skip
    seen, folder, began = Seen(), asked.logdir / f"ab-{time.time_ns()}", time.monotonic()
    stopped, alpha = "rounds", ALPHA if asked.fixed else spent(asked.most, asked.most)
    try:
        for block in _blocks(asked, seen, folder, say):
            level = 0.0 if asked.fixed or block + 1 == asked.most else spent(block + 1, asked.most)
            if level and _decided(asked, seen, level):
                stopped, alpha = "decided", level
                break
            if block + 1 < asked.most and _time_is_up(asked, seen, began):
                stopped = "time"
                break
    except KeyboardInterrupt:
        if len({run.block for run in seen.runs}) < 2:  # noqa: PLR2004 - nothing can be said of one round
            raise
        stopped = "interrupted"
    _count(asked, seen)
    return judged(plan, seen, stopped, alpha)


def _blocks(asked: Asked, seen: Seen, folder: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Run block after block; each number when its runs have ended."""
    random, order = np.random.default_rng(asked.seed), None
    results: dict[int, object] = {}
    for block in range(asked.most):
        began = time.monotonic()
        order = run_in_turn(len(asked.variants), block, random, order)
        for arm in order:
            run, result = _run(asked, arm, block, folder)
            seen.runs.append(run)
            if asked.same_result is not None and block == 0:
                results[arm] = result
        if block == 0 and asked.same_result is not None:
            seen.equal_results = {arm: _equal(results[0], each, asked) for arm, each in results.items() if arm}
        say(_progress(asked, seen, block, time.monotonic() - began))
        yield block


def _progress(asked: Asked, seen: Seen, block: int, seconds: float) -> str:
    now = [run for run in seen.runs if run.block == block]
    told = ", ".join(f"{chr(65 + run.arm)} {microseconds(run.step_us)}" for run in sorted(now, key=lambda r: r.arm))
    left = (asked.most - block - 1) * seconds
    return f"round {block + 1} of {'' if asked.fixed else 'at most '}{asked.most}: {told}; {left:.0f} s to go" + (
        "" if asked.fixed else " at most"
    )


def _decided(asked: Asked, seen: Seen, level: float) -> bool:
    found = [interval(differences(seen.runs, arm), level) for arm in range(1, len(asked.variants))]
    return all(decide(each, asked.least) != "cannot tell" for each in found)


def _time_is_up(asked: Asked, seen: Seen, began: float) -> bool:
    """Whether one more round would pass the time given."""
    if asked.max_time_s is None:
        return False
    spent_s = time.monotonic() - began
    rounds = len({run.block for run in seen.runs})
    return spent_s + spent_s / rounds > asked.max_time_s


# -- one run ------------------------------------------------------------------------------------------------------


def _run(asked: Asked, arm: int, block: int, folder: Path) -> tuple[AbRun, object]:
    """Record one run; (its step, what its result is: bytes of the file, or the last number that it printed)."""
    variant, name = asked.variants[arm], f"{chr(97 + arm)}-{block + 1:02d}"
    options = ["--no-summary", "--logdir", str(folder.resolve()), "--name", name]
    options += [] if block == 0 else ["--no-attribution"]
    options += [] if asked.steps is None else ["--steps", str(asked.steps)]
    command = [sys.executable, "-m", "stallscope", "profile", *options, *variant.words]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        environment = {**os.environ, **variant.environment}
        started = subprocess.Popen(command, cwd=variant.cwd, env=environment, stdout=out, stderr=err)  # noqa: S603
        try:
            code = started.wait(asked.timeout_s)
        except subprocess.TimeoutExpired as error:
            _end(started)
            said = f"{chr(65 + arm)} did not end within {asked.timeout_s:g} s (--timeout): {variant.command}"
            raise BadInput(said) from error
        except KeyboardInterrupt:
            _end(started)
            raise
        printed, words = _text(out), _text(err)
    if code:
        raise BadInput(f"{chr(65 + arm)} ended with exit code {code}: {variant.command}: {_last(words)}")
    manifest = _manifest(folder / name, variant, words)
    step_us, slowed = _step(manifest, variant)
    result: object = None
    if asked.same_result is not None and block == 0:
        result = _loss(printed, variant) if asked.same_result == "loss" else _content(variant, asked.same_result)
    return AbRun(arm=arm, block=block, step_us=step_us, slowed_by=slowed, path=str(folder / name)), result


def _end(started: subprocess.Popen[bytes]) -> None:
    started.terminate()
    try:
        started.wait(5)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _last(words: str) -> str:
    """The end of what a script said on stderr."""
    lines = [line.strip() for line in words.splitlines() if line.strip() and not line.startswith("stallscope:")]
    return lines[-1][-TAIL:] if lines else "it said nothing"


def _manifest(path: Path, variant: Variant, words: str) -> Manifest:
    manifests, _ = load_manifests(path) if path.is_dir() else ({}, ())
    if not manifests:
        raise BadInput(f"nothing was recorded of {variant.command}: {_last(words)}")
    return min(manifests.values(), key=lambda each: each.rank)


def _step(manifest: Manifest, variant: Variant) -> tuple[float, list[str]]:
    """(the step without the profiler, µs; what held a GPU back meanwhile), of the longest unprofiled window.

    Its time is from the device synchronized at its start to the device synchronized at its end, ÷ steps.
    """
    windows = [each for each in manifest.windows if each.kind == "unprofiled" and each.steps > 0]
    longest = max(windows, key=lambda each: each.steps, default=None)
    if longest is None or longest.steps < FEWEST_STEPS:
        raise BadInput(f"too few steps without the profiler in {variant.command}; let it train longer")
    states = [state for state in (longest.gpu_at_open, longest.gpu_at_close) if state is not None]
    slowed = sorted({reason for state in states for reason in state.slowed_by})
    return longest.duration_ns / (1000 * longest.steps), slowed


def _loss(printed: str, variant: Variant) -> float:
    numbers = _NUMBER.findall(printed)
    if not numbers:
        raise BadInput(f"--same-result loss: {variant.command} prints no number; print the loss last")
    return float(numbers[-1])


def _content(variant: Variant, name: str) -> bytes:
    try:
        return (variant.cwd / name).read_bytes()
    except OSError as error:
        raise BadInput(f"--same-result {name}: {variant.command} left no such file ({error.strerror})") from error


def _equal(first: object, other: object, asked: Asked) -> bool:
    if isinstance(first, float) and isinstance(other, float):
        return abs(first - other) <= asked.tolerance * max(abs(first), abs(other))
    return first == other


# -- what needs no repetition -----------------------------------------------------------------------------------------


def _count(asked: Asked, seen: Seen) -> None:
    """Count what the first run of each variant does in a step, and score forecasts that were made on A."""
    first = {run.arm: Path(run.path) for run in seen.runs if run.block == 0}
    for arm, path in first.items():
        try:
            _, stages, manifest = next(iter(api.stages_of_ranks(path)))
            counted = without_allowed(find_counts(stages, manifest), [])
        except StallscopeError as error:
            seen.notes.append(f"{chr(65 + arm)}: its first run could not be counted ({error}).")
            continue
        figures = {name: counted.figure(name, "median") for name in COUNTED}
        seen.counts[arm] = {
            name: each.low for name, each in figures.items() if each.low is not None and each.low == each.high
        }
    for arm in range(1, len(asked.variants)):
        if 0 in first and arm in first and not asked.noise:
            with contextlib.suppress(StallscopeError):
                seen.forecasts[arm] = _forecasts(first[0], first[arm])


def _forecasts(before: Path, after: Path) -> list[AbForecast]:
    return [
        AbForecast(
            fix=each.fix, predicted_us=each.predicted_us.expected, low_us=each.predicted_us.low,
            high_us=each.predicted_us.high, measured_us=each.measured_us,
        )
        for each in api.compare([before], [after]).forecasts
        if each.predicted_us is not None and each.measured_us is not None
    ]  # fmt: skip


# -- variants -------------------------------------------------------------------------------------------------------


def by_parameter(name: str, values: Sequence[str], template: str) -> list[Variant]:
    """A variant for each value of ``{name}`` in the command.

    Raises:
        BadInput: the command does not hold it, or there are fewer than two values.
    """
    hole = f"{{{name}}}"
    if hole not in template:
        raise BadInput(f"-L {name}: the command has no {hole}; write it where the value goes")
    if len(values) < 2:  # noqa: PLR2004
        raise BadInput(f"-L {name}: give two values at least, as in -L {name} 0,1")
    return [Variant(label=f"{name}={value}", words=words_of(template.replace(hole, value))) for value in values]


@contextlib.contextmanager
def worktrees(revisions: Sequence[str], command: str) -> Iterator[list[Variant]]:
    """A variant for each revision, in a worktree of its own below a temporary folder; all gone afterwards.

    Raises:
        BadInput: this is no git repository, or there is no such revision.
    """
    top = Path(_git("rev-parse", "--show-toplevel", why="--rev needs a git repository"))
    within = Path.cwd().resolve().relative_to(top.resolve())
    with tempfile.TemporaryDirectory(prefix="stallscope-ab-") as folder:
        made: list[Path] = []
        try:
            variants = []
            for number, revision in enumerate(revisions):
                named = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", why=f"--rev {revision}")
                path = Path(folder) / str(number)
                _git("worktree", "add", "--detach", "--quiet", str(path), named, why=f"--rev {revision}")
                made.append(path)
                if not (path / within).is_dir():
                    raise BadInput(f"--rev {revision}: has no folder {within}; start from one that both have")
                label = f"{revision} ({named[:10]})"
                variants.append(Variant(label=label, words=words_of(command), cwd=path / within))
            yield variants
        finally:
            for path in made:
                with contextlib.suppress(BadInput):
                    _git("worktree", "remove", "--force", str(path), why="cleaning up")


def has_changes() -> bool:
    """Whether the working tree differs from HEAD in files that git follows."""
    return bool(_git("status", "--porcelain", "--untracked-files=no", why="--rev"))


def _git(*words: str, why: str) -> str:
    try:
        ended = subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError as error:
        raise BadInput(f"{why}: git cannot be started ({error.strerror}); install it") from error
    if ended.returncode:
        said = " ".join(ended.stderr.split()) or "no such revision; git log --oneline shows them"
        raise BadInput(f"{why}: {said}")
    return ended.stdout.strip()
