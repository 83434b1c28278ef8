"""A virtual environment for each peer, under the ignored folder ``work/``: they need other packages than we do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORK = Path(__file__).parent / "work"
# HTA 0.5.0 breaks on pandas 3.
PACKAGES = {
    "hta": ("HolisticTraceAnalysis==0.5.0", "pandas<3"),
    "tb": ("torch-tb-profiler==0.4.3", "tensorboard>=2.21"),
}


def python_of(peer: str) -> Path:
    """The interpreter of the peer's environment, made on first use."""
    folder = WORK / peer
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    ready = folder / ".ready"
    if not ready.exists():
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES[peer]]
        subprocess.run(install, check=True)
        ready.touch()
    return python
