"""Where results go: stdout or a file, never half-written, never over something of the user's."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stallscope.analysis.report.formats import renderer
from stallscope.analysis.report.style import Style
from stallscope.traces.model.errors import BadInput, CannotWrite, OutputExists

if TYPE_CHECKING:
    from stallscope.traces.out.redact_run import Copy

WIDEST = 100  # columns; longer lines are harder to read than to scroll
PIPE_WIDTH = 80


def style_for(stream: TextIO) -> Style:
    """How text may look on ``stream``: its width, whether it shows colour and block characters.

    Colour is off when the stream is no terminal or ``NO_COLOR`` is set (no-color.org).
    """
    terminal = stream.isatty()
    return Style(
        width=min(WIDEST, _columns(stream)) if terminal else PIPE_WIDTH,
        color=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        unicode=_takes_unicode(stream),
        encoding=stream.encoding or "ascii",
    )


def file_style() -> Style:
    """Style of text written to a file with ``-o``: UTF-8, 80 columns, no colour."""
    return Style(width=PIPE_WIDTH, color=False, unicode=True)


def style_of(output: Path | None) -> Style:
    """The style of what goes to ``output``, or to stdout.

    Raises:
        BadInput: stdout is closed.
    """
    return style_for(_stdout()) if output is None else file_style()


def _stdout() -> TextIO:
    if sys.stdout is None:
        raise BadInput("stdout is closed; name a file with -o")
    return sys.stdout


def must_be_free(path: Path, *, force: bool) -> None:
    """Say before the work, not after it, that the output file is taken.

    Raises:
        OutputExists: the file is there and ``force`` is False.
        BadInput: it is a folder.
    """
    if path.is_dir():
        raise BadInput(f"{path}: is a folder; name a file after -o")
    if path.exists() and not force:
        raise OutputExists(path)


def write_text(stream: TextIO, text: str) -> None:
    """Write ``text``; a character the stream's encoding lacks is escaped, never an exception."""
    encoding = stream.encoding or "ascii"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def say_written(path: Path, trace: Path | None = None) -> None:
    """Say on stderr that a file is there, and that it is a copy of ``trace``."""
    if sys.stderr is not None:
        write_text(sys.stderr, f"written: {path}{f', a copy of {trace}' if trace else ''}\n")


def write_copy(trace: Path, output: Path, pieces: Iterable[bytes], *, force: bool) -> None:
    """Write the copy of a trace, compressed if its name ends in .gz, and say so; ``pieces`` are not yet made.

    Raises:
        OutputExists: the file is there and ``force`` is False.
        BadInput: the file cannot be written.
    """
    must_be_free(output, force=force)
    write_pieces(output, gzipped(pieces) if output.suffix == ".gz" else pieces, force=force)
    say_written(output, trace)


def write_folder(source: Path, output: Path, copies: Iterable[Copy]) -> None:
    """Write the files of a copied folder into ``output``, a new or empty folder, and say so.

    Raises:
        OutputExists: something is in it.
        BadInput: it cannot be made.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise OutputExists(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{output}: cannot be made ({error.strerror}); choose another place for -o") from error
    for copy in copies:
        packed = copy.name.endswith(".gz")
        write_pieces(output / copy.name, gzipped(copy.pieces) if packed else copy.pieces, force=False)
    say_written(output, source)


def printer(view: str, form: str, output: Path | None, *, force: bool, **options: Any) -> Callable[[Any], None]:
    """What prints the value of a ``view`` in the format ``form`` to stdout, or writes it to ``output``.

    Made before the work, so that what cannot be done is said then. ``options`` are those of the renderer.

    Raises:
        OutputExists: the file is there and ``force`` is False.
        BadInput: the file is a folder, or this view has no such format.
    """
    render = renderer(view, form)
    if output is not None:
        must_be_free(output, force=force)
    return lambda value: emit(render(value, style_of(output), **options), output, force=force)


def emit(data: str | bytes, output: Path | None, *, force: bool, tell: bool = False) -> None:
    """Print ``data`` to stdout, or write it to ``output``; with ``tell`` the latter is said.

    Raises:
        OutputExists: the file is there and ``force`` is False.
        BadInput: the file cannot be written.
    """
    if output is not None:
        write_file(output, data.encode() if isinstance(data, str) else data, force=force)
        if tell:
            say_written(output)
    else:
        with _told_of():
            _print(data)


def _print(data: str | bytes) -> None:
    if isinstance(data, str):
        write_text(_stdout(), data)
        return
    _stdout().flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@contextlib.contextmanager
def _told_of() -> Iterator[None]:
    """Say that stdout takes nothing more; what it holds back is dropped, or the interpreter would try once more.

    Raises:
        CannotWrite: it does not. A reader that has gone is another matter (``BrokenPipeError``).
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CannotWrite(
            f"stdout: cannot be written ({error.strerror}); name a file on another disk with -o"
        ) from error


def write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file so that it is never seen half-written: temporary file beside it, then a rename."""
    write_pieces(path, [data], force=force)


def write_pieces(path: Path, pieces: Iterable[bytes], *, force: bool) -> None:
    """The same of data that is made piece by piece; where making it fails, no file appears."""
    if path.exists() and not force:
        raise OutputExists(path)
    path, mode = _target(path)
    if mode is not None and not stat.S_ISREG(mode):
        _pour(path, pieces)
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".stallscope-", suffix=".tmp")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place for -o") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        _rename(Path(temporary), path, force=force, mode=mode)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place for -o") from error
    finally:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()


def _target(path: Path) -> tuple[Path, int | None]:
    """(what is written in truth: of a link what it leads to; its mode, None: there is nothing yet)."""
    try:
        path = path.resolve() if path.is_symlink() else path
        return path, path.stat().st_mode
    except (OSError, RuntimeError):
        return path, None


def _pour(path: Path, pieces: Iterable[bytes]) -> None:
    """Write into a device or a pipe, which a rename would replace by a file."""
    try:
        with path.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place for -o") from error


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """``pieces`` compressed as one gzip member that says neither when nor from which file it was made."""
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _rename(temporary: Path, path: Path, *, force: bool, mode: int | None) -> None:
    mask = os.umask(0)
    os.umask(mask)
    # mkstemp's 0600 is not what a report should have; a file that is replaced keeps its own
    temporary.chmod(0o666 & ~mask if mode is None else stat.S_IMODE(mode))
    if force:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)  # unlike rename, fails where somebody was quicker
    except FileExistsError:
        raise OutputExists(path) from None
    except OSError:  # a file system without hard links
        temporary.replace(path)


def _columns(stream: TextIO) -> int:
    try:
        return max(40, os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):
        return PIPE_WIDTH


def _takes_unicode(stream: TextIO) -> bool:
    try:
        "µ█░─→±".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
