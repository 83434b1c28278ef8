"""Where lines cannot be told, because something is compiled, the function is named and marked as such, to the end."""

from __future__ import annotations

import pytest

from stallscope import api
from tests.scripts.forked import profiled
from tests.scripts.processes import write
from tests.scripts.recorded import manifest

pytestmark = pytest.mark.slow

SCRIPT = """
    import sys, torch
    from torch import nn
    if sys.argv[1] == "old" and "stallscope" in sys.modules:
        from stallscope.profiling.watch.compiled import Gate
        Gate.SWITCH = "no_such_function"  # a torch that does not tell when compiled code runs
    class Inner(nn.Module):
        def forward(self, x):
            return x[x > 0].sum()
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.inner = nn.Linear(4, 4), Inner()
        def forward(self, x):
            return self.inner(self.first(x))
    @torch.compile(backend="eager")
    def scaled(x):
        return x * 2 + 1
    model = Net()
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(40):
        opt.zero_grad()
        loss = model(scaled(torch.randn(16, 4)))
        loss.backward()
        opt.step()
        loss.item()
"""
INNER, NET, SCALED, CALL = 7, 13, 15, 22  # first lines of functions; the line that calls


@pytest.fixture(scope="module", params=["new", "old"])
def recorded(request, tmp_path_factory):
    """Which torch, the manifest and the summary of a run of the script above."""
    folder = tmp_path_factory.mktemp(request.param)
    write(folder, SCRIPT)
    ended = profiled("train.py", request.param, cwd=folder)
    assert ended.code == 0, ended.err
    return request.param, manifest(folder / "runs" / "train"), api.summarize(folder / "runs" / "train")


def lines(sites):
    """The lines of each site, innermost first."""
    return [[frame.line for frame in site.frames] for site in sites]


def test_the_function_is_named_where_lines_cannot_be_told(recorded):
    """A torch that tells: the compiled function alone. One that does not: the ``forward`` of each module."""
    which, found, _ = recorded
    functions = [site for site in found.call_sites if not site.exact]
    assert {site.kind for site in functions} == {"function"}
    if which == "new":
        assert lines(functions) == [[SCALED, CALL]]
        assert "index" in {site.kind for site in found.call_sites if site.exact}
    else:
        assert lines(functions) == [[NET, CALL], [INNER, NET + 1, CALL]]
        assert {site.kind for site in found.call_sites if site.exact} == {"forward", "backward"}
    assert ("compiled" in {each.name for each in found.findings}) == (which == "old")


def test_the_summary_says_that_it_is_a_function(recorded):
    """Places are called ``forward (train.py:7)``, not ``train.py:7``, and are not taken for lines of calls."""
    which, _, summary = recorded
    rows = {row.call_site: row for row in summary.call_sites}
    name = f"scaled (train.py:{SCALED})" if which == "new" else f"Inner.forward (train.py:{INNER})"
    assert rows[name].is_call is False
    assert rows[name].host_us_per_step > 0
    assert all(row.is_call for place, row in rows.items() if place is not None and place.startswith("train.py:"))
    if which == "old":
        assert any("functions are named instead of lines" in each.text for each in summary.findings)
