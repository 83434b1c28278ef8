"""What is found wrong with a file while it is read: counted by name, with the first place of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Damage:
    """Collects findings; ``defects.py`` makes issues of them."""

    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)  # name → where it was met first, as a phrase

    def note(self, name: str, count: int = 1, place: str = "") -> None:
        """Count a finding; the first ``place`` of each name is kept."""
        self.counts[name] += count
        if place:
            self.places.setdefault(name, place)

    def note_some(self, name: str, count: int) -> None:
        """Count a finding that there may be none of."""
        if count:
            self.note(name, count)

    def add(self, other: Damage) -> None:
        """Take over what another collection holds."""
        for name, count in other.counts.items():
            self.note(name, count, other.places.get(name, ""))

    def __contains__(self, name: str) -> bool:
        return name in self.counts
