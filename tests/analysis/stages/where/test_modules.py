"""Modules: the tree, self and total, and the backward pass that belongs to the forward's module."""

import numpy as np

from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.stages.where.modules import ModuleTotals
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real

SEQUENCE = "Sequence number"


def network(number: int = 7) -> TraceBuilder:
    """Net_0 calls Linear_0, which launches 100 µs; the backward node of its operator launches 200 µs on thread 2."""
    builder = TraceBuilder().step(0, 1000)
    builder.python("nn.Module: Net_0", 10, 100).python("nn.Module: Linear_0", 20, 50)
    builder.op("aten::linear", 25, 30, **{SEQUENCE: number, "Fwd thread id": 0})
    builder.launch(30, 5, kernel=("gemm", 40, 100))
    builder.launch(90, 5, kernel=("relu", 150, 10))
    builder.op("AddmmBackward0", 200, 60, tid=2, **{SEQUENCE: 7, "Fwd thread id": 1}).op("aten::mm", 205, 40, tid=2)
    return builder.launch(210, 5, tid=2, kernel=("gemm", 300, 200))


def modules_of(builder) -> dict[str, ModuleTotals]:
    """Totals by name, the laws checked."""
    stages = analyse(builder.trace())
    assert stages.broken_laws() == []
    return {module.name: module for module in stages.modules.totals}


def test_self_total_forward_and_backward():
    """Net_0 has 10 µs of kernel of its own; in total also what Linear_0 launched, forward and backward."""
    found = modules_of(network())
    assert found == {
        "Linear_0": ModuleTotals("Linear_0", "Net_0", 1, 50_000, 50_000, 100_000, 100_000, 200_000, 200_000, 2, 2),
        "Net_0": ModuleTotals("Net_0", None, 1, 100_000, 50_000, 110_000, 10_000, 200_000, 0, 3, 1),
    }


def test_a_backward_node_without_its_forward_operator_belongs_to_no_module():
    """The forward operator lies before the recording: its sequence number is nowhere."""
    stages = analyse(network(number=8).trace())
    assert (stages.modules.outside_device_ns, stages.modules.outside_launches) == (200_000, 1)


def test_backward_on_the_same_thread_inside_a_module_is_the_forward_modules():
    """loss.backward() called in a module's forward (as trainers do): the node inside is inner, and Linear_0's."""
    builder = TraceBuilder().step(0, 1000).python("nn.Module: Trainer_0", 5, 900).python("nn.Module: Linear_0", 20, 50)
    builder.op("aten::linear", 25, 30, **{SEQUENCE: 7, "Fwd thread id": 0})
    builder.op("AddmmBackward0", 200, 60, **{SEQUENCE: 7, "Fwd thread id": 1}).launch(210, 5, kernel=("g", 300, 9))
    found = modules_of(builder)
    assert found["Linear_0"].device_backward_self_ns == 9_000
    assert found["Trainer_0"].device_forward_self_ns == 0


def test_modules_that_run_again_in_the_backward_pass_work_forward():
    """Activation checkpointing: Linear_0 runs again under a backward node, and its kernels are forward work."""
    builder = TraceBuilder().step(0, 1000).op("aten::x", 1, 2, **{SEQUENCE: 3, "Fwd thread id": 0})
    builder.op("CheckpointFunctionBackward", 100, 500, **{SEQUENCE: 3, "Fwd thread id": 1})
    builder.python("nn.Module: Linear_0", 200, 50).op("aten::linear", 205, 30).launch(210, 5, kernel=("g", 300, 9))
    assert modules_of(builder)["Linear_0"].device_forward_self_ns == 9_000


