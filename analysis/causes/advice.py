"""What is not the cause, and what would help: sentences with this run's figures, code included.

Nothing below 1 % of the step is advice, and no saving is promised: removing a wait may only move it.
"""

from __future__ import annotations

from collections.abc import Callable

from stallscope.analysis.causes.facts import Facts, GpuFacts
from stallscope.analysis.causes.waits import MOVES, WAITS, advice_for, spoken
from stallscope.analysis.replay.counterfactual import Replayed
from stallscope.analysis.stages.sync import Site
from stallscope.analysis.units import count, microseconds, percent

MOST = 3  # pieces of advice
WORTH = 0.01  # share of the step below which nothing is advice
ALSO = 0.05  # share of the step from which another cause is worth a word …
ALSO_BESIDE_GPU = 0.10  # … and where the GPU is the limit, and most waits are for its work
INNOCENT = 0.15  # share of the step below which a usual suspect is "not the cause"
SMALL_OPERATOR_US = 20.0
SMALL_STEP_US = 1000.0  # of GPU work in a step …
SMALL_KERNEL_US = 5.0  # … in kernels of this length, up to which a CPU may train as fast
SHORT_FETCH_US = 1000.0  # of the DataLoader: a worker costs about as much to hand a batch over
WORKERS = 4  # processes of a DataLoader to begin with, where there are cores for them
MOSTLY = 0.5  # share of the step from which the time "is" in one place
GPU_KINDS = ("compute-bound", "communication-bound", "copy-bound")
FUSABLE = ("Adam", "AdamW", "SGD", "Adagrad")
FUSED_LAUNCHES = 2  # an optimizer that starts no more than this is fused already
LOADING = "Loading data (DataLoader)"
COPYING = "Copies to and from the GPU"
EXCHANGING = "Communication between GPUs"
SLOW_GPU = "A slow GPU (time in its kernels)"

Advice = tuple[float, str]  # share of the step it is about, the sentence


def causes(facts: Facts, kind: str) -> list[str]:
    """The kinds that a verdict names: two for ``mixed(host, input)``."""
    if not kind.startswith("mixed("):
        return [kind]
    launching = isinstance(facts, GpuFacts) and facts.launches_dominate
    named = [f"{name}-bound" for name in kind.removeprefix("mixed(").removesuffix(")").split(", ")]
    return ["launch-bound" if name == "host-bound" and launching else name for name in named]


def not_the_cause(facts: Facts, kind: str, replayed: Replayed | None = None) -> list[str]:
    """Usual suspects that hold too little of the step to explain it, or whose absence would save too little."""
    suspects: dict[str, tuple[str, float]] = {"input-bound": (LOADING, facts.input.dataloader_ns)}
    if isinstance(facts, GpuFacts):
        if replayed is not None and replayed.savings:
            return _acquitted(facts, causes(facts, kind), replayed)
        suspects = {"sync-bound": (_waits(facts), facts.calls.stall_ns), **suspects, **_gpu_suspects(facts, kind)}
    said = [
        _innocent(what, ns, facts)
        for name, (what, ns) in suspects.items()
        if name != kind and facts.share(ns) < INNOCENT and (ns > 0 or name in ("sync-bound", "input-bound"))
    ]
    return said + (_moving_waits(facts) if isinstance(facts, GpuFacts) and kind in GPU_KINDS else [])


def _gpu_suspects(facts: GpuFacts, kind: str) -> dict[str, tuple[str, float]]:
    suspects: dict[str, tuple[str, float]] = {
        "copy-bound": (COPYING, sum(group.ns for group in facts.device.copies)),
        "communication-bound": (EXCHANGING, facts.communication_ns),
    }
    if facts.calls.launches and kind not in ("launch-bound", "host-bound"):
        suspects["launch-bound"] = ("Starting kernels (CPU work while the GPU idles)", facts.host_ns)
    if kind in ("launch-bound", "host-bound", "input-bound", "sync-bound"):
        suspects["compute-bound"] = (SLOW_GPU, facts.device.compute_ns)
    return suspects


def _acquitted(facts: GpuFacts, named: list[str], replayed: Replayed) -> list[str]:
    """Those of the suspects that a replay clears: without them the step would take almost as long."""
    suspects: dict[str, tuple[str, float]] = {
        "sync": (_waits(facts), facts.calls.stall_ns),
        "input": (LOADING, facts.input.dataloader_ns),
        "copy": (COPYING, sum(group.ns for group in facts.device.copies)),
        "communication": (EXCHANGING, facts.communication_ns),
        "host": ("The CPU's own work (Python, starting kernels)", facts.working_host_ns),
        "compute": (SLOW_GPU, facts.device.compute_ns),
    }
    blamed = {"host" if name == "launch-bound" else name.removesuffix("-bound") for name in named}
    said = [
        _innocent(what, ns, facts) + (_saves(name, ns, facts, replayed) if ns else "")
        for name, (what, ns) in suspects.items()
        if name not in blamed and replayed.savings[name] < INNOCENT and (ns > 0 or name in ("sync", "input"))
    ]
    return [*said, *(_slow_launches(facts) if blamed & {"compute", "communication", "copy"} else [])]


