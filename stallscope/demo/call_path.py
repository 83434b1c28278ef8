"""call-path: what `model(x)` runs around `forward`, what that costs, and what `model.forward(x)` leaves out."""

from __future__ import annotations

from stallscope.analysis.units import microseconds
from stallscope.demo.iris_mlp import DEVICES
from stallscope.demo.judging import Sample, judge
from stallscope.demo.results import Result, VariantResult
from stallscope.demo.story import ONE_THREAD, ONE_THREAD_NOTE, Dots, Panel, Story, Table, Variant, Workload, on_both


def variants(quick: bool) -> list[Variant]:
    """Without hooks, and with one on every module."""
    short = (*ONE_THREAD, *(("--steps", "60", "--laps", "9") if quick else ()))

    def on(device: str) -> list[Variant]:
        where = DEVICES[device]
        return [
            Variant(f"{device}-hooks-0", f"{where}, no hooks", ("--hooks", "0", *short), device),
            Variant(f"{device}-hooks-1", f"{where}, a hook on each module", ("--hooks", "1", *short), device),
        ]

    return on_both(on)


def tell(result: Result) -> Story:
    """Cost of both calls, and which hooks ran."""
    rows, dots, sentences = [], [], []
    for variant in result.variants:
        call, forward = variant.sample("call_us"), variant.sample("forward_us")
        rows.append((variant.title, call.shown(), forward.shown(), extra(variant), judge(call, forward).shown))
        dots += [Dots(f"{variant.title}: model(x)", call.values), Dots("model.forward(x)", forward.values)]
        sentences.append(sentence(variant))
    headers = ("variant", "model(x)", "model.forward(x)", "difference", "forward against the call")
    note = "Laps of 200 calls in turn; difference: the middle one of the pairs of laps, in ns."
    cost = Table("One call of a 4-10-3 network on 120 rows, without gradients", headers, rows, note)
    panel = Panel("Time of one call", "µs", dots=tuple(dots))
    return Story((cost, lost(result)), (panel,), (*sentences, *disturbed(result), lost_sentence(result)))


def disturbed(result: Result) -> list[str]:
    """Says so where the recording was still on while the calls were timed, for that makes a call longer."""
    found = [v.title for v in result.variants if sum((*v.sample("global_hooks").values, *v.sample("profiler").values))]
    return [f"Hooks for all modules or a profiler were on in laps of: {'; '.join(found)}."] if found else []


def extra(variant: VariantResult) -> str:
    """The difference of the pairs of laps, ns."""
    found = Sample(tuple(1000 * us for us in variant.sample("extra_us").values))
    return found.shown(lambda ns: "-" if ns is None else f"{ns:.0f}")


def hooks(result: Result) -> dict[str, list[int]]:
    """How often each kind of hook ran by ``model(x)`` and by ``model.forward(x)``, in the first run."""
    found: dict[str, list[int]] = result.variants[0].repeats[0].figures["hooks"]
    return found


def lost(result: Result) -> Table:
    """A row a kind of hook."""
    rows = [(kind, str(by_call), str(by_forward)) for kind, (by_call, by_forward) in hooks(result).items()]
    return Table("Hooks of the outermost module that ran", ("kind", "model(x)", "model.forward(x)"), rows)


def sentence(variant: VariantResult) -> str:
    """What the call costs more, or that it cannot be told."""
    found = judge(variant.sample("forward_us"), variant.sample("call_us"))
    words = found.say("takes less time than", "takes more time than", "cannot be told from")
    return (
        f"{variant.title}: model(x) {words} model.forward(x) ({microseconds(variant.sample('call_us').median)} against "
        f"{microseconds(variant.sample('forward_us').median)}; of pairs of laps, in ns: {extra(variant)})."
    )  # fmt: skip


def lost_sentence(result: Result) -> str:
    """Which hooks are left out."""
    left_out = [kind for kind, (by_call, by_forward) in hooks(result).items() if by_forward < by_call]
    kept = [kind for kind, (by_call, by_forward) in hooks(result).items() if by_forward >= by_call]
    parts = [f"model.forward(x) leaves out: {', '.join(left_out)}" if left_out else "model.forward(x) left out no hook"]
    parts += [f"it runs: {', '.join(kept)}"] if kept and left_out else []
    return f"{'; '.join(parts)}. Hooks of the modules inside run either way, for forward calls those as modules."


WORKLOAD = Workload(
    name="call-path",
    script="call_path.py",
    about="one small network, called as model(x) and as model.forward(x)",
    question="what does the call cost, and what is lost without it?",
    variants=variants,
    tell=tell,
    repeats=5,
    notes=(ONE_THREAD_NOTE,),
)
