"""Generated traces are what they claim: their fault is in them at its cost, and they obey the laws of the machine."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest

from tests.evidence.simulator.faults.case import ALARMS, FAULTS, LEAST, MOST, Case, case, healthy
from tests.evidence.simulator.faults.plan import step_us
from tests.evidence.simulator.faults.recording import recorded
from tests.lanes import one_of_a_kind

Row = dict[str, Any]

LAUNCHES = re.compile(r"(cuda|hip)(LaunchKernel|ExtModuleLaunchKernel|Memcpy.*)$")
NAMES = [fault.name for fault in FAULTS]
EACH = pytest.mark.parametrize("name", one_of_a_kind(NAMES, *NAMES[::6]))


@cache
def one(name: str) -> Case:
    """A development case of each fault, not the one with which the faults were tried while they were written."""
    return case("development", NAMES.index(name) + 7 * len(FAULTS))


@cache
def well(number: int) -> Case:
    """A healthy development case."""
    return healthy("development", 30 + number)


def rows(data: bytes) -> list[Row]:
    """The complete rows of a trace."""
    return [row for row in json.loads(data)["traceEvents"] if row["ph"] == "X"]


def of(found: Iterable[Row], *categories: str) -> list[Row]:
    """The rows of some categories, in the order of time."""
    return sorted((row for row in found if row["cat"] in categories), key=lambda row: (row["ts"], -row["dur"]))


def names(found: Iterable[Row]) -> Counter[str]:
    """How often each name is there."""
    return Counter(row["name"] for row in found)


# --- laws -------------------------------------------------------------------------------------------


def assert_lawful(one: Case) -> None:
    """No stream overlaps itself; work follows its call, each call has its work; ranges and calls nest."""
    found = rows(one.trace)
    work, calls = of(found, "kernel", "gpu_memcpy"), of(found, "cuda_runtime")
    streams: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in work:
        streams[row["pid"], row["tid"]].append(row)
    for stream in streams.values():
        assert all(b["ts"] >= a["ts"] + a["dur"] - 0.002 for a, b in itertools.pairwise(stream))
    begun = {row["args"]["correlation"]: row for row in calls}
    carried = [row for row in work if row["args"]["correlation"] not in begun]
    assert not (carried and one.how.opened)
    for row in work:
        if (called := begun.get(row["args"]["correlation"])) is not None:
            assert row["ts"] - one.how.shift_ns / 1000 > called["ts"]
    submitted = [row["args"]["correlation"] for row in calls if LAUNCHES.match(row["name"])]
    assert sorted(submitted) == sorted(row["args"]["correlation"] for row in work if row not in carried)
    for _, thread in itertools.groupby(of_threads(found), key=lambda row: row["tid"]):
        assert no_overlap(list(thread))


def of_threads(found: list[Row]) -> list[Row]:
    """Ranges and calls, thread by thread."""
    return sorted(of(found, "cpu_op", "user_annotation", "cuda_runtime"), key=lambda row: row["tid"])


def no_overlap(found: list[Row]) -> bool:
    """Whether each row of a thread lies in the last one that is open, or after it; to the ns of the file."""
    open_until: list[float] = []
    for row in found:
        while open_until and open_until[-1] <= row["ts"] + 0.002:
            open_until.pop()
        if open_until and row["ts"] + row["dur"] > open_until[-1] + 0.002:
            return False
        open_until.append(row["ts"] + row["dur"])
    return True


@EACH
def test_a_faulty_trace_obeys_the_laws(name: str) -> None:
    """Of each fault, one trace: streams, causality less the clock's offset, conservation, nesting, and its size."""
    found = one(name)
    assert_lawful(found)
    assert 1_000 < found.trace.count(b"\n") < 25_000
    assert 3 <= found.how.steps <= 20


@pytest.mark.parametrize("number", range(6))
def test_a_healthy_trace_obeys_the_laws(number: int) -> None:
    """Six of them, of which two are small."""
    assert_lawful(well(number))


# --- costs ------------------------------------------------------------------------------------------


