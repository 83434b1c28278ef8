"""Stallscope: why a PyTorch training step is slow, in figures that can be trusted, and what to change.

The folders ``profiling``, ``analysis`` and ``traces`` of the checkout are imported as ``stallscope.profiling`` and so
on, through links beside this file. Where git made the links plain text files (Windows' default), the checkout's
folder is added to this package's path instead.
"""

from __future__ import annotations

from pathlib import Path as _Path

_here = _Path(__file__).parent
if (_here / "traces").is_file():  # a link that git wrote as text
    __path__.append(str(_here.parent))

__version__ = "0.1.0"
