"""What is built and installed is what stands in the folders; clones work where links and paths are unusual."""

from __future__ import annotations

import shutil
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from stallscope.traces.model.version import version
from tests.builders import TraceBuilder
from tests.house.packaging import ROOT, SOURCES, attempt, build, clone, copy_tree, environment, install, run

needs_git = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="needs git and a clone of the repository"
)


def package_name(folder: Path) -> str:
    """The import name of a folder below the checkout: ``analysis/report`` is ``stallscope.analysis.report``."""
    parts = folder.relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "stallscope" else ("stallscope", *parts))


def python_files() -> dict[Path, str]:
    """Every source file of the checkout, with its place in a wheel; links are not followed."""
    found = [path for part in SOURCES for path in _walk(ROOT / part)]
    return {path: f"{package_name(path.parent).replace('.', '/')}/{path.name}" for path in found}


def _walk(folder: Path) -> list[Path]:
    files: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name == "__pycache__":
            continue
        files += _walk(path) if path.is_dir() else [path] if path.suffix == ".py" else []
    return files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built in a copy."""
    return build(copy_tree(tmp_path_factory.mktemp("tree")), "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """One step of 100 µs with one kernel."""
    folder = tmp_path / "traces"
    folder.mkdir()
    builder = TraceBuilder().step(0, 100).op("aten::mm", 10, 50).launch(20, 5, kernel=("gemm", 40, 30))
    return builder.write(folder, "one.pt.trace.json")


# -- packages ---------------------------------------------------------------------------------------------------


def test_the_packages_of_pyproject_are_the_folders() -> None:
    """A new folder that is not listed would be missing from the wheel without a word."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted({package_name(path.parent) for path in python_files()})


def test_profiling_has_no_init() -> None:
    """Python 3.15's standard library has a package `profiling`; a folder with __init__.py would hide it (PEP 799)."""
    assert (ROOT / "profiling").is_dir()
    assert not (ROOT / "profiling" / "__init__.py").exists()


def test_the_links_of_the_facade_lead_to_the_folders() -> None:
    """stallscope/analysis is ../analysis, and so on (a checkout without links has text files of that content)."""
    for name in ("analysis", "profiling", "traces"):
        link = ROOT / "stallscope" / name
        target = str(link.readlink()) if link.is_symlink() else link.read_text()
        assert Path(target).as_posix() == f"../{name}"


# -- wheel and sdist --------------------------------------------------------------------------------------------


@pytest.mark.packaging
def test_the_wheel_holds_every_source_file_and_nothing_beside_stallscope(wheel: Path) -> None:
    """No top-level `profiling`, `analysis`, `traces` or `tests` may reach site-packages; no module may be missing."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"stallscope", f"stallscope-{version()}.dist-info"}
    assert {name for name in names if name.endswith(".py")} == set(python_files().values())
    assert "stallscope/py.typed" in names


@pytest.mark.packaging
def test_the_wheel_holds_the_sample_traces(wheel: Path) -> None:
    """Data files travel too: each sample trace of the checkout."""
    samples = {f"stallscope/traces/samples/{path.name}" for path in (ROOT / "traces" / "samples").glob("*.json.gz")}
    assert samples
    assert samples <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.packaging
def test_the_wheel_holds_what_the_pages_are_made_of(wheel: Path) -> None:
    """Each style, script and vendored file of the checkout, byte for byte; and the vendored library's licence."""
    archive = zipfile.ZipFile(wheel)
    found = [path for path in (ROOT / "analysis").rglob("web/**/*") if path.is_file()]
    assert {"report.css", "timeline.js", "uPlot.iife.min.js", "LICENSE", "index.js"} <= {path.name for path in found}
    for path in found:
        assert archive.read(f"stallscope/{path.relative_to(ROOT).as_posix()}") == path.read_bytes(), path
    licences = [name for name in archive.namelist() if ".dist-info/licenses/" in name]
    assert any("Leon Sorokin" in archive.read(name).decode() for name in licences)


