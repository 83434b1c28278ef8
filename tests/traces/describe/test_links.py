"""How well the rows of a file hang together, and when its external ids may be believed."""

import pytest

from stallscope.traces.describe.details import read_details
from stallscope.traces.describe.links import Share, find_links
from tests.builders import TraceBuilder


def links_of(builder, folder):
    """The links of a built trace."""
    return find_links(read_details(builder.write(folder)))


def call(builder, start, external=None, correlation=None, name="cudaLaunchKernel", key="External id"):
    """A runtime call of 5 µs with ids of its own."""
    ids = {key: external, "correlation": correlation}
    told = {name: value for name, value in ids.items() if value is not None}
    return builder.complete("cuda_runtime", name, start, 5, **told)


def test_device_rows_calls_and_operators(tmp_path):
    """Two of three kernels have a call, one of two launches has a kernel, one of three calls lies in an operator."""
    builder = TraceBuilder().op("aten::add", 10, 20)
    builder.graph_launch(12, 5, [("a", 30, 5), ("b", 40, 5)]).launch(50, 5).kernel(("early", 1, 2)).sync(60, 5)
    links = links_of(builder, tmp_path)
    assert links.device_rows_with_call == Share(2, 3)
    assert links.working_calls_with_device_rows == Share(1, 2)
    assert links.calls_in_operators == Share(1, 3)
    assert links.calls_in_operators.share == 1 / 3


@pytest.mark.parametrize("key", ["External id", "external id"])
def test_ids_that_name_the_operator_around_the_call_are_proved(key, tmp_path):
    """One call in the operator of its id, one without an id: believed. The spelling of 2021 is the same."""
    builder = TraceBuilder().op("aten::add", 10, 20, **{"External id": 7})
    links = links_of(call(call(builder, 12, 7, 1, key=key), 50, None, 2), tmp_path)
    assert (links.ids_naming_operators, links.ids_enclosing, links.external_ids) == (Share(1, 1), Share(1, 1), "proved")


def test_ids_that_name_another_operator_are_not_used(tmp_path):
    """Files of 2023: a call's id is its own correlation, and by chance that of an operator elsewhere."""
    builder = TraceBuilder().op("aten::add", 10, 20, **{"External id": 7}).op("aten::mul", 50, 20, **{"External id": 8})
    links = links_of(call(call(builder, 12, 8, 8), 52, 7, 7), tmp_path)
    assert (links.ids_enclosing, links.ids_own, links.external_ids) == (Share(0, 2), 2, "misleading")


def test_ninety_nine_of_a_hundred_prove_and_ninety_eight_do_not(tmp_path):
    """The limit is 99 %."""
    for wrong, expected in ((1, "proved"), (2, "misleading")):
        builder = TraceBuilder()
        for i in range(100):
            builder.op("aten::add", 100 * i, 50, **{"External id": i})
            call(builder, 100 * i + (60 if i < wrong else 10), i, 1000 + i)
        assert links_of(builder, tmp_path).external_ids == expected


def test_an_operator_of_another_thread_does_not_enclose(tmp_path):
    """The same times on another thread prove nothing."""
    builder = TraceBuilder().op("aten::add", 10, 20, tid=5, **{"External id": 7})
    links = links_of(call(builder, 12, 7, 1), tmp_path)
    assert (links.ids_enclosing, links.calls_in_operators) == (Share(0, 1), Share(0, 1))


def test_a_file_without_ids_calls_or_flows(tmp_path):
    """Of nothing there is no share; flows are counted by their category."""
    builder = TraceBuilder().op("aten::add", 0, 5)
    for phase, category in (("s", "fwdbwd"), ("s", "fwdbwd"), ("f", "fwdbwd"), ("f", "ac2g")):
        builder.event(ph=phase, id=1, pid=1, tid=1, ts=1, cat=category, name=category)
    links = links_of(builder, tmp_path)
    assert (links.external_ids, links.calls_in_operators.share) == ("absent", None)
    assert (links.forward_backward_starts, links.forward_backward_ends) == (2, 1)


@pytest.mark.parametrize(
    ("name", "matched", "enclosed", "proof"),
    [
        ("a100/alexnet", 50, 2, "misleading"),  # 48 of 50 ids name the wrong operator
        ("a100/diff_control_a100", 0, 0, "absent"),  # each call's id is its own correlation
        ("a100/nccl_training", 8627, 8627, "proved"),
        ("kineto-2021/resnet50_num_workers_0/worker0.1623143089861.pt.trace", 11922, 11922, "proved"),
    ],
)
def test_real_traces_of_four_kinds(name, matched, enclosed, proof, real_traces):
    """2023, 2022, 2024 and 2021: what the ids of each are worth."""
    links = find_links(read_details(real_traces / f"{name}.json.gz"))
    assert (links.ids_naming_operators.count, links.ids_enclosing.count) == (matched, enclosed)
    assert links.external_ids == proof
