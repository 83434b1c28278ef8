"""What the numbers of an attribution window's marks stand for: lines of the user's program, names of modules.

A line is told below the folder of the script (``train.py:47``, ``lib/util.py:6``), in an installed package below the
place of its packages, elsewhere as a full path. A site that is not exact names the function, with the line on which it
is defined: ``helper (train.py:6)``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stallscope.traces.model.fields import INSTALLED
from stallscope.traces.model.manifest import CallSite, Manifest, NamedModule


@dataclass(frozen=True, slots=True)
class SiteName:
    """One call site as people name it."""

    line: str  # "train.py:47"; not exact: "helper (train.py:6)"
    function: str  # that holds the line
    callers: tuple[str, ...]  # lines, the nearest first
    called: str  # "item", "__bool__", "forward", …
    exact: bool
    would_synchronize: bool


def site_names(manifest: Manifest) -> tuple[SiteName, ...]:
    """The names of the manifest's call sites, by number."""
    folder = script_folder(manifest)
    return tuple(_site_name(site, folder) for site in manifest.call_sites)


def _site_name(site: CallSite, folder: str | None) -> SiteName:
    lines = [f"{short_path(frame.file, folder)}:{frame.line}" for frame in site.frames] or ["(unknown)"]
    function = site.frames[0].function if site.frames else ""
    line = lines[0] if site.exact else f"{function} ({lines[0]})"
    return SiteName(line, function, tuple(lines[1:]), site.kind, site.exact, site.would_synchronize)


def script_folder(manifest: Manifest) -> str | None:
    """The folder from which paths are told: that of the script, as the frames of the call sites spell it."""
    script = _script(manifest.command)
    if script is None:
        return None
    paths = [_slashes(frame.file) for site in manifest.call_sites for frame in site.frames]
    parts = [] if manifest.whole_run is None else manifest.whole_run.parts
    paths += [_slashes(line.file) for part in parts for line in part.lines]
    found = Counter(path.removesuffix(script) for path in paths if path == script or path.endswith("/" + script))
    if not found:
        return None
    root = min(found, key=lambda path: (-found[path], path))  # "" or with a slash at its end
    inside = "" if manifest.command[0] == "-m" else script.rpartition("/")[0]
    return (root + inside).rstrip("/") or None


def _script(command: Sequence[str]) -> str | None:
    """The end of the script's path, with slashes: as given, or that of the module after ``-m``."""
    if not command:
        return None
    if command[0] == "-m":
        return command[1].replace(".", "/") + ".py" if len(command) > 1 else None
    path = re.sub(r"^(?:[A-Za-z]:)?/+", "", _slashes(command[0]))
    while path.startswith(("./", "../")):
        path = path.partition("/")[2]
    return path


def short_path(path: str, folder: str | None) -> str:
    """A path below ``folder``, below the installed packages, or as it is."""
    path = _slashes(path)
    if folder is not None and path.startswith(folder + "/"):
        return path[len(folder) + 1 :]
    installed = INSTALLED.match(path)
    return path[installed.end() :] if installed else path


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def module_names(modules: Sequence[NamedModule]) -> tuple[str, ...]:
    """A name for each module: qualified below its root, with the root's class where two roots have one of the name.

    A root is called by its class. Equal names are told apart by a number.
    """
    roots: dict[str, set[str]] = {}
    for module in modules:
        roots.setdefault(module.name, set()).add(module.root)
    names = [_module_name(module, several=len(roots[module.name]) > 1) for module in modules]
    seen: Counter[str] = Counter()
    told = []
    for name in names:
        seen[name] += 1
        told.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(told)


def _module_name(module: NamedModule, *, several: bool) -> str:
    if not module.name:
        return module.type
    return f"{module.root}.{module.name}" if several and module.root else module.name
