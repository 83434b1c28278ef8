"""The names of the parts of a whole page, in its order: what ``summary --show`` takes."""

from __future__ import annotations

from typing import Final

SECTIONS: Final = (
    *("cleared", "advice", "forecast", "causes", "lines", "findings", "health"),
    *("time", "launches", "idle", "waits", "copies", "operators", "modules", "places", "kernels", "gpus"),
    *("memory", "words"),
)
