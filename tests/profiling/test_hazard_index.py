"""Where each hazard of recording is tested: what a script, its machine or its end can do to us, and we to it.

| # | hazard | what must hold |
|---|---|---|
| G1 | the script raises, calls sys.exit, gets Ctrl-C | exit code and traceback are the script's; closed windows stay |
| G2 | SIGTERM | no handler of ours: the process ends by it as under plain python; closed windows stay |
| G3 | os._exit, SIGKILL | closed windows are readable, the manifest says "incomplete" |
| G4 | the script has a profiler of its own | ours gives way, both keep their results |
| G5 | emit_nvtx, emit_itt, a device interface in use | ours gives way, or records the host alone, and says so |
| G6 | cProfile, sys.setprofile | both count the same; our steps do not depend on it |
| G7 | os.fork | the child is not recorded, and ends with its own exit code |
| G8 | processes, DataLoader workers, torchrun | left alone and listed; ranks recorded each |
| G9 | a bug of ours | switched off, said once; the script goes on |
| G10 | torch.compile | as many graphs, no break, no warning |
| G11 | backward hooks | never installed |
| G12 | numerics, random state, memory | bit-equal |
| G13 | names with quotes, controls, foreign letters | the trace is mended and said so; any JSON reader opens it |
| G14 | full disk, missing or read-only folder | asked before recording; closed windows stay; one sentence |
| G15 | two runs of one name | never mixed |
| G16 | a huge window | as many steps as asked for, or as fit; the pause at its end is stated |
| G17 | no GPU, an older torch | what is there is used |
| G18 | another thread, a thread that ends | stopped where it was started |
| G19 | an endless script, never a step | nothing recorded (no timed window, see docs/recording.md), a sentence |
| G20 | recording distorts | times are taken without it, after warm-up |
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.lanes import in_short

HERE = Path(__file__).parent
ROWS = re.findall(r"^\| (G\d+) \|", __doc__, re.MULTILINE)

INDEX = {
    "G1": [
        "test_running_as_python.py::test_endings",
        "test_running_as_python.py::test_ctrl_c_after_the_script",
        "test_signals.py::test_ctrl_c_in_each_window",
        "test_hazards.py::test_exception_and_exit_code_in_the_loop",
    ],
    "G2": [
        "test_signals.py::test_sigterm_in_each_window",
        "test_signals.py::test_a_handler_of_the_script_is_left_alone",
        "test_signals.py::test_signals_are_pythons_own",
        "test_signals.py::test_a_script_that_is_in_a_call_that_does_not_return",
        "test_ranks.py::test_a_failing_rank_does_not_cost_the_others_their_traces",
    ],
    "G3": [
        "test_hazards_more.py::test_a_process_that_ends_without_a_word",
        "test_export.py::test_at_each_moment_the_manifest_names_a_trace_that_is_there",
    ],
    "G4": [
        "test_hazards.py::test_a_profiler_of_the_script",
        "test_hazards.py::test_a_profiler_of_the_script_that_is_there_to_the_end",
        "test_capture.py::test_a_stolen_recording_is_not_exported",
        "test_capture.py::test_a_profiler_on_another_thread_finds_no_recording",
        "test_hazards.py::test_a_profiler_on_another_thread_while_a_step_takes_long",
    ],
    "G5": [
        "test_hazards_more.py::test_other_profilers_see_the_same",
        "test_hazards_more.py::test_steps_are_found_beside_other_profilers",
        "test_recorder.py::test_a_device_interface_that_somebody_holds",
        "test_recorder.py::test_a_profiler_that_does_not_start_at_all",
    ],
    "G6": [
        "test_hazards_more.py::test_other_profilers_see_the_same",
        "test_hazards_more.py::test_steps_are_found_beside_other_profilers",
        "test_recorder.py::test_stacks_that_cannot_be_recorded_are_said",
    ],
    "G7": ["test_hazards.py::test_forked_and_spawned_children_are_left_alone"],
    "G8": [
        "test_children.py::test_processes_of_a_script",
        "test_ranks.py::test_all_ranks_write_into_one_folder",
        "test_ranks.py::test_a_failing_rank_that_another_waits_for_in_a_collective",
    ],
    "G9": [
        "test_block.py::test_a_recording_that_fails_does_not_stop_the_program",
        "test_own_failures.py::test_a_bug_of_ours_is_switched_off_and_said_once",
    ],
    "G10": [
        "test_hazards.py::test_compiled_models_compile_as_often_as_without_us",
        "test_block.py::test_compiled_code_is_not_compiled_again_by_a_block",
        "test_glance.py::test_the_script_notices_nothing",
    ],
    "G11": ["test_hazards_more.py::test_backward_hooks_are_never_installed"],
    "G12": [
        "test_bit_equal.py::test_the_same_bits",
        "test_bit_equal.py::test_the_same_bits_on_the_command_line",
        "test_ranks.py::test_output_is_as_without_us",
    ],
    "G13": [
        "test_hazards_more.py::test_names_that_break_a_trace_are_mended",
        "test_hazards_more.py::test_names_that_break_a_trace_do_not_break_the_summary",
    ],
    "G14": [
        "test_hazards.py::test_a_full_disk",
        "test_hazards.py::test_a_log_folder_that_cannot_be_made",
        "test_export.py::test_a_trace_that_cannot_be_compressed_is_kept_as_it_is",
        "test_survival.py::test_the_script_does_not_notice",
        "test_survival.py::test_what_was_closed_before_the_disk_was_full_is_there",
        "test_survival.py::test_a_log_folder_that_is_missing_or_read_only",
        "test_disk.py::test_a_disk_that_is_full_from_the_start",
        "test_disk.py::test_a_disk_that_takes_nothing_more_after_the_short_round",
        "test_disk.py::test_a_disk_that_fills_up_while_a_window_is_recorded",
        "test_disk.py::test_a_disk_that_is_read_only",
        "test_capture_room.py::test_without_room_nothing_more_is_recorded",
    ],
    "G15": [
        "test_hazards.py::test_runs_are_never_mixed",
        "test_sharing.py::test_two_launches_and_a_single_process_at_once",
    ],
    "G16": [
        "test_capture.py::test_the_timing_window_is_as_long_as_asked_for",
        "test_capture_room.py::test_a_window_holds_as_many_steps_as_fit",
        "test_hazards.py::test_iris",
    ],
    "G17": [
        "test_hazards_more.py::test_an_older_torch_records_with_what_it_has",
        "test_hazards_more.py::test_without_a_gpu_or_its_interface_the_host_is_recorded",
    ],
    "G18": ["test_hazards.py::test_training_in_a_second_thread", "test_capture.py::test_only_one_thread_is_followed"],
    "G19": ["test_hazards_more.py::test_an_endless_script_without_a_step"],
    "G20": ["test_capture.py::test_the_rounds_of_a_long_run", "test_hazards.py::test_iris"],
}


def test_every_hazard_is_claimed():
    """G1 to G20 each have a row in the table and at least one test."""
    assert [f"G{number}" for number in range(1, 21)] == ROWS == list(INDEX)
    assert all(INDEX.values())


@pytest.mark.parametrize("claim", sorted({claim for claims in INDEX.values() for claim in claims}))
def test_the_tests_that_are_named_exist(claim):
    """Each test that the index names is a function of that file, and says what must hold."""
    name, _, function = claim.partition("::")
    tree = ast.parse(next(HERE.rglob(name)).read_text(encoding="utf-8"))
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    assert ast.get_docstring(found)


def test_every_hazard_is_shown_in_the_short_lane(request):
    """`make test` leaves many scripts to `make test-all`, but runs at least one test of each hazard."""
    here = [item for item in request.session.items if HERE in item.path.parents]
    if len({item.path for item in here}) < len(list(HERE.rglob("test_*.py"))):
        pytest.skip("looks at the tests that were collected: run all of tests/profiling")
    short = {f"{item.path.name}::{item.originalname}" for item in here if in_short(item)}
    assert [row for row, claims in INDEX.items() if not short & set(claims)] == []
