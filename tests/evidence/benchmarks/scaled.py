"""Large traces made of a small one: its events again and again, each time later and under new ids.

The layout of the text is kept. Times, correlation and external ids, Python ids, event indices, flow ids and step
numbers are shifted by a whole period, so every link still holds. Names do not grow in number with the size and the
file compresses as repeats do: kinder than a real trace of that size would be.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

IDS = (
    "correlation",
    "External id",
    "external id",
    "Python id",
    "Python parent id",
    "Ev Idx",
    "Profiler Event Index",
    "Record function id",
)
NUMBER = re.compile(
    r'("ts": |"(?:' + "|".join(map(re.escape, IDS)) + r')": |(?<="ph": "[sf]", )"id": |ProfilerStep#)(\d+)(\.\d{3})?'
)
STEP = "ProfilerStep#"
TIME = '"ts": '


class Template:
    """The events of a document as text with holes, and what goes into the holes."""

    def __init__(self, document: str) -> None:
        start = document.index('"traceEvents"')
        start = document.index("[", start) + 1
        end = document.rindex("]")
        self.head, events, self.tail = document[:start], document[start:end].strip(), document[end:]
        self.kinds: list[str] = []
        self.values: list[int] = []
        self.text = NUMBER.sub(self._hole, events.replace("%", "%%"))
        first = min(value for kind, value in zip(self.kinds, self.values, strict=True) if kind == TIME)
        self.shift = {kind: self._period(kind, first) for kind in set(self.kinds)}

    def _hole(self, found: re.Match[str]) -> str:
        self.kinds.append(found[1])
        self.values.append(int(found[2]))
        return f"{found[1]}%d{found[3] or ''}"

    def _period(self, kind: str, first: int) -> int:
        """What the next repeat adds: the span in µs and a little, or the largest number of the kind and one."""
        values = [value for k, value in zip(self.kinds, self.values, strict=True) if k == kind]
        if kind == TIME:
            return max(values) - first + 1_000_000
        return max(values) + 1 if kind == STEP else max(values) + 10

    def repeated(self, times: int) -> Iterator[str]:
        """The document in pieces, its events ``times`` times."""
        yield self.head + "\n"
        shifts = [self.shift[kind] for kind in self.kinds]
        for k in range(times):
            values = tuple(value + k * shift for value, shift in zip(self.values, shifts, strict=True))
            yield ("" if k == 0 else ",\n") + self.text % values
        yield "\n" + self.tail


def write(document: str, megabytes: int, path: Path) -> int:
    """Write ``document`` repeated to about ``megabytes`` (10**6 bytes of JSON) to ``path``, gzip; its size."""
    template = Template(document)
    times = max(1, round(megabytes * 1e6 / len(template.text)))
    size = 0
    with gzip.open(path, "wb", compresslevel=1) as file:
        for piece in template.repeated(times):
            data = piece.encode()
            size += len(data)
            file.write(data)
    return size