def _saves(name: str, ns: float, facts: GpuFacts, replayed: Replayed) -> str:
    """What would be saved if it cost nothing; and where that is far less than its time, why."""
    saved = replayed.savings[name]
    if name == "sync" and facts.drained:
        return (
            " The GPU had already finished when the CPU came to wait; doing without saves "
            f"{facts.time(saved * facts.window_ns)} ({percent(saved)}), "
            "the calls' own cost and what PyTorch does around them."
        )
    moves = ""
    if facts.share(ns) >= INNOCENT and saved < facts.share(ns) / 2:
        moves = {"sync": ": the CPU would wait elsewhere", "host": ": the GPU works meanwhile"}.get(
            name, ": something else takes as long meanwhile"
        )
    return f" If it cost nothing, {percent(saved)} would be saved{moves}."


def for_kind(kind: str, facts: Facts) -> str:
    """The best piece of advice on a class of cost: without a GPU on loading and on exchanging data alone."""
    if isinstance(facts, GpuFacts):
        return _FOR_KIND[kind](facts)[0][1]
    return {"input-bound": _input_advice, "communication-bound": _communication_advice}[kind](facts)[0][1]


def _innocent(what: str, ns: float, facts: Facts) -> str:
    if not ns:
        return f"{what}: none recorded."
    return f"{what}: {facts.time(ns)} of {facts.step}, {facts.part(ns)} of {facts.each}."


def _waits(facts: GpuFacts) -> str:
    """The waits by the name under which people know them."""
    operators = {line.most.operator for line in facts.calls.waits}
    return "Waiting in .item()" if operators == {"aten::item"} else "Waiting for the GPU (.item(), .cpu(), synchronize)"


def _moving_waits(facts: GpuFacts) -> list[str]:
    """Long waits and slow launch calls under a busy GPU cost little: without them the host would wait elsewhere."""
    stall_ns, said = facts.calls.stall_ns, []
    if facts.share(stall_ns) >= INNOCENT:
        said.append(
            f"Waiting for the GPU: {facts.time(stall_ns)} of {facts.step}, "
            "but the GPU works meanwhile; without these waits the CPU would wait elsewhere."
        )
    return [*said, *_slow_launches(facts)]


def _slow_launches(facts: GpuFacts) -> list[str]:
    """Launch calls that take long because the GPU has enough to do."""
    launch_ns = facts.calls.launch_ns
    if facts.share(launch_ns) < INNOCENT:
        return []
    calls = f"Launch calls: {facts.time(launch_ns)} of {facts.step}"
    return [f"{calls}, but the GPU works meanwhile; a launch takes long when the GPU's queue is full."]


def _launch_advice(facts: GpuFacts) -> list[Advice]:
    share = facts.share(facts.host_ns)
    graph = (
        "Start fewer, larger pieces of work. Least effort: model = torch.compile(model, "
        'mode="reduce-overhead") replays the kernels as one CUDA graph.'
    )
    larger = "Use a larger batch: the same number of launches then does more work."
    if _small_training(facts):
        larger += " If the batch cannot grow, a model this small may train faster on the CPU; measure both and compare."
    launches, optimizers = facts.per_step(facts.calls.launches), facts.per_step(facts.calls.optimizer_launches)
    if facts.host.optimizer not in FUSABLE or optimizers <= FUSED_LAUNCHES:
        return [(share, graph), (share, larger)]
    fused = (
        f"{count(optimizers)} of {count(launches)} launches are the optimizer's: "
        f"torch.optim.{facts.host.optimizer}(model.parameters(), ..., fused=True) needs one or two."
    )
    return [(share, graph), (share * optimizers / launches, fused), (share, larger)]


def _small_training(facts: GpuFacts) -> bool:
    """Whether the GPU has so little to do in a step of training that a CPU may do it in the time of the launches."""
    mean_us = facts.device.mean_kernel_us
    short = mean_us is None or mean_us <= SMALL_KERNEL_US
    trains = facts.host.trains and facts.recording.from_steps
    alone = facts.device.gpus == 1 and not facts.communication_ns
    return short and facts.us(facts.device.busy_ns) <= SMALL_STEP_US and trains and alone


