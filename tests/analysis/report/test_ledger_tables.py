"""The ledger in words: the sentence about the largest wait, and tables that say where without claiming a line."""

import msgspec
import pytest

from stallscope.analysis.contract.summary import SyncSite
from stallscope.analysis.report import ledger_tables
from stallscope.analysis.summary import summarize
from tests.analysis.synthetic import three_steps
from tests.builders import TraceBuilder
from tests.real import real


def test_the_sentence_about_the_largest_wait():
    """Who blocks, how long of which step, how long the GPU idles after it, and whether there was work to wait for."""
    assert ledger_tables.headline(summarize(three_steps().trace())) == (
        ".item() (aten::item < aten::_local_scalar_dense) blocks the CPU 243 µs of your 1.00 ms step and leaves the "
        "GPU idle 216 µs. It waits for work that the GPU still has before it, 240 µs of it (median)."
    )


@pytest.mark.parametrize(
    ("place", "begins"),
    [
        ({"call_site": "train.py:47"}, "train.py:47 .item() blocks"),
        (
            {"function": "helper (train.py:6)"},
            ".item() (aten::item < aten::_local_scalar_dense) in helper (train.py:6 defines it) blocks",
        ),
        ({"module": "Linear_3"}, ".item() (aten::item < aten::_local_scalar_dense) in Linear_3 blocks"),
        ({"operator": "my::op"}, "my::op blocks"),
        ({"operator": None}, "cudaStreamSynchronize blocks"),
    ],
)
def test_the_place_in_the_sentence(place, begins):
    """A line where the trace has one; else the function with the line that defines it, the module, the operator."""
    summary = summarize(three_steps().trace())
    changed = msgspec.structs.replace(summary.sync_sites[0], **place)
    assert ledger_tables.headline(msgspec.structs.replace(summary, sync_sites=[changed])).startswith(begins)


def test_a_drained_queue_is_said():
    """Where the GPU was done before the call came, the sentence says that the call costs little more than itself."""
    builder = TraceBuilder().step(0, 1000).op("aten::item", 490, 40).launch(0, 1, kernel=("k", 5, 15))
    summary = summarize(builder.sync(500, 20, name="cudaStreamSynchronize").trace())
    assert "Mostly the GPU had no work left when it came" in ledger_tables.headline(summary)


@pytest.mark.parametrize("times", [1, 10])
def test_a_large_copy_costs_more_than_its_call(times):
    """A pageable download that comes to an empty queue lasts as long as its copying, 180 µs or ten times that."""
    builder = TraceBuilder().step(0, 1000 * times).launch(0, 1, kernel=("k", 5, 15))
    builder.op("aten::copy_", 490, 200 * times)
    builder.memcpy(500, 185 * times, copy=("Memcpy DtoH (Device -> Pageable)", 503, 180 * times), nbytes=10**6)
    said = ledger_tables.headline(summarize(builder.trace()))
    assert "the copy itself takes the time, 1" in said
    assert "little more than the call" not in said


def test_waits_below_one_percent_get_no_sentence():
    """9 of 1000 µs are not worth one; nor is the profiler's own synchronize."""
    small = TraceBuilder().step(0, 1000).op("x", 1, 30).sync(2, 9)
    own = TraceBuilder().op("x", 0, 10).launch(2, 3, kernel=("k", 20, 10)).sync(40, 50)
    assert [ledger_tables.headline(summarize(builder.trace())) for builder in (small, own)] == ["", ""]


def test_why_the_gpu_idles_most_time_first():
    """The table of the cross-check trace: five causes, 698 µs in all."""
    assert ledger_tables.idle(summarize(three_steps().trace())).rows == [
        ("Python between the operators", "594 µs", "59 %"),
        ("a copy being started, or done by the CPU", "45.0 µs", "4 %"),
        ("a launch on its way to the GPU", "43.0 µs", "4 %"),
        ("PyTorch operators at work on the CPU", "13.0 µs", "1 %"),
        ("the CPU returns from waiting for the GPU", "3.00 µs", "0.3 %"),
    ]


