"""What is not the cause, and what would help: sentences with this run's figures, code included.

Nothing below 1 % of the step is advice, and no saving is promised: removing a wait may only move it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stallscope.analysis.causes import scatter
from stallscope.analysis.causes.facts import Facts
from stallscope.analysis.causes.waits import spoken
from stallscope.analysis.contract.summary import SyncSite
from stallscope.analysis.replay.counterfactual import Replayed
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

Advice = tuple[float, str]  # share of the step it is about, the sentence


def causes(facts: Facts, kind: str) -> list[str]:
    """The kinds that a verdict names: two for ``mixed(host, input)``."""
    if not kind.startswith("mixed("):
        return [kind]
    named = [f"{name}-bound" for name in kind.removeprefix("mixed(").removesuffix(")").split(", ")]
    return ["launch-bound" if name == "host-bound" and facts.launches_dominate else name for name in named]


def not_the_cause(facts: Facts, kind: str, replayed: Replayed | None = None) -> list[str]:
    """Usual suspects that hold too little of the step to explain it, or whose absence would save too little."""
    if replayed is not None and replayed.savings:
        return _acquitted(facts, causes(facts, kind), replayed)
    suspects = {
        "sync-bound": (_waits(facts), facts.stall_us),
        "input-bound": ("Loading data (DataLoader)", facts.dataloader_us),
        "copy-bound": ("Copies to and from the GPU", sum(row.us_per_step for row in facts.copies)),
        "communication-bound": ("Communication between GPUs", facts.communication_us),
    }
    if facts.vendor == "cpu":
        suspects = {"input-bound": suspects["input-bound"]}
    if facts.launches and kind not in ("launch-bound", "host-bound"):
        suspects["launch-bound"] = ("Starting kernels (CPU work while the GPU idles)", facts.host_us)
    if kind in ("launch-bound", "host-bound", "input-bound", "sync-bound") and facts.measured:
        suspects["compute-bound"] = ("A slow GPU (time in its kernels)", facts.compute_us)
    said = [
        _innocent(what, us, facts)
        for name, (what, us) in suspects.items()
        if name != kind and facts.share(us) < INNOCENT and (us > 0 or name in ("sync-bound", "input-bound"))
    ]
    return [*said, *_moving_waits(facts, kind)]


def _acquitted(facts: Facts, named: list[str], replayed: Replayed) -> list[str]:
    """Those of the suspects that a replay clears: without them the step would take almost as long."""
    suspects = {
        "sync": (_waits(facts), facts.stall_us),
        "input": ("Loading data (DataLoader)", facts.dataloader_us),
        "copy": ("Copies to and from the GPU", sum(row.us_per_step for row in facts.copies)),
        "communication": ("Communication between GPUs", facts.communication_us),
        "host": ("The CPU's own work (Python, starting kernels)", facts.working_host_us),
        "compute": ("A slow GPU (time in its kernels)", facts.compute_us),
    }
    blamed = {"host" if name == "launch-bound" else name.removesuffix("-bound") for name in named}
    said = [
        _innocent(what, us, facts) + (_saves(name, us, facts, replayed) if us else "")
        for name, (what, us) in suspects.items()
        if name not in blamed and replayed.savings[name] < INNOCENT and (us > 0 or name in ("sync", "input"))
    ]
    return [*said, *(_slow_launches(facts) if blamed & {"compute", "communication", "copy"} else [])]


def _saves(name: str, us: float, facts: Facts, replayed: Replayed) -> str:
    """What would be saved if it cost nothing; and where that is far less than its time, why."""
    saved = replayed.savings[name]
    if name == "sync" and facts.drained:
        return (
            " The GPU had already finished when the CPU came to wait; doing without saves "
            f"{microseconds(saved * facts.step_us)} ({percent(saved)}), "
            "the calls' own cost and what PyTorch does around them."
        )
    moves = ""
    if facts.share(us) >= INNOCENT and saved < facts.share(us) / 2:
        moves = {"sync": ": the CPU would wait elsewhere", "host": ": the GPU works meanwhile"}.get(
            name, ": something else takes as long meanwhile"
        )
    return f" If it cost nothing, {percent(saved)} would be saved{moves}."


def what_helps(facts: Facts, kind: str) -> list[str]:
    """At most three pieces of advice, those for the verdict first, then by share; without a GPU by share alone."""
    if facts.vendor == "cpu":
        found = [
            each for each in _input_advice(facts) + _exchange_advice(facts) + _cpu_advice(facts) if each[0] >= ALSO
        ]
        return [text for _, text in sorted(found, key=lambda each: -each[0])][:MOST]
    named = sorted(causes(facts, kind), key=lambda name: name in ("host-bound", "launch-bound"))  # hardest to change
    first = [each for name in named if name in _FOR_KIND for each in _FOR_KIND[name](facts)[: MOST - len(named) + 1]]
    rest: list[Advice] = []
    for name, us in (("input-bound", facts.input_us), ("sync-bound", facts.wait_cost_us)):
        if name not in named and facts.share(us) >= (ALSO_BESIDE_GPU if kind in GPU_KINDS else ALSO):
            rest += _FOR_KIND[name](facts)
    chosen = [each for each in first + sorted(rest, reverse=True) if each[0] >= WORTH]
    return list(dict.fromkeys(text for _, text in chosen))[:MOST]


def for_kind(kind: str, facts: Facts) -> list[str]:
    """What to do about a class of cost, best first."""
    return [text for _, text in _FOR_KIND[kind](facts)]


def _innocent(what: str, us: float, facts: Facts) -> str:
    if not us:
        return f"{what}: none recorded."
    return f"{what}: {microseconds(us)} of {microseconds(facts.step_us)}, {percent(facts.share(us))} of {facts.each}."


def _waits(facts: Facts) -> str:
    """The waits by the name under which people know them."""
    operators = {site.operator for site in facts.sites}
    return "Waiting in .item()" if operators == {"aten::item"} else "Waiting for the GPU (.item(), .cpu(), synchronize)"


def _moving_waits(facts: Facts, kind: str) -> list[str]:
    """Long waits and slow launch calls under a busy GPU cost little: without them the host would wait elsewhere."""
    if kind not in GPU_KINDS:
        return []
    said = []
    if facts.share(facts.stall_us) >= INNOCENT:
        said.append(
            f"Waiting for the GPU: {microseconds(facts.stall_us)} of {microseconds(facts.step_us)}, but the GPU works "
            "meanwhile; without these waits the CPU would wait elsewhere."
        )
    return [*said, *_slow_launches(facts)]


def _slow_launches(facts: Facts) -> list[str]:
    """Launch calls that take long because the GPU has enough to do."""
    if facts.share(facts.launch_call_us) < INNOCENT:
        return []
    calls = f"Launch calls: {microseconds(facts.launch_call_us)} of {microseconds(facts.step_us)}"
    return [f"{calls}, but the GPU works meanwhile; a launch takes long when the GPU's queue is full."]


def _launch_advice(facts: Facts) -> list[Advice]:
    share = facts.share(facts.host_us)
    found: list[Advice] = [
        (
            share,
            (
                "Start fewer, larger pieces of work. Least effort: model = torch.compile(model, "
                'mode="reduce-overhead") replays the kernels as one CUDA graph.'
            ),
        )
    ]
    if facts.optimizer in FUSABLE and facts.optimizer_launches > FUSED_LAUNCHES:
        found.append(
            (
                share * facts.optimizer_launches / facts.launches,
                (
                    f"{count(facts.optimizer_launches)} of {count(facts.launches)} launches are the optimizer's: "
                    f"torch.optim.{facts.optimizer}(model.parameters(), ..., fused=True) needs one or two."
                ),
            )
        )
    cpu = " If the batch cannot grow, a model this small may train faster on the CPU; measure both and compare."
    larger = "Use a larger batch: the same number of launches then does more work."
    found.append((share, larger + (cpu if _small_training(facts) else "")))
    return found


def _small_training(facts: Facts) -> bool:
    """Whether the GPU has so little to do in a step of training that a CPU may do it in the time of the launches."""
    tiny = facts.busy_us <= SMALL_STEP_US and facts.mean_kernel_us <= SMALL_KERNEL_US
    return tiny and facts.trains and facts.from_steps and facts.gpus == 1 and not facts.communication_us


def _host_advice(facts: Facts) -> list[Advice]:
    share = facts.share(facts.host_us)
    calls = facts.long_calls
    if calls is not None:
        return [
            (
                share,
                (
                    f"{percent(facts.share(calls.call_us))} of the time passes inside calls to the GPU's software, "
                    f"most of it in calls of {calls.name} of {microseconds(calls.us / calls.number)} each. "
                    "The first calls of a process take so long: they start the GPU, load kernels and get memory. "
                    "Record later steps, after some that warm up."
                ),
            )
        ]
    return [
        (
            share,
            (
                "Look at what Python does between the launches (the operators below, data preparation, logging) and "
                "move it out of the step: to DataLoader workers, or to the GPU."
            ),
        ),
        (share, "model = torch.compile(model) lowers the CPU work for each operator."),
    ]


def _sync_advice(facts: Facts) -> list[Advice]:
    """One piece for each line, where these are known, else for each operator that waits, all its places together."""
    together: dict[str, SyncSite] = {}
    for site in facts.sites:
        name = _waiting(site)
        known = together.get(name)
        blocked = site.blocked_us_per_step + (known.blocked_us_per_step if known else 0.0)
        together[name] = msgspec.structs.replace(known or site, blocked_us_per_step=blocked)
    shares = [(facts.share(site.blocked_us_per_step), _site_advice(site)) for site in together.values()]
    return [each for each in shares if each[0] >= WORTH]


def _site_advice(site: SyncSite) -> str:
    """What to do about one place that waits."""
    lead = f"{_waiting(site)} waits {microseconds(site.blocked_us_per_step)} a step: "
    if site.operator in ("aten::item", "aten::is_nonzero", "aten::_local_scalar_dense"):
        return (
            lead + "keep values on the GPU (total += loss.detach()) and call .item() every 100 steps. The wait may "
            "only move to the next place that waits."
        )
    if site.operator in ("aten::nonzero", "aten::index", "aten::masked_select", "aten::unique", "aten::_unique2"):
        return lead + "its result has a size that only the GPU knows; torch.where or a mask product keeps sizes fixed."
    if site.operator in ("aten::to", "aten::copy_", "aten::_to_copy"):
        return (
            lead + 'copies between CPU and GPU block; use x.to("cuda", non_blocking=True) from pinned memory '
            "(DataLoader(..., pin_memory=True)), and bring results back less often."
        )
    if site.operator is None:
        return lead + "if this is torch.cuda.synchronize() left from timing code, remove it from the loop."
    return lead + "ask for its result less often, or later in the step."


def _waiting(site: SyncSite) -> str:
    """What waits: ``train.py:47 .item()`` where an attribution window told the line, else the operator or the call."""
    if site.called is not None and site.call_site is not None:
        return f"{site.call_site} {spoken(site.called)}"
    return site.operator or site.api or ""


def _input_advice(facts: Facts) -> list[Advice]:
    on_cpu = facts.vendor == "cpu"
    share = facts.share(facts.dataloader_us if on_cpu else facts.input_us)
    pinned = "" if on_cpu else ", pin_memory=True"
    if facts.loader_workers:
        return [
            (
                share,
                (
                    "The DataLoader has workers, and they are too slow: raise num_workers (up to the CPU cores) and "
                    "prefetch_factor, or make the transforms cheaper."
                ),
            )
        ]
    workers = WORKERS if facts.cores is None else min(WORKERS, facts.cores - 1)
    if 0 < facts.fetch_us < SHORT_FETCH_US or workers < 1:
        return [(share, _without_workers(facts, on_cpu=on_cpu))]
    return [
        (
            share,
            f"Load in the background: DataLoader(..., num_workers={workers}, persistent_workers=True{pinned}).",
        )
    ]


def _without_workers(facts: Facts, *, on_cpu: bool) -> str:
    """What to do about loading where worker processes would not pay."""
    if not 0 < facts.fetch_us < SHORT_FETCH_US:
        return "Make the transforms cheaper, or do them once and keep the result: no core is free for workers."
    where = "" if on_cpu else " on the GPU"
    return (
        f"A fetch takes {microseconds(facts.fetch_us)}, less than handing it over from a worker process may cost: "
        f"where the data fit in memory, keep them as tensors{where} and index those (x[i : i + n]) instead of "
        "a DataLoader."
    )


def _copy_advice(facts: Facts) -> list[Advice]:
    share = facts.share(facts.copy_us)
    return [
        (share, "Keep data on the GPU between steps, and copy each batch once, in the smallest type that works."),
        (
            share,
            (
                "Pinned memory copies faster and beside the computing: DataLoader(..., pin_memory=True) and "
                'x.to("cuda", non_blocking=True).'
            ),
        ),
    ]


def _communication_advice(facts: Facts) -> list[Advice]:
    share = facts.share(facts.communication_us)
    return [
        (
            share,
            (
                "Exchange less often: accumulate gradients over several batches under model.no_sync() "
                "(DistributedDataParallel)."
            ),
        ),
        (share, "See whether one rank is late: the others' communication time is then waiting. Compare the ranks."),
    ]


def _compute_advice(facts: Facts) -> list[Advice]:
    share = facts.share(facts.compute_us)
    return [
        (
            share,
            (
                'Mixed precision: with torch.autocast("cuda", dtype=torch.bfloat16): around forward pass and loss (on '
                "GPUs with tensor cores; check that the loss still falls as before)."
            ),
        ),
        (share, "model = torch.compile(model) joins element-wise kernels, which saves trips to memory."),
    ]


def _cpu_advice(facts: Facts) -> list[Advice]:
    """Without a GPU: the operators, and what runs between them."""
    operators = facts.share(min(facts.operator_us, facts.step_us))
    between = facts.share(facts.rest_us)
    found: list[Advice] = []
    if between >= MOSTLY:
        found.append(
            (
                between,
                (
                    "Most of the time is in no recorded operator: look at what Python does between them (data "
                    "preparation, logging), and move it out of the step."
                ),
            )
        )
    if facts.operators > 0 and facts.operator_us / facts.operators < SMALL_OPERATOR_US:
        return found + _small_operators(facts, operators)
    if operators >= MOSTLY:
        found.append((operators, "The time is in the operators themselves: see the table below for the largest."))
    told = scatter.advice(facts.scatter, facts.threads)
    return [*found, (operators, told)] if told else found


def _exchange_advice(facts: Facts) -> list[Advice]:
    return _communication_advice(facts) if facts.communication_us else []


def _small_operators(facts: Facts, operators: float) -> list[Advice]:
    found: list[Advice] = [
        (
            operators,
            (
                f"The operators are small ({microseconds(facts.operator_us / facts.operators)} each): a larger batch "
                "does more work for the same number of them."
            ),
        ),
    ]
    if facts.threads == 1:
        return found
    where = "" if facts.threads is None else f" instead of {facts.threads}"
    help_ = f"torch.set_num_threads(1){where} may help: sharing out such small work costs more than it saves."
    return [*found, (operators, help_)]


_FOR_KIND: dict[str, Callable[[Facts], list[Advice]]] = {
    "launch-bound": _launch_advice,
    "host-bound": _host_advice,
    "sync-bound": _sync_advice,
    "input-bound": _input_advice,
    "copy-bound": _copy_advice,
    "communication-bound": _communication_advice,
    "compute-bound": _compute_advice,
    "cpu": _cpu_advice,
}