@EACH
def test_a_fault_costs_its_share(name: str) -> None:
    """The same script of the same seed without the fault is 15 to 60 % faster, as the machine executes both again."""
    found = one(name)
    on, off = (step_us(plan, found.name, found.how.steps) for plan in (found.on, found.off))
    assert (on, off) == (found.on_us, found.off_us)
    assert 1 - off / on >= LEAST
    assert 1 - off / on <= (MOST if found.fault.cost else 1)


@pytest.mark.parametrize("number", range(3))
def test_a_healthy_script_has_nothing_to_take_out(number: int) -> None:
    """It is its own script without a fault."""
    assert well(number).on == well(number).off


# --- signs ------------------------------------------------------------------------------------------

Sign = Callable[[Case, list[Row]], bool]


def many(name: str, times: float = 1.0) -> Sign:
    """A name that comes up more than ``times`` a step."""
    return lambda one, found: names(found)[name] > times * one.how.steps


def like(pattern: str, *categories: str) -> Sign:
    """Rows of some categories (none: kernels) whose names hold a pattern."""
    return lambda _, found: any(re.search(pattern, row["name"]) for row in of(found, *(categories or ("kernel",))))


def both(*signs: Sign) -> Sign:
    """All of them."""
    return lambda one, found: all(sign(one, found) for sign in signs)


def without(name: str) -> Sign:
    """A name that never comes up."""
    return lambda _, found: not names(found)[name]


def blocking(_: Case, found: list[Row]) -> bool:
    """Calls end after their kernels of 50 µs and more; the device's clock may be half a millisecond off."""
    begun = {row["args"]["correlation"]: row for row in of(found, "cuda_runtime")}
    long = [row for row in of(found, "kernel") if row["dur"] >= 50 and row["args"]["correlation"] in begun]
    ends = [(row, begun[row["args"]["correlation"]]) for row in long]
    late = sum(call["ts"] + call["dur"] > row["ts"] + row["dur"] - 500 for row, call in ends)
    return len(long) >= 20 and late > 0.9 * len(long)


def dominated(_: Case, found: list[Row]) -> bool:
    """One kernel holds half of all their time."""
    by_name: Counter[str] = Counter()
    for row in of(found, "kernel"):
        by_name[row["name"]] += round(1000 * row["dur"])
    return max(by_name.values(), default=0) > 0.5 * by_name.total()


def fetches(found: list[Row]) -> list[float]:
    """How long each fetch took."""
    return [row["dur"] for row in of(found, "user_annotation") if row["name"].startswith("enumerate(DataLoader)")]