@pytest.mark.packaging
def test_a_wheel_built_from_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    """Pip builds from the sdist where there is no wheel: it must hold all it needs."""
    (tmp_path / "tree").mkdir()
    sdist = build(copy_tree(tmp_path / "tree"), "sdist", tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build(source, "wheel", tmp_path)
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


@pytest.mark.packaging
def test_the_installed_wheel_runs_from_another_folder(wheel: Path, trace: Path, tmp_path: Path) -> None:
    """In an environment without this checkout: the command is there, shows its help, and explains a trace."""
    python = environment(tmp_path / "env")
    install(python, wheel, cwd=tmp_path)
    command = next(python.parent.glob("stallscope*"))
    where = run(python, "-c", "import stallscope; print(stallscope.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(tmp_path / "env")
    assert "profile" in run(command, "--help", cwd=tmp_path)
    plugins = "from importlib.metadata import entry_points as e; print([p.load() for p in e(group='pytest11')])"
    assert "stallscope.pytest_plugin" in run(python, "-c", plugins, cwd=tmp_path)
    assert "gemm" in run(command, "summary", "-v", trace, cwd=tmp_path)
    run(command, "report", trace, "-o", tmp_path / "report.html", cwd=tmp_path)
    assert "One step as a timeline" in (tmp_path / "report.html").read_text(encoding="utf-8")


# -- clones -----------------------------------------------------------------------------------------------------


@needs_git
@pytest.mark.packaging
def test_a_clone_without_links_installs_editable(trace: Path, tmp_path: Path) -> None:
    """Git on Windows writes links as text files by default: `pip install -e .` and the imports work all the same."""
    checkout = clone(tmp_path / "checkout", core_symlinks="false")
    assert (checkout / "stallscope" / "traces").is_file()
    python = environment(tmp_path / "env")
    install(python, "--editable", checkout, cwd=tmp_path)
    imports = "import stallscope.profiling.run.session, stallscope.traces.read.read as read; print(read.__file__)"
    assert Path(run(python, "-c", imports, cwd=tmp_path).strip()).is_relative_to(checkout)
    assert "gemm" in run(python, "-m", "stallscope", "summary", "-v", trace, cwd=tmp_path)


@needs_git
@pytest.mark.packaging
def test_a_checkout_in_a_folder_with_chinese_characters_and_spaces(trace: Path, tmp_path: Path) -> None:
    """Checkout, trace and output all lie in such a folder, and the output is piped as a Chinese Windows would."""
    folder = tmp_path / "培训 项目"
    folder.mkdir()
    checkout = clone(folder / "stall scope")
    odd = folder / "第一 次.pt.trace.json"
    shutil.copy(trace, odd)
    code = "import stallscope; print(ascii(stallscope.__file__))"
    assert ascii(str(checkout))[1:-1] in run(sys.executable, "-c", code, cwd=checkout)
    text = run(sys.executable, "-m", "stallscope", "summary", "-v", odd, cwd=checkout, PYTHONIOENCODING="cp936")
    assert "gemm" in text
    assert "第一 次" in text
    run(sys.executable, "-m", "stallscope", "summary", "-v", odd, "-o", folder / "报告.txt", cwd=checkout)
    assert "gemm" in (folder / "报告.txt").read_text(encoding="utf-8")


# -- Python 3.15's `profiling` ----------------------------------------------------------------------------------


@pytest.mark.packaging
@pytest.mark.parametrize("hidden", [False, True], ids=["as it is", "with __init__.py"])
def test_the_checkout_does_not_hide_the_standard_librarys_profiling(tmp_path: Path, hidden: bool) -> None:
    """As on 3.15, cProfile imports profiling.tracing; the checkout stands before the standard library on the path.

    With a planted ``profiling/__init__.py`` the import fails, which is what the folder's lack of one prevents.
    """
    library = tmp_path / "library"
    (library / "profiling").mkdir(parents=True)
    (library / "profiling" / "__init__.py").touch()
    (library / "profiling" / "tracing.py").write_text("class Profile: pass\n")
    (library / "cProfile.py").write_text("from profiling.tracing import Profile\n")
    (tmp_path / "tree").mkdir()
    checkout = copy_tree(tmp_path / "tree")
    if hidden:
        (checkout / "profiling" / "__init__.py").touch()
    code = "import sys; assert sys.path[0] == ''; import cProfile, profiling; print(profiling.__file__)"
    result = attempt(sys.executable, "-c", code, cwd=checkout, PYTHONPATH=str(library))
    assert (result.returncode != 0) == hidden, result.stderr
    assert hidden or Path(result.stdout.strip()) == library / "profiling" / "__init__.py"