def test_the_last_forward_operator_with_a_number_is_the_one_that_used_it():
    """Two operators carry number 7, one in each module (the first only peeked): the backward is the second's."""
    builder = TraceBuilder().step(0, 1000)
    for name, start in (("A_0", 10), ("B_0", 50), ("C_0", 400)):
        builder.python(f"nn.Module: {name}", start, 30)
        builder.op("aten::detach", start + 5, 10, **{SEQUENCE: 7, "Fwd thread id": 0})
    builder.op("MulBackward0", 200, 60, tid=2, **{SEQUENCE: 7, "Fwd thread id": 1})
    builder.launch(210, 5, tid=2, kernel=("g", 300, 9))
    found = modules_of(builder)
    assert {name: module.device_backward_self_ns for name, module in found.items()} == {
        "A_0": 0,
        "B_0": 9_000,
        "C_0": 0,
    }


def test_two_forward_threads_number_their_operators_alike():
    """Replica threads 11 and 12 both use number 7; each backward node names its thread by autograd's own number.

    Thread 1 of autograd also asks for number 8, which only thread 11 has; thread 2 asks for 9, which only 12 has.
    """
    builder = TraceBuilder().step(0, 1000)
    for tid, extra in ((11, 8), (12, 9)):
        builder.complete("python_function", f"nn.Module: On{tid}_0", 10, 100, tid=tid)
        for start, number in ((20, 7), (40, extra)):
            builder.op("aten::mm", start, 5, tid=tid, **{SEQUENCE: number, "Fwd thread id": 0})
    for tid, thread, extra, ns in ((21, 1, 8, 5), (22, 2, 9, 6)):
        for start, number in ((200, extra), (300, 7)):
            builder.op("MmBackward0", start, 50, tid=tid, **{SEQUENCE: number, "Fwd thread id": thread})
            builder.launch(start + 5, 5, tid=tid, kernel=("g", start + 20, ns))
    found = modules_of(builder)
    assert (found["On11_0"].device_backward_ns, found["On12_0"].device_backward_ns) == (10_000, 12_000)


def test_rows_of_the_contract_hold_everything_once():
    """The self columns, with what is in no module, sum to the step's launches and kernel time."""
    builder = network().launch(700, 5, kernel=("stray", 720, 30))
    summary = summarize(builder.trace())
    assert [row.name for row in summary.modules] == ["Linear_0", "Net_0", "(no module)"]
    device = [row.device_forward_self_us_per_step + row.device_backward_self_us_per_step for row in summary.modules]
    assert (device, sum(device)) == ([300.0, 10.0, 30.0], summary.per_step.kernel_sum_us)
    assert sum(row.launches_per_step for row in summary.modules) == summary.per_step.kernel_launches


def test_a_trace_without_stacks_knows_no_modules():
    """Null: nothing is known, which is not the same as an empty list."""
    assert summarize(TraceBuilder().step(0, 100).op("a", 1, 2).trace()).modules is None


@every_real_trace
def test_the_tree_by_time_is_the_tree_by_python_ids(path):
    """A module's parent by containment is its nearest ancestor module by ``Python parent id``, in every real trace."""
    stages = real(path).stages
    trace, calls = stages.trace, stages.modules.calls
    origins = trace.origins
    row_of = dict(zip(origins.python_id.values.tolist(), origins.python_row.tolist(), strict=True))
    parents = np.where(origins.python_parent.known, origins.python_parent.values, -1).tolist()
    caller = dict(zip(origins.python_row.tolist(), parents, strict=True))
    modules = set(calls.rows.tolist())
    for row, parent in zip(calls.rows.tolist(), calls.parent.tolist(), strict=True):
        up = row_of.get(caller[row])
        while up is not None and up not in modules:
            up = row_of.get(caller[up])
        assert up == (int(calls.rows[parent]) if parent >= 0 else None)


def test_activation_checkpointing_on_hardware(real_traces):
    """ResNet under DistributedDataParallel: backward time lies in its modules; only optimizer and loss are outside."""
    path = real_traces / "amd" / "mi300_resnet_train_act_checkpoint.json.gz"
    modules = real(path).stages.modules
    ddp = next(module for module in modules.totals if module.name == "DistributedDataParallel_0")
    assert (ddp.device_backward_ns, ddp.device_forward_ns) == (3_018_307, 2_175_746)
    assert (ddp.launches, modules.outside_launches) == (1437, 210)
