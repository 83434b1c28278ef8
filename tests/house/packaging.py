"""Copies, clones, builds and empty environments of this project, for the packaging tests. No network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests import ROOT

SOURCES = ("analysis", "profiling", "stallscope", "traces")
FILES = ("pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Output of a command that must succeed; ``env`` is added to an environment without PYTHONPATH."""
    result = attempt(*command, cwd=cwd, **env)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def attempt(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    clean = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", **env},
        capture_output=True,
        text=True,
        encoding=env.get("PYTHONIOENCODING", "utf-8"),
        timeout=240,
        check=False,
    )


def copy_tree(folder: Path) -> Path:
    """What a build reads of this checkout, copied into ``folder`` with its links."""
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    return folder


def build(source: Path, kind: str, target: Path) -> Path:
    """Build ``kind`` ("wheel" or "sdist") of ``source`` as pip does, without isolation; the file made."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    return target / run(sys.executable, "-c", code, cwd=source).splitlines()[-1]


def environment(folder: Path) -> Path:
    """The interpreter of a new environment that holds nothing, but reaches the packages of this one.

    A path in a ``.pth`` file does not process the ``.pth`` files found there, so an editable install of this project
    in the test environment stays out of sight.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", code, cwd=folder).strip())
    reached = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (packages / "test_environment.pth").write_text("\n".join(reached) + "\n", encoding="utf-8")
    return python


def install(python: Path, *what: str | Path, cwd: Path) -> None:
    """``pip install`` into another environment, from nothing but what is here."""
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=cwd)


def clone(folder: Path, **config: str) -> Path:
    """A clone of the last commit, with git settings (``core_symlinks="false"``)."""
    settings = [word for key, value in config.items() for word in ("-c", f"{key.replace('_', '.')}={value}")]
    run("git", *settings, "clone", "--quiet", *settings, ROOT, folder, cwd=folder.parent)
    return folder