def test_a_full_queue_is_one_row(real_traces):
    """The many places whose launches wait for room are added up: 257 launches a step, 48 ms."""
    summary = real(next(real_traces.glob("v100/ns_resolution*"))).summary
    assert ledger_tables.sites(summary).rows == [("(queue of the GPU full)", "launch", "257", "48.3 ms", "-")]
    rows = {row[0].strip(): row[1:] for row in ledger_tables.launches(summary).rows}
    assert rows["launches queued at the GPU, at most"] == ("1021", "")
    assert rows["calls that waited for room in the full queue"] == ("257", "47.1 ms")


def test_each_line_that_would_wait_has_its_advice():
    """unique() has advice of its own; a second nonzero() points to the first, whose advice it shares."""
    rows = [
        SyncSite(call_site=f"t.py:{line}", operator=None, api=None, module=None, calls_per_step=1.0,
                 blocked_us_per_step=0.0, idle_after_us_per_step=None, called=called, note="would synchronize on a GPU",
                 seen_in_steps=5)
        for line, called in ((1, "nonzero"), (2, "unique"), (3, "nonzero"))
    ]  # fmt: skip
    bare = summarize(TraceBuilder(gpu=None).op("a", 0, 5).trace())
    told = ledger_tables.would_wait(msgspec.structs.replace(bare, sync_sites=rows))
    waits = "would synchronize on a GPU."
    first, second, third = told
    assert first.startswith(f"t.py:1 .nonzero(): {waits} Keep sizes fixed: torch.where(condition, x, y)")
    assert second.startswith(f"t.py:2 .unique(): {waits} Take it once, before the loop; or count on the GPU")
    assert third == f"t.py:3 .nonzero(): {waits} Advice as for t.py:1."


def test_all_lines_that_would_wait_are_named():
    """Of fourteen the first ten with advice, the other four by line and call."""
    rows = [
        SyncSite(call_site=f"t.py:{line}", operator=None, api=None, module=None, calls_per_step=1.0,
                 blocked_us_per_step=0.0, idle_after_us_per_step=None, called="item", note="would synchronize on a GPU",
                 seen_in_steps=5)
        for line in range(1, 15)
    ]  # fmt: skip
    bare = summarize(TraceBuilder(gpu=None).op("a", 0, 5).trace())
    told = ledger_tables.would_wait(msgspec.structs.replace(bare, sync_sites=rows))
    assert told[-1] == "Likewise: t.py:11 .item(), t.py:12 .item(), t.py:13 .item(), t.py:14 .item()."


def test_what_a_sequential_numbers_is_named_by_its_class():
    """Three Linears and a ReLU at the top, five blocks below: no bare "*", and no row that could hold nothing."""
    from stallscope.analysis.contract.rows import ModuleRow
    from stallscope.analysis.report.tables import tables

    names = {"0": "Linear", "2": "Linear", "4": "Linear", "1": "ReLU", **{f"net.{i}": "Block" for i in range(5)}}
    rows = [
        ModuleRow(**dict.fromkeys(ModuleRow.__struct_fields__) | {
            "name": name, "type": kind, "calls_per_step": 1.0, "host_us_per_step": 1.0, "host_self_us_per_step": 1.0})
        for name, kind in (*names.items(), ("(no module)", None))
    ]  # fmt: skip
    summary = msgspec.structs.replace(summarize(TraceBuilder(gpu=None).op("a", 0, 5).trace()), modules=rows)
    (table,) = (each for each in tables(summary).values() if each.title.startswith("Top modules"))
    assert table.rows == [("net.* Block (5 of them)", "5.00 µs"), ("Linear 0, 2, 4", "3.00 µs"), ("ReLU 1", "1.00 µs")]


@pytest.mark.parametrize(("last", "says"), [(1000, "per step"), (9000, "per step, over all 6 steps")])
def test_a_table_of_all_steps_says_so_where_some_do_not_count(last, says):
    """Six steps, the last nine times as long: its waits are in the table, its time is not in the step."""
    builder = TraceBuilder()
    for number in range(6):
        at = 1000 * number
        builder.step(at, last if number == 5 else 1000).launch(at + 10, 5, kernel=("k", at + 20, 100))
        builder.sync(at + 30, 95)
    assert ledger_tables.sites(summarize(builder.trace())).title == f"Where the CPU waits, {says}"
