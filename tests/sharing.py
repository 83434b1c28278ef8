"""How tests are shared out among processes: what shares something costly stays together, other slow tests go alone.

xdist's own ``loadgroup`` does not work with pytest 9.2, which no longer lets it put the group into a test's id.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

from tests import ROOT
from tests.real import name_of, real_trace_paths


class Together(LoadScopeScheduling):
    """Hands out the tests of a real trace together, slow tests that share no fixture each alone, others by file."""

    def _split_scope(self, nodeid: str) -> str:
        """The name of what a test is handed out with."""
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """The name of a real trace, of the test itself, or of its file."""
    path, _, test = nodeid.partition("::")
    parameter = test.partition("[")[2].removesuffix("]")
    if parameter in _real_names():
        return parameter
    return nodeid if _each_alone(ROOT / path) else path


@cache
def _real_names() -> frozenset[str]:
    return frozenset(map(name_of, real_trace_paths()))


@cache
def _each_alone(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "pytest.mark.slow" in text and 'scope="module"' not in text
