"""The columns of a ``Trace`` as a pandas or polars table, for people who go on in a notebook.

Neither library is a dependency: it is looked for when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stallscope.traces.model.errors import BadInput

Column = NDArray[Any] | tuple[NDArray[Any], tuple[str, ...]]  # (n,), masked where missing; or codes and their texts


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)  # by name: nothing of Stallscope depends on it
    except ImportError as error:
        raise BadInput(f"Trace.to_{name} needs {name}, which is not installed: python -m pip install {name}") from error


def to_pandas(columns: Mapping[str, Column]) -> Any:
    """The columns as a ``pandas.DataFrame``: texts as categories, what may be missing as ``Int64``.

    Raises:
        BadInput: pandas is not installed.

    """
    pandas = _library("pandas")
    table = {}
    for name, values in columns.items():
        if isinstance(values, tuple):
            table[name] = pandas.Categorical.from_codes(values[0], list(values[1]))
        elif isinstance(values, np.ma.MaskedArray):
            table[name] = pandas.arrays.IntegerArray(values.data.copy(), np.ma.getmaskarray(values).copy())
        else:
            table[name] = values
    return pandas.DataFrame(table)


def to_polars(columns: Mapping[str, Column]) -> Any:
    """The columns as a ``polars.DataFrame``: texts as ``Categorical``, what may be missing as nulls.

    Raises:
        BadInput: polars is not installed.

    """
    polars = _library("polars")
    table = {}
    for name, values in columns.items():
        if isinstance(values, tuple):
            table[name] = polars.Series(name, list(values[1]), dtype=polars.Categorical).gather(values[0])
        elif isinstance(values, np.ma.MaskedArray):
            table[name] = polars.Series(name, values.data).set(polars.Series(np.ma.getmaskarray(values)), None)
        else:
            table[name] = polars.Series(name, values)
    return polars.DataFrame(table)