def _host_advice(facts: GpuFacts) -> list[Advice]:
    share, calls = facts.share(facts.host_ns), facts.calls.long_calls
    if calls is not None:
        later = (
            f"{facts.part(calls.call_ns)} of the time passes inside calls to the GPU's software, "
            f"most of it in calls of {calls.name} of {microseconds(calls.ns / calls.number / 1000)} each. "
            "The first calls of a process take so long: they start the GPU, load kernels and get memory. "
            "Record later steps, after some that warm up."
        )
        return [(share, later)]
    python = (
        "Look at what Python does between the launches (the operators below, data preparation, logging) and "
        "move it out of the step: to DataLoader workers, or to the GPU."
    )
    return [(share, python), (share, "model = torch.compile(model) lowers the CPU work for each operator.")]


def _sync_advice(facts: GpuFacts) -> list[Advice]:
    """One piece for each line, where these are known, else for each operator and kind of wait, all places together."""
    together: dict[tuple[str, str, str], int] = {}
    for line in facts.calls.waits:
        key = _wait(line.most, facts.calls.kinds[line.most])
        together[key] = together.get(key, 0) + line.blocked_ns
    return [
        (facts.share(ns), f"{waiting} waits {facts.time(ns)} a step{why}. {what}{MOVES}")
        for (waiting, why, what), ns in together.items()
        if facts.share(ns) >= WORTH
    ]


def _wait(site: Site, kind: str) -> tuple[str, str, str]:
    """(what waits, why, what to do): ``train.py:47 .item()`` where a window told the line; else operator or call."""
    name = site.place.site
    if name is not None:
        return f"{name.line} {spoken(name.called)}", "", advice_for(kind, name.called)
    return site.operator or site.api, f" ({WAITS[kind].title})", WAITS[kind].advice


def _input_advice(facts: Facts) -> list[Advice]:
    gpu = facts.device if isinstance(facts, GpuFacts) else None
    share = facts.share(gpu.input_ns if gpu else facts.input.dataloader_ns)
    return [(share, _loading(facts, on_cpu=gpu is None))]


def _loading(facts: Facts, *, on_cpu: bool) -> str:
    """What to do about loading: more workers, some, or none where they would not pay."""
    if facts.input.workers:
        return (
            "The DataLoader has workers, and they are too slow: raise num_workers (up to the CPU cores) and "
            "prefetch_factor, or make the transforms cheaper."
        )
    workers = WORKERS if facts.host.cores is None else min(WORKERS, facts.host.cores - 1)
    fetch_us = facts.input.fetch_us
    if fetch_us is not None and 0 < fetch_us < SHORT_FETCH_US:
        return (
            f"A fetch takes {microseconds(fetch_us)}, less than handing it over from a worker process may cost: where "
            f"the data fit in memory, keep them as tensors{'' if on_cpu else ' on the GPU'} and index those "
            "(x[i : i + n]) instead of a DataLoader."
        )
    if workers < 1:
        return "Make the transforms cheaper, or do them once and keep the result: no core is free for workers."
    pinned = "" if on_cpu else ", pin_memory=True"
    return f"Load in the background: DataLoader(..., num_workers={workers}, persistent_workers=True{pinned})."


def _copy_advice(facts: GpuFacts) -> list[Advice]:
    share = facts.share(facts.device.copy_ns)
    pinned = (
        "Pinned memory copies faster and beside the computing: DataLoader(..., pin_memory=True) and "
        'x.to("cuda", non_blocking=True).'
    )
    once = "Keep data on the GPU between steps, and copy each batch once, in the smallest type that works."
    return [(share, once), (share, pinned)]


def _communication_advice(facts: Facts) -> list[Advice]:
    share = facts.share(facts.communication_ns)
    seldom = (
        "Exchange less often: accumulate gradients over several batches under model.no_sync() "
        "(DistributedDataParallel)."
    )
    late = "See whether one rank is late: the others' communication time is then waiting. Compare the ranks."
    return [(share, seldom), (share, late)]


def _compute_advice(facts: GpuFacts) -> list[Advice]:
    share = facts.share(facts.device.compute_ns)
    mixed = (
        'Mixed precision: with torch.autocast("cuda", dtype=torch.bfloat16): around forward pass and loss (on '
        "GPUs with tensor cores; check that the loss still falls as before)."
    )
    joined = "model = torch.compile(model) joins element-wise kernels, which saves trips to memory."
    return [(share, mixed), (share, joined)]


_FOR_KIND: dict[str, Callable[[GpuFacts], list[Advice]]] = {
    "launch-bound": _launch_advice,
    "host-bound": _host_advice,
    "sync-bound": _sync_advice,
    "input-bound": _input_advice,
    "copy-bound": _copy_advice,
    "communication-bound": _communication_advice,
    "compute-bound": _compute_advice,
}
