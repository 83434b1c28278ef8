"""Evidence of a simulated machine, whose constants are known: what `score` must find in it.

The trainings are alike in kind to those of the experiments: a small network bound by its launches, one with Adam and
many tensors, wider ones up to where the device is the limit, a loader, and copies.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stallscope.traces.model.manifest import Machine as RealMachine
from tests.evidence.gpu.experiments import NEVER
from tests.evidence.gpu.pairs import REPEATS, Evidence, Experiment, Part, Variant, median, merged, to_json
from tests.evidence.simulator.kineto import trace_bytes
from tests.evidence.simulator.machine import Machine
from tests.evidence.simulator.models import Training, compute, loop, network
from tests.evidence.simulator.noise import generator
from tests.evidence.simulator.pairs import RECORDED, scaled, timed_steps
from tests.evidence.simulator.program import Kernel, Loader, host_us
from tests.evidence.simulator.run import Process

PART = "part-1-simulated"


@dataclass(frozen=True, slots=True)
class Case:
    """One variant: a training, and what was changed in it."""

    training: Training
    fix: str | None = None
    number: float | None = None
    against: str | None = None


@dataclass(slots=True)
class Results:
    """A folder of results while it is made."""

    machine: Machine
    traces: dict[str, bytes] = field(default_factory=dict)
    experiments: list[Experiment] = field(default_factory=list)

    def add(self, name: str, cases: Mapping[str, Case], *, held_out: bool) -> None:
        """Run every case five times without a profiler, and record its last process."""
        variants = [self._variant(name, key, case) for key, case in cases.items()]
        baseline = next(iter(cases))
        self.experiments.append(
            Experiment(name=name, title="", part=PART, held_out=held_out, baseline=baseline, variants=variants)
        )

    def _variant(self, name: str, key: str, case: Case) -> Variant:
        processes = [Process(loop(case.training), self.machine, name, key, n) for n in range(REPEATS)]
        steps = timed_steps(case.training)
        times = [round(process.step_ns(steps) / 1000, 3) for process in processes]
        member = f"{name}_{key}.pt.trace.json.gz"
        self.traces[member] = gzip.compress(trace_bytes(processes[-1].record(RECORDED)), mtime=0)
        return Variant(
            key=key,
            device="cuda",
            rows=1,
            change=case.fix,
            fix=case.fix,
            number=case.number,
            against=case.against,
            steps=steps,
            us_per_step=times,
            median_us_per_step=median(times),
            traces={"timing": member},
        )

    def write(self, folder: Path) -> None:
        """Write it as the evidence program does."""
        about = RealMachine(os="Linux", python="3.13", cpu="simulated", cores=self.machine.cores, threads=1, torch=None)
        part = Part(name=PART, created="", quick=False, machine=about)
        evidence = merged([Evidence(parts=[part], experiments=self.experiments)])
        (folder / "evidence.json").write_bytes(to_json(evidence))
        with tarfile.open(folder / f"{PART}.tar", "w") as archive:
            for name, content in self.traces.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def training(seed: str, machine: Machine, launches: int, ratio: float, **changes: object) -> Training:
    """A network of so many launches whose device takes ``ratio`` times as long as its host; the loss is read."""
    plain = Training(
        layers=network(generator("evidence", seed), launches),
        optimizer="foreach",
        states=1,
        update=Kernel("vectorized_elementwise_kernel", 1.5),
        loader=None,
        python=8.0,
        reads="loss",
        read_pinned=machine.pinned_scalar,
    )
    made = replace(plain, **changes)  # type: ignore[arg-type]
    return scaled(made, ratio * host_us(compute(made)) * machine.host_scale)


def never(base: Training) -> Case:
    """The loss never read."""
    return Case(replace(base, reads="none"), "record_every", NEVER)


def graph(base: Training) -> Case:
    """All of it in one graph."""
    return Case(replace(base, graph=True), "cuda_graph")


def results(machine: Machine, *, fitted_only: bool = False, widths: Sequence[float] = (0.2, 1.0, 3.0)) -> Results:
    """The experiments on one machine."""
    made = Results(machine)
    iris = training("iris", machine, 12, 0.05)
    tenth = Case(replace(iris, read_every=10), "record_every", 10.0)
    fused = Case(replace(iris, optimizer="fused"), "fused_optimizer")
    made.add("E1a", {"item-1": Case(iris), "item-10": tenth, "item-never": never(iris)}, held_out=False)
    made.add("E1b", {"default": Case(iris), "fused": fused}, held_out=False)
    unread = replace(iris, reads="none")
    alone = replace(graph(unread), against="item-never")
    graphs = {"item-1": Case(iris), "graph": graph(iris), "item-never": Case(unread), "graph-never": alone}
    made.add("E1c", graphs, held_out=False)
    adam = training("adam", machine, 30, 0.3, optimizer="for-loop", states=6)
    forms = {form: Case(replace(adam, optimizer=form), f"{form}_optimizer") for form in ("foreach", "fused")}
    made.add("E2", {"for-loop": Case(adam), **forms, "graph": graph(adam)}, held_out=False)
    if fitted_only:
        return made
    for ratio in widths:
        wide = training(f"wide {ratio}", machine, 25, ratio)
        cases = {"item-1": Case(wide), "item-never": never(wide), "graph": graph(wide)}
        made.add(f"E4-{ratio}", cases, held_out=True)
    loader = Loader(600.0, 200_000)
    fed = training("fed", machine, 40, 0.4, loader=loader, reads="none")
    by = {n: Case(replace(fed, loader=replace(loader, workers=n)), "dataloader_workers", float(n)) for n in (2, 4)}
    made.add("E6", {"workers-0": Case(fed), **{f"workers-{n}": case for n, case in by.items()}}, held_out=True)
    return made
