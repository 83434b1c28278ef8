"""The arithmetic of a step in the words of the contract, beside what the card can do."""

from __future__ import annotations

from typing import Final

from stallscope.analysis.contract.flops import Flops
from stallscope.analysis.stages.gpu import flops as stage
from stallscope.analysis.stages.stages import Stages
from stallscope.traces.vendors.cards import Card, card_of

KNOWN: Final = 0.8  # of such work and of its operations, at least, for a share of the peak


def fill_flops(stages: Stages) -> Flops | None:
    """The arithmetic; None where no shapes were recorded, or the device's rows cannot be trusted."""
    found, step_ns = stages.flops, stages.completion.step_ns
    if found is None or not stages.measured or not step_ns:
        return None
    used = {device.device for device in stages.typical.activity.devices}
    names = {device.name for device in stages.trace.devices if device.ordinal in used or len(stages.trace.devices) == 1}
    card = card_of(next(iter(names))) if len(names) == 1 else None
    needed = None if card is None or found.known_share < KNOWN else _needed_s(found, card)
    by_type: dict[str, float] = {}
    for (of_type, _), operations in found.by_kind.items():
        by_type[of_type] = by_type.get(of_type, 0.0) + operations / found.steps
    return Flops(
        per_step=found.total / found.steps,
        by_type=dict(sorted(by_type.items())),
        known_share=found.known_share,
        kernel_us_per_step=found.device_ns / (1000 * found.steps),
        tflops=found.total / found.steps / step_ns / 1000,
        peak_share=None if needed is None else needed / found.steps / (step_ns / 1e9) / max(1, len(used)),
        kernel_peak_share=None if needed is None or not found.device_ns else needed / (found.device_ns / 1e9),
        card=next(iter(names)) if len(names) == 1 else None,
        peak_source=None if card is None else card.source,
    )


def _needed_s(found: stage.Flops, card: Card) -> float | None:
    """The time that the operations would take at the card's peak, s; None where it is not known of most of them."""
    needed, known = 0.0, 0.0
    for (of_type, tensor_cores), operations in found.by_kind.items():
        peak = card.peak(of_type, tensor_cores=tensor_cores)
        if peak is not None:
            needed += operations / (peak * 1e12)
            known += operations
    return needed * found.total / known if known and known >= KNOWN * found.total else None
