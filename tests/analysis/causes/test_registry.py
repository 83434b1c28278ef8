"""One catalogue: order, what is worth a word, and that a specific cause is not blamed again by a general one."""

from stallscope.analysis.causes import registry
from stallscope.analysis.causes.case import WORTH, Case
from stallscope.analysis.causes.facts import find_facts
from stallscope.analysis.replay.counterfactual import find_replayed
from stallscope.analysis.stages.stages import analyse
from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder
from tests.real import every_real_trace, real


def case_of(builder):
    """What families look at, of a built trace that is replayed."""
    stages = analyse(builder.trace()).typical
    facts = find_facts(stages, None, refused=False)
    return Case(stages=stages, facts=facts, manifest=None, replayed=find_replayed(stages), kind="launch-bound")


def optimizing():
    """Four steps of 1 ms: ten kernels of 2 µs, each started in 40 µs, and ten more by an optimizer."""
    builder = TraceBuilder()
    for at in range(0, 4000, 1000):
        builder.step(at, 1000).annotation("Optimizer.step#SGD.step", at + 500, 480)
        for place in range(20):
            start = at + 10 + 49 * place
            builder.op("aten::add", start, 45).launch(start + 35, 5, kernel=("add", start + 42, 2))
    return builder


def test_a_cause_saves_what_the_replay_says_without_its_nodes():
    """No node, nothing; all of the host's, the step but for what the GPU does; more nodes never save less."""
    case = case_of(optimizing())
    host = ~case.graph.on_device
    half = host & (case.graph.start_ns < 2_000_000)
    saved = [case.saving_us(nodes) for nodes in (case.none(), half, host)]
    assert saved[0] == 0.0
    assert saved[0] <= saved[1] <= saved[2] <= case.step_us
    assert saved[2] > 0.9 * case.step_us


def test_what_stays_of_a_node_is_not_saved():
    """With half of their time kept the host's nodes save about half."""
    case = case_of(optimizing())
    host = ~case.graph.on_device
    assert 0.4 < case.saving_us(host, kept=0.5) / case.saving_us(host) < 0.6


def test_what_a_specific_cause_claims_is_not_blamed_again():
    """Half of the launches are the optimizer's: both are told, and the general one saves no more than the rest."""
    found = {cause.name: cause for cause in summarize(optimizing().trace()).causes}
    assert found["optimizer"].saves_us > 300
    assert found["launching"].saves_us < 700
    assert case_of(optimizing()).is_claimed(analyse(optimizing().trace()).launches.calls) is False


def test_what_is_below_one_percent_is_no_cause(monkeypatch):
    """Of three made-up causes, which cost 0.5, 2 and 30 %, two are told, the dearest first."""

    def family(case):
        for name, share in (("small", 0.005), ("some", 0.02), ("large", 0.3)):
            yield case.claim(name, name, evidence="", advice="", cost_us=share * case.step_us)

    monkeypatch.setattr(registry, "FAMILIES", (family,))
    assert [cause.name for cause in registry.find_causes(case_of(optimizing()))] == ["large", "some"]


@every_real_trace
def test_causes_of_real_traces_are_in_order_and_whole(path):
    """Most saved first; each with evidence and advice in whole sentences, worth a word, and within the step."""
    summary = real(path).summary
    saved = [cause.saves_us or 0.0 for cause in summary.causes]
    assert saved == sorted(saved, reverse=True)
    assert len({cause.name for cause in summary.causes}) == len(summary.causes)
    for cause in summary.causes:
        assert cause.evidence.endswith((".", ")")), cause.name
        assert cause.advice.endswith((".", ")")), cause.name
        shares = [share for share in (cause.saves_share, cause.share) if share is not None]
        assert not shares or max(shares) >= WORTH, cause.name
        assert cause.saves_share is None or cause.saves_share <= 1.0, cause.name
