"""A training without any mistake: a network on a card, its kernels as long as its regime says."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from tests.evidence.simulator.faults.cards import CARDS, TILES, Card, Type
from tests.evidence.simulator.faults.plan import Plan, scaled, step_us
from tests.evidence.simulator.machine import drawn
from tests.evidence.simulator.models import BLOCKS, Layer, layer

BUSY = (1.5, 3.0)  # device time over host time of a training that keeps its GPU busy


@dataclass(frozen=True, slots=True)
class Wish:
    """What a fault asks of the training that it befalls; empty: anything."""

    cards: tuple[Card, ...] = CARDS
    families: tuple[str, ...] = tuple(BLOCKS)
    ratio: tuple[float, float] = BUSY
    launches: tuple[int, int] = (24, 80)
    types: tuple[Type, ...] = ()


def base(made: random.Random, seed: str, wish: Wish) -> Plan:
    """A training that keeps its GPU busy for ``wish.ratio`` times its host's time."""
    card = made.choice([each for each in wish.cards if not wish.types or set(each.types) & set(wish.types)])
    of = made.choice([each for each in card.types if not wish.types or each in wish.types])
    machine = card.machine(drawn("fault", seed), made)
    layers = network(made, made.choice(wish.families), made.randint(*wish.launches))
    tiles = tuple(made.choice(TILES) for _ in layers)
    plan = Plan(card, machine, of, layers, tiles, 2.0, made.uniform(3.0, 20.0), step_us=made.uniform(20.0, 60.0))
    host = step_us(plan, seed, 3, frozenset({"compute", "sync", "copy"}))
    device = made.uniform(*wish.ratio) * host
    plan = replace(plan, update=max(1.5, made.uniform(0.03, 0.1) * device))
    return scaled(plan, (device - plan.update) / device_us(plan))


def network(made: random.Random, family: str, launches: int) -> tuple[Layer, ...]:
    """Layers of one family, about ``launches`` kernels forward and backward, and a loss."""
    spread, found, count = made.uniform(0.1, 0.5), [], 5
    while count < launches:
        for kind in BLOCKS[family]:
            found.append(layer(made, kind, spread))
            count += len(found[-1].forward) + len(found[-1].backward)
    return (*found, layer(made, "loss", spread))


def device_us(plan: Plan) -> float:
    """What the kernels of the layers take in µs."""
    return sum(kernel.us for each in plan.layers for _, kernel in (*each.forward, *each.backward))
