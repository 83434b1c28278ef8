"""How many examples hypothesis tries: as many as a test names, but in the short profile no more than 25."""

from __future__ import annotations

from hypothesis import settings


def examples(most: int) -> settings:
    """At most so many, without a limit on the time of one: other tests may be using the processor."""
    return settings(max_examples=min(most, settings.default.max_examples), deadline=None)
