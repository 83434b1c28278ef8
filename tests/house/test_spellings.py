"""Vendor spellings: only ``traces/vendors`` knows what CUDA, HIP, Level Zero, NCCL and Kineto's copies are called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from stallscope.traces.model.fields import CATEGORIES
from tests import ROOT
from tests.house.house import modules

HOME = "stallscope.traces.vendors"
SPELLING = re.compile(
    r"(?<![A-Za-z_])(cuda|cu|hip|ur|ze|piext|pi)[A-Z]"  # cudaMalloc, cuMemAlloc, hipMalloc, urQueueFinish, zeMemFree
    r"|\bcu\||\|cu\b|cu\(da\)|hip\\w"  # patterns of such names
    r"|nccl|rccl|Cijk|cutlass"
    r"|Memcpy|Memset|Pageable|Pinned"
    r"|(Device|Stream|Event|Ctx|Context) ?Sync|Wait ?Event|(Begin|End)Capture|GraphLaunch|LaunchKernel|KernelLaunch"
)
WORD = re.compile(r"(?<!\S)[a-z]+[.,:;]?(?!\S)")
WORDS = 3  # in text for people
ALLOWED = {
    ("stallscope.profiling.workloads.data_parallel", "nccl"),  # what torch.distributed calls its backend
    ("stallscope.traces.describe.validate", "nccl_metadata"),  # what torch calls its rule
}


def spellings(source: str) -> Iterator[str]:
    """The texts of a source that spell something as a vendor does, but for docstrings and sentences for people."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _has_doc(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            text = node.value
            if SPELLING.search(text) and text not in CATEGORIES and len(WORD.findall(text)) < WORDS:
                yield text


def _has_doc(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def test_one_home_for_what_vendors_call_things() -> None:
    """Outside ``traces/vendors`` no module holds a vendor's name of a call, copy or kernel, or a pattern of such."""
    found = {
        (name, text)
        for name, path in modules(ROOT).items()
        if not name.startswith(HOME)
        for text in spellings(path.read_text(encoding="utf-8"))
    }
    assert found - ALLOWED == set()


@pytest.mark.parametrize(
    "source",
    [
        'name == "cudaMemcpy"',
        'name.startswith("hipMemcpy")',
        'X = re.compile(r"(?:cuda|cu|hip)StreamWaitEvent")',
        '"Stream Wait" in name and "WaitEvent" in name',
        'LAUNCHES = {"zeCommandListAppendLaunchKernel"}',
        'return name.endswith("LaunchKernel")',
        'nccl = "nccl" in name',
        '_NAME = re.compile(r"Memcpy HtoD")',
        'f"{way} (Pageable"',
        '("Context Sync",)',
    ],
)
def test_a_planted_spelling_is_found(source: str) -> None:
    """Whether it is compared, part of a pattern, or an entry of a table."""
    assert list(spellings(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        '"""cudaMalloc allocates."""',
        'advice = "cudaStreamSynchronize and its like wait for the GPU"',
        'x.to("cuda")',
        'fields = {"cuda_sync": 1, "Memcpy": 2}',
        'name = "cuddle"',
    ],
)
def test_what_is_no_spelling(source: str) -> None:
    """Documentation, advice, torch's words for devices, and the categories of the file format may say what they say."""
    assert list(spellings(source)) == []
