"""Torch's validator rules: each broken once, and the same counts as torch's on every trace."""

from collections import Counter

import pytest

from stallscope.traces.describe.details import read_details
from stallscope.traces.describe.validate import validate
from tests.builders import TraceBuilder
from tests.real import every_real_trace

COLLECTIVE = {"Collective name": "a", "dtype": "Half", "In msg nelems": 1, "Out msg nelems": 1, "Group size": 2}
WAIT = "wait_on_cuda_event_record_corr_id"


def row(category, name, start, duration=1, **args):
    """A trace with one more row; underscores in argument names stand for blanks where torch has them."""
    return {"cat": category, "name": name, "start": start, "duration": duration, **args}


def launch(start, external):
    """A launch under an external id."""
    return row("cuda_runtime", "cudaLaunchKernel", start, **{"External id": external})


def kernel(start, external=None, duration=1, **args):
    """A kernel on device 0, stream 7."""
    return row("kernel", "k", start, duration, **{"External id": external, "device": 0, "stream": 7, **args})


def wait(kind, start, record=None, **args):
    """A recorded wait on device 0, stream 7."""
    told = {} if record is None else {WAIT: record}
    return row("cuda_sync", kind, start, cuda_sync_kind=kind, device=0, stream=7, **told, **args)


def backward(name, sequence):
    """A backward node."""
    return row("cpu_op", f"autograd::engine::evaluate_function: {name}", 1, **{"Sequence number": sequence})


CASES = {
    "gpu_kernel_causality": (
        [
            launch(10, 1),
            kernel(9, 1),
            launch(10, 2),
            kernel(10, 2),
            kernel(3, 3),
            launch(9, 4),
            launch(1, 4),
            kernel(5, 4),
        ],
        1,
    ),
    "stream_wait_corr_id_populated": (
        [wait("Stream Wait Event", 5), wait("Event Sync", 5, -1), wait("Event Sync", 5, 3), wait("Stream Sync", 5)],
        2,
    ),
    "stream_sync_overlap": (
        [
            kernel(1, duration=8),
            kernel(5),
            wait("Stream Sync", 5),
            kernel(1, duration=9, stream=8),
            kernel(3, duration=2),
        ],
        1,
    ),
    "stream_wait_corr_id_in_past": (
        [
            row("cuda_runtime", "cudaEventRecord", 6, correlation=3),
            row("cuda_driver", "cudaEventRecordWithFlags", 5, **{"External id": 4}),
            *(wait("Stream Wait Event", 5, record) for record in (3, 4, 9, -1)),
        ],
        2,
    ),
    "nccl_metadata": (
        [
            row("cpu_op", "record_param_comms", 1, **COLLECTIVE),
            row("cpu_op", "record_param_comms", 1, **{**COLLECTIVE, "dtype": None}),
            row("cpu_op", "record_param_comms", 1, **{k: v for k, v in COLLECTIVE.items() if k != "dtype"}),
        ],
        1,
    ),
    "backward_seq_id_uniqueness": (
        [backward("A", 1), backward("B", 1), backward("A", 2), backward("A", 2), backward("A", None), backward("B", 0)],
        1,
    ),
}


def written(rows, folder):
    """A trace file of rows."""
    builder = TraceBuilder()
    for each in rows:
        args = {key: value for key, value in each.items() if key not in ("cat", "name", "start", "duration")}
        told = {key: value for key, value in args.items() if value is not None or key == "dtype"}
        builder.complete(each["cat"], each["name"], each["start"], each["duration"], **told)
    return builder.write(folder)


def counts(path):
    """Our counts of the rules that are broken."""
    return {rule.name: rule.violations for rule in validate(read_details(path).rows) if rule.violations}


def torchs(path):
    """Torch's."""
    from torch.profiler._trace_validator import validate_trace

    return dict(Counter(found.rule_name.removeprefix("_check_") for found in validate_trace(str(path))[1]))


@pytest.mark.parametrize("name", CASES)
def test_each_rule(name, tmp_path):
    """Rows that keep the rule beside rows that break it so many times."""
    rows, expected = CASES[name]
    assert counts(written(rows, tmp_path)).get(name, 0) == expected


@pytest.mark.slow
def test_torch_counts_the_same_on_the_cases(tmp_path):
    """Torch's validator on all rows of the cases together."""
    path = written([each for rows, _ in CASES.values() for each in rows], tmp_path)
    assert counts(path) == torchs(path) != {}


@pytest.mark.slow
@every_real_trace
def test_torch_counts_the_same_on_real_traces(path):
    """Equal counts, rule by rule."""
    assert counts(path) == torchs(path)
