"""The optimizer and zero_grad: named where they launch many kernels, and not where they are fused."""

from stallscope.analysis.summary import summarize
from tests.builders import TraceBuilder


def causes(builder):
    """Causes by name."""
    return {cause.name: cause for cause in summarize(builder.trace()).causes}


def launching(optimizer, zero_grad):
    """A step of 1 ms: Adam starts kernels of 1 µs in 200 µs, zero_grad in 100 µs, at the times given."""
    builder = TraceBuilder().step(0, 1000).annotation("Optimizer.step#Adam.step", 100, 200)
    builder.annotation("Optimizer.zero_grad#Adam.zero_grad", 400, 100)
    for start in (*optimizer, *zero_grad):
        builder.launch(start, 2, kernel=("k", start + 5, 1))
    return builder


def test_optimizer_and_zero_grad_by_the_idle_time_in_them():
    """Four of six kernels are Adam's, two zero_grad's: the GPU idles 196 and 98 µs meanwhile."""
    found = causes(launching((110, 130, 150, 170), (410, 430)))
    assert (found["optimizer"].cost_us, found["zero_grad"].cost_us) == (196.0, 98.0)
    assert found["optimizer"].advice == "torch.optim.Adam(model.parameters(), ..., fused=True) needs one or two."
    assert found["optimizer"].fix == "fused_optimizer"
    assert "set_to_none=True" in found["zero_grad"].advice


def test_a_fused_optimizer_and_an_empty_zero_grad_are_no_causes():
    """Two launches are what a fused optimizer needs; a zero_grad that launches nothing fills nothing."""
    assert not {"optimizer", "zero_grad"} & set(causes(launching((110, 130), ())))


def test_optimizer_evidence_counts_its_launches():
    """Adam that starts 4 of 6 kernels."""
    found = causes(launching((110, 130, 150, 170), (410, 430)))
    assert found["optimizer"].evidence.startswith("4 of 6 launches a step are the optimizer's")


def clipping(products):
    """Four steps: 25 norms, and after them a product for each of so many tensors, each launched in 20 µs."""
    builder = TraceBuilder()
    for at in range(0, 8000, 2000):
        builder.step(at, 2000)
        names = ["aten::linalg_vector_norm"] * 25 + ["aten::mul_"] * products
        for place, name in enumerate(names):
            start = at + 50 + 30 * place
            builder.op(name, start, 20).launch(start + 10, 5, kernel=(name, start + 18, 2))
    return causes(builder)


def test_clipping_holds_its_products_too():
    """25 norms and 25 products of 20 µs each are 1 ms a step; three products are somebody else's."""
    assert clipping(25)["clip"].cost_us == 1000.0
    assert clipping(3)["clip"].cost_us == 500.0
