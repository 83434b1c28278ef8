"""The registry of output formats: what is in a view's folder, and nothing else."""

from pathlib import Path

import pytest

from stallscope import cli
from stallscope.analysis.report import formats as registry
from stallscope.analysis.report.formats import formats, renderer
from stallscope.traces.model.errors import BadInput

FOLDER = Path(registry.__file__).parent
VIEWS = sorted({path.parent.name for path in FOLDER.glob("*/text.py")})


@pytest.mark.parametrize("view", VIEWS)
def test_each_module_of_a_view_renders_it(view):
    """A format is a module with ``render``, and every module in the folder is one."""
    assert set(formats(view)) == {path.stem for path in (FOLDER / view).glob("[!_]*.py")}
    assert all(callable(renderer(view, name)) for name in formats(view))
    assert formats(view)[:2] == ("text", "json")


def test_a_module_put_into_the_folder_is_a_format(tmp_path, monkeypatch):
    """Nothing else is touched: summary/csv.py is enough to be offered, behind those that are there."""
    (tmp_path / "summary").mkdir()
    for name in ("text", "json", "markdown", "csv"):
        (tmp_path / "summary" / f"{name}.py").write_text("")
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "formats.py"))
    assert formats("summary") == ("text", "json", "csv", "markdown")


def test_a_format_that_a_view_lacks_is_refused_with_the_list():
    """One sentence, exit code 2: what the view is, and what there is instead."""
    with pytest.raises(BadInput, match="compare: not to be had as markdown; choose one of: text, json"):
        renderer("compare", "markdown")


@pytest.mark.parametrize(
    ("command", "views"),
    [
        ("summary", ("summary", "health")),
        ("whatif", ("whatif", "scores", "constants")),
        ("compare", ("compare",)),
        ("env", ("env",)),
    ],
)
def test_a_command_offers_what_the_registry_has(command, views):
    """The choices of ``--format`` are the formats of what the command shows."""
    (option,) = [each for each in cli.command(command).params if "--format" in each.opts]
    assert option.metavar == f"<{'|'.join(formats(*views))}>"
