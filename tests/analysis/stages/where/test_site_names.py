"""Numbers of marks as lines and module names."""

import pytest

from stallscope.analysis.stages.where.site_names import module_names, script_folder, site_names
from stallscope.traces.model.manifest import CallSite, Frame, NamedModule
from tests.analysis.test_summary import manifest_of


def manifest(command: list[str], *files: str, **site):
    """One site whose frames lie in the given files, on lines 1, 2, …, the innermost first."""
    frames = [Frame(file=file, line=i, function=f"f{i}") for i, file in enumerate(files, 1)]
    return manifest_of(command=command, call_sites=[CallSite(kind="item", frames=frames, **site)])


@pytest.mark.parametrize(
    ("command", "files", "lines"),
    [
        (["train.py"], ["/w/p/train.py"], ["train.py:1"]),
        (["./sub/train.py", "--lr", "1"], ["/w/sub/lib/u.py", "/w/sub/train.py"], ["lib/u.py:1", "train.py:2"]),
        (["../train.py"], ["/w/other.py", "/w/train.py"], ["other.py:1", "train.py:2"]),
        (["/w/p/train.py"], ["/w/p/a/b.py", "/w/p/train.py", "/x/c.py"], ["a/b.py:1", "train.py:2", "/x/c.py:3"]),
        (["-m", "pkg.train"], ["/w/pkg/data.py", "/w/pkg/train.py"], ["pkg/data.py:1", "pkg/train.py:2"]),
        (["train.py"], ["train.py"], ["train.py:1"]),
        (["C:\\w\\train.py"], ["C:\\w\\lib\\u.py", "C:\\w\\train.py"], ["lib/u.py:1", "train.py:2"]),
        (["train.py"], ["/e/lib/python3.11/site-packages/hf/t.py", "/w/train.py"], ["hf/t.py:1", "train.py:2"]),
        (["train.py"], ["/elsewhere/u.py"], ["/elsewhere/u.py:1"]),
        ([], ["/w/train.py"], ["/w/train.py:1"]),
    ],
)
def test_lines_are_told_from_the_folder_of_the_script(command, files, lines):
    """Whatever way the script was named; packages from where they are installed; else the whole path."""
    (name,) = site_names(manifest(command, *files))
    assert [name.line, *name.callers] == lines


def test_the_folder_of_a_script_that_no_frame_names_is_unknown():
    """Nothing is guessed from the command line alone."""
    assert script_folder(manifest(["train.py"], "/w/other.py")) is None


def test_a_site_that_is_not_exact_is_a_function():
    """The line is that of its definition, as with Python frames."""
    (name,) = site_names(manifest(["t.py"], "/w/t.py", exact=False))
    assert (name.line, name.exact) == ("f1 (t.py:1)", False)


def test_modules_are_called_by_their_path():
    """A root by its class; a path of two roots with the root's class before it; the same again with a number."""
    modules = [
        NamedModule(name="", type="Net"),
        NamedModule(name="layers.0", type="Linear", root="Net"),
        NamedModule(name="head", type="Linear", root="Net"),
        NamedModule(name="head", type="Linear", root="Other"),
        NamedModule(name="", type="Net"),
    ]
    assert module_names(modules) == ("Net", "layers.0", "Net.head", "Other.head", "Net (2)")
