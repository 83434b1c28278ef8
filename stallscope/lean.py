"""numpy without the threads of its linear algebra, which nothing here uses and which cost more than a small trace."""

from __future__ import annotations

import os
import sys

VARIABLE = "OPENBLAS_NUM_THREADS"


def import_numpy() -> None:
    """Import numpy with one thread, unless it is there already or the user says how many.

    The environment is as before when this returns: a script that this process runs, or a child of it, sees nothing.
    """
    if "numpy" in sys.modules or VARIABLE in os.environ:
        return
    os.environ[VARIABLE] = "1"
    try:
        import numpy  # noqa: F401, ICN001, PLC0415
    finally:
        del os.environ[VARIABLE]