def much_longer(waits: list[float]) -> list[int]:
    """The numbers of the fetches that took five times the median."""
    return [number for number, wait in enumerate(waits) if wait > 5 * sorted(waits)[len(waits) // 2]]


def slow_copies(_: Case, found: list[Row]) -> bool:
    """Pinned copies of 1 MB and more at less than 3 GB/s."""
    large = [row["args"]["memory bandwidth (GB/s)"] for row in of(found, "gpu_memcpy") if row["args"]["bytes"] > 1e6]
    return max(large, default=99) < 3


def small_kernels(one: Case, found: list[Row]) -> bool:
    """Dozens of kernels under 6 µs in a step, more than half of all."""
    kernels = of(found, "kernel")
    return len(kernels) > 20 * one.how.steps and sum(row["dur"] < 6 for row in kernels) > 0.5 * len(kernels)


def long_fetches(one: Case, found: list[Row]) -> bool:
    """Fetches together take a tenth of the steps and more."""
    return sum(fetches(found)) > 0.1 * one.on_us * one.how.steps


def long_pauses(one: Case, found: list[Row]) -> bool:
    """A tenth of the step and more passes at once, in which no operator, no call and no fetch is open."""
    until, longest = 0.0, 0.0
    for row in (row for row in of(found, "cpu_op", "cuda_runtime", "user_annotation") if "Step#" not in row["name"]):
        longest = max(longest, row["ts"] - until) if until else 0.0
        until = max(until, row["ts"] + row["dur"])
    return longest > 0.1 * one.on_us


def exchanged(one: Case, found: list[Row]) -> bool:
    """Collectives take a tenth of the steps and more."""
    spent = sum(row["dur"] for row in of(found, "kernel") if row["name"].startswith("nccl"))
    return spent > 0.1 * one.on_us * one.how.steps


def replicas(_: Case, found: list[Row]) -> bool:
    """The operators of DataParallel, and kernels on two devices."""
    wanted = {"Scatter", "Broadcast", "Gather", "ReduceAddCoalesced"}
    return wanted <= set(names(found)) and len({row["pid"] for row in of(found, "kernel")}) == 2


def heavy_on_host(one: Case, found: list[Row]) -> bool:
    """Products that take a twentieth of the step and call nothing."""
    calls = [row["ts"] for row in of(found, "cuda_runtime")]
    long = [row for row in of(found, "cpu_op") if row["dur"] > 0.05 * one.on_us and row["name"] in HEAVY]
    return any(not any(row["ts"] <= at < row["ts"] + row["dur"] for at in calls) for row in long)


SIGNS: dict[str, Sign] = {
    "launching": small_kernels,
    "python": long_pauses,
    "optimizer": many("aten::addcdiv_", 3),
    "ema": many("aten::lerp_", 3),
    "clip": many("aten::linalg_vector_norm", 3),
    "recompiling": like("compile_inner", "user_annotation"),
    "launch_blocking": blocking,
    "model_on_cpu": lambda _, found: not of(found, "kernel"),
    "gc_pause": like("^Python GC$", "python_function"),
    "periodic": lambda _, found: uneven_steps(found),
    "growth": lambda _, found: grows(found),
    "wait_item": many("aten::item"),
    "wait_if_tensor": many("aten::is_nonzero"),
    "wait_to_host": both(like("Memcpy DtoH", "gpu_memcpy"), without("aten::item")),
    "wait_tolist": both(like("Memcpy DtoH", "gpu_memcpy"), without("aten::item")),
    "wait_print": many("aten::item"),
    "wait_nonzero": both(many("aten::nonzero"), without("aten::index")),
    "wait_boolean_mask": both(many("aten::nonzero"), many("aten::index")),
    "wait_synchronize": lambda _, found: sum("DeviceSynchronize" in row["name"] for row in found) > 2,
    "grad_scaler": both(many("aten::item", 0.5), many("aten::_amp_update_scale_", 0.5)),
    "wait_to_device": like("Pageable -> Device|hipMemcpyWith", "gpu_memcpy", "cuda_runtime"),
    "empty_cache": lambda _, found: bursts(found) > 0,
    "allocation_retries": lambda _, found: retries(found) > 0,
    "no_caching_allocator": lambda one, found: calls_of(found, "Malloc") == calls_of(found, "Free") > 4 * one.how.steps,
    "loader_main_process": both(long_fetches, like("_SingleProcess", "user_annotation")),
    "loader_workers_slow": both(long_fetches, like("_MultiProcessing", "user_annotation")),
    "loader_restart": lambda _, found: len(much_longer(fetches(found))) >= 2,
    "loader_first_fetch": lambda _, found: much_longer(fetches(found)) == [0],
    "loader_row_by_row": many("aten::select", 3),
    "slow_link": slow_copies,
    "partly_on_cpu": heavy_on_host,
    "float64": like(r"dgemm|d884gemm|f64f64|double|_DB_"),
    "fp32_products": like(r"ampere_sgemm|f32f32_f32f32_f32"),
    "layout_conversion": like(r"nchwToNhwc|batched_transpose"),
    "dominant_kernel": dominated,
    "communication": exchanged,
    "data_parallel": replicas,
}
HEAVY = {"aten::mm", "aten::addmm", "aten::mkldnn_convolution"}


def per_step(found: list[Row]) -> list[int]:
    """How many rows start between one end of the optimizer's step and the next."""
    edges = [row["ts"] for row in of(found, "user_annotation") if row["name"].startswith("Optimizer.step")]
    inner = of(found, "cpu_op")
    return [sum(a <= row["ts"] < b for row in inner) for a, b in itertools.pairwise(edges)]


def uneven_steps(found: list[Row]) -> bool:
    """Some steps have more operators than the rest, at one distance; a checkpoint is one copy more."""
    counts = per_step(found)
    more = [number for number, count in enumerate(counts) if count > min(counts)]
    return bool(more) and len({b - a for a, b in itertools.pairwise(more)}) <= 1


def grows(found: list[Row]) -> bool:
    """Each step has at least as many operators as the one before, the last more than the first."""
    counts = per_step(found)
    return all(a <= b for a, b in itertools.pairwise(counts)) and counts[-1] > counts[0]


def calls_of(found: list[Row], word: str) -> int:
    """How many runtime calls there are of the allocator's ``word``."""
    return sum(row["name"].endswith(word) for row in of(found, "cuda_runtime"))


def bursts(found: list[Row]) -> int:
    """How often five frees and more follow one another outside of all operators."""
    inside = [(row["ts"], row["ts"] + row["dur"]) for row in of(found, "cpu_op")]
    outside = [
        "F" if row["name"].endswith("Free") and not any(a <= row["ts"] < b for a, b in inside) else "."
        for row in of(found, "cuda_runtime")
    ]
    return len(re.findall("F{5,}", "".join(outside)))


def retries(found: list[Row]) -> int:
    """How often memory is asked for, given back and asked for again."""
    letters = {"Malloc": "M", "MemFree": "F", "Free": "F"}
    calls = [next((m for w, m in letters.items() if row["name"].endswith(w)), ".") for row in of(found, "cuda_runtime")]
    return len(re.findall("MF{3,}M", "".join(calls)))


@EACH
def test_a_fault_is_in_its_trace_and_not_in_the_one_without_it(name: str) -> None:
    """What the catalogue says of the cause is seen where the fault is, and gone with it."""
    found = one(name)
    assert SIGNS[name](found, rows(found.trace))
    assert not SIGNS[name](found, rows(recorded(found.off, found.fault, found.how, found.name)))


@pytest.mark.parametrize("number", range(6))
def test_a_healthy_trace_shows_no_sign_of_a_fault(number: int) -> None:
    """None; where the training is small, its kernels are too, and they may be float32."""
    found = well(number)
    traced = rows(found.trace)
    seen = {name for name, sign in SIGNS.items() if sign(found, traced)}
    assert seen <= ({"launching", "fp32_products"} if "launching" in found.truth.first else set())


# --- recordings and truths --------------------------------------------------------------------------


@pytest.mark.full
def test_recordings_differ_in_what_they_hold() -> None:
    """With and without stacks, shapes, marks and rows of waits; NVIDIA's and AMD's; one says what it left out."""
    traces = [one(name) for name in NAMES]
    for what in ("stacks", "shapes", "marks", "sync_rows", "opened"):
        assert {getattr(each.how, what) for each in traces} == {True, False}
    found = {each.name: rows(each.trace) for each in traces}
    for each in traces:
        marks = sum(row["name"].startswith("ProfilerStep#") for row in of(found[each.name], "user_annotation"))
        assert marks == (each.how.steps if each.how.marks else 0)
        assert bool(of(found[each.name], "python_function")) is each.how.stacks
        assert any(row["name"].startswith("hip") for row in found[each.name]) is (
            each.on.card.rocm and bool(of(found[each.name], "cuda_runtime"))
        )
    assert {each.on.card.rocm for each in traces} == {True, False}


@EACH
def test_a_truth_does_not_contradict_itself(name: str) -> None:
    """The fault's own name is right, no name is right and impossible, and there is a verdict where one is asked for."""
    truth = one(name).truth
    assert name in truth.first
    assert not truth.first & truth.never
    assert truth.never <= ALARMS
    assert (truth.verdict is None) is not one(name).fault.judged
    assert truth.verdict is None or truth.verdict


def test_a_seed_says_everything_and_splits_share_nothing() -> None:
    """The same number gives the same bytes; the other split gives others."""
    first, again, held_out = case("development", 11), case("development", 11), case("held-out", 11)
    assert first.trace == again.trace
    assert first.truth == again.truth
    assert held_out.fault.name == first.fault.name
    assert (held_out.name, held_out.trace) != (first.name, first.trace)


def test_a_busy_gpu_is_the_limit_and_a_small_training_is_not() -> None:
    """Two in three healthy trainings are compute-bound, the third is launch-bound: the machine itself says so."""
    assert [sorted(well(number).truth.verdict or ()) for number in range(3)] == [
        ["compute-bound"], ["compute-bound"], ["launch-bound"],
    ]  # fmt: skip
