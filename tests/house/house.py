"""The source as ``ast`` alone sees it: modules, who imports whom (lazily, and for types too), cycles, folders."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("traces", "profiling", "analysis", "stallscope")
LINKS = ("stallscope/traces", "stallscope/profiling", "stallscope/analysis")


def modules(root: Path) -> dict[str, Path]:
    """Every module of ours by its dotted name; the links inside ``stallscope`` are not followed."""
    named = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            inside = path.relative_to(root).with_suffix("")
            if not inside.as_posix().startswith(LINKS):
                parts = [*inside.parts] if folder == "stallscope" else ["stallscope", *inside.parts]
                named[".".join(parts).removesuffix(".__init__")] = path
    return named


def imported(source: str, known: dict[str, Path]) -> set[str]:
    """The modules of ``known`` that a source imports: anywhere in it, under ``TYPE_CHECKING`` and in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in below}
    return names & known.keys()


def graph(root: Path) -> dict[str, set[str]]:
    """Every module of ours, and the modules of ours that it imports."""
    known = modules(root)
    return {name: imported(path.read_text(encoding="utf-8"), known) - {name} for name, path in known.items()}


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other, each sorted: Tarjan's strongly connected components of two and more."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    rings: list[list[str]] = []
    for start, first in edges.items():
        work: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(first)))] if start not in order else []
        if work:
            order[start] = low[start] = len(order)
            stack.append(start)
        while work:
            node, rest = work[-1]
            below = next(rest, None)
            if below is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    ring = stack[stack.index(node) :]
                    del stack[stack.index(node) :]
                    rings += [sorted(ring)] if len(ring) > 1 else []
            elif below not in order:
                order[below] = low[below] = len(order)
                stack.append(below)
                work.append((below, iter(sorted(edges[below]))))
            elif below in stack:
                low[node] = min(low[node], order[below])
    return rings


def folder_sizes(root: Path) -> dict[str, int]:
    """How many modules lie directly in each folder, ``__init__.py`` left out."""
    sizes: dict[str, int] = {}
    for path in modules(root).values():
        if path.name != "__init__.py":
            folder = path.parent.relative_to(root).as_posix()
            sizes[folder] = sizes.get(folder, 0) + 1
    return sizes
