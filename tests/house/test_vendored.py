"""The library that the pages carry is the one that npm publishes, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.house.packaging import ROOT

VENDOR = ROOT / "analysis" / "report" / "html" / "web" / "vendor"
VENDORED = json.loads((VENDOR / "vendored.json").read_text(encoding="utf-8"))
NPM = shutil.which("npm")


def integrity(data: bytes) -> str:
    """As npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def test_the_files_are_those_recorded():
    """Nobody has changed one, and none lies there that is not recorded."""
    files = {path.name: integrity(path.read_bytes()) for path in VENDOR.iterdir() if path.name != "vendored.json"}
    assert files == {name: each["integrity"] for name, each in VENDORED["files"].items()}


@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="npm is not installed: the vendored files are held against their hashes only")
def test_they_are_those_that_npm_has(tmp_path: Path):
    """The package of that version has the recorded hash, and in it lie the same files."""
    package = f"{VENDORED['name']}@{VENDORED['version']}"
    options = ["--pack-destination", str(tmp_path), "--cache", str(tmp_path / "cache"), "--fetch-retries", "1"]
    command = [str(NPM), "pack", package, *options]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    if asked.returncode:
        assert "EINTEGRITY" not in asked.stderr
        pytest.skip(f"npm's registry cannot be reached: {asked.stderr.strip()[-200:]}")
    (packed,) = tmp_path.glob("*.tgz")
    assert integrity(packed.read_bytes()) == VENDORED["integrity"]
    with tarfile.open(packed) as archive:
        for name, each in VENDORED["files"].items():
            member = archive.extractfile(f"package/{each['from']}")
            assert member is not None
            assert member.read() == (VENDOR / name).read_bytes(), name
