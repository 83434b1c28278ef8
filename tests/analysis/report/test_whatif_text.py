"""The reasons under a forecast."""

from stallscope.analysis.contract.forecast import WhatIf
from stallscope.analysis.report.whatif_table import grounds


def fix(name, why, *, applies=False):
    """A forecast of which only the reason matters."""
    return WhatIf(fix=name, applies=applies, why=why)


def test_fixes_of_one_reason_share_a_line():
    """Three without a forecast, two for one reason: two lines, in the order of the first of each."""
    fixes = [fix("cuda_graph", "no steps"), fix("cpu", "measure"), fix("larger_batch", "no steps")]
    assert grounds(fixes, applies=False) == ["cuda_graph, larger_batch: no steps", "cpu: measure"]
    assert grounds(fixes, applies=True) == []
