"""A copy of a trace that may be shown to others: nothing that names a person, a machine or a folder.

Kept: every event with its phase, category, times, process, thread and stream numbers and ids; the names of operators,
kernels, named ranges, modules and Python functions; all numbers among the arguments; shapes and types, and of
convolutions and attention strides and the like (unless they are to be dropped); device properties, rank and world
size, versions of CUDA or ROCm, the recorded base time.

What is not known to be harmless goes: every text that no list or pattern below allows. So host name, trace name and
id, user metadata, environment and job variables, package lists, names of processes and threads, log lines, process
group members; categories, ids and process numbers that are no numbers become letters and digits, equal for equal
ones; types of inputs that PyTorch does not have become empty; every text among the arguments goes but those in
``KEPT_TEXTS``. Of a path, wherever it stands (``/home/ann/work/net.py(6): f``), the file's own name stays and its
folder becomes four letters or digits, equal for equal folders (``x4f1/net.py(6): f``); paths inside Python's own
library and well-known packages stay, from the package on. A range that the script named itself keeps that name: look
at them before sending the trace.

Figures stay: numbers are copied as they are written. Entries that are no events at all are left out.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from stallscope.traces.damaged.raw import RawEvents
from stallscope.traces.describe.dialect import REDACTED
from stallscope.traces.model.fields import ATTENTION, CATEGORIES, CONVOLUTIONS, INSTALLED, MEMORY_EVENT

Raw = msgspec.Raw
Event = dict[str, Raw]

KEPT_FIELDS: Final = ("ph", "cat", "name", "pid", "tid", "ts", "dur", "id", "s", "bp")
KEPT_KEYS: Final = {
    *("schemaVersion", "displayTimeUnit", "baseTimeNanoseconds", "simulated"),
    *("record_shapes", "with_stack", "with_modules", "with_flops", "profile_memory"),
    *("cupti_version", "cuda_runtime_version", "cuda_driver_version"),
    *("roctracer_version", "rocprofiler-sdk_version", "hip_runtime_version", "hip_driver_version"),
}
# Of these two, the members named, and every number.
KEPT_MEMBERS: Final = {"deviceProperties": {"name"}, "distributedInfo": {"backend", "rank", "world_size"}}
KEPT_TEXTS: Final = {"cuda_sync_kind", "Collective name", "dtype", "Call stack", "Module Hierarchy", "kernel"}
SHAPES: Final = {"Input Dims", "Input dims", "Input Strides", "Input type", "Output dims", "Output type"}
VALUES: Final = "Concrete Inputs"
WORKERS: Final = CONVOLUTIONS | ATTENTION  # whose shapes alone do not tell their work
NOTHING: Final = Raw()
VALUE: Final = re.compile(r"True|False|-?[\d.]+|\[(?:(?:True|False|-?\d+)(?:, )?)*\]")  # of a convolution, of attention
PROCESS_LABEL: Final = re.compile(r'"(?:CPU|GPU \d+)"')
NUMBER: Final = re.compile(r'-?[\d.][\d.eE+-]*|true|false|null|"(?:-?\d+(?:\.\d+)?|0x[\da-fA-F]+|-?inf|nan)"')
NUMBERS: Final = re.compile(r"\[[\[\]\s\d.,eE+-]*\]")
SIZES: Final = re.compile(r'\[(?:[\[\]\s\d.,eE+-]|"")*\]')  # of inputs: lists of numbers, empty texts
TYPES: Final = re.compile(
    r"(?:(?:unsigned |signed )?(?:char|int|short|short int|long|long int|long long)|bool|float|double|Scalar|"
    r"ScalarList|TensorList|GenericList|Optional\w*|None|c10::\w+(?:<\w+>)?|nullptr \(uninitialized\)|at::\w+|)"
)
FIGURE: Final = re.compile(r"[-+\w.: /]{0,40}")  # of a version, a unit
THREAD: Final = re.compile(
    r"(?:[tT]hread|[sS]tream|Device) (?:-?\d+|0x[\da-f]+) ?(?:Submission Queue)?"
    r"(?:\((?:i?python[\d.]*|pt_\w+|cuda\w*)\)$)?|PACKET$|DMA_REQUEST$"
)
ONE_OF: Final = {  # fields whose texts come from a list
    "ph": frozenset(b'"%c"' % letter for letter in b"BEXiIMCsftbneNODPSTpFRcvVa(),="),
    "s": frozenset((b'"g"', b'"p"', b'"t"')),
    "bp": frozenset((b'"e"',)),
    "cat": frozenset(
        b'"%s"' % name.encode()
        for name in (
            *CATEGORIES,
            *("ac2g", "fwdbwd", "async_cpu_to_gpu", "async_gpu", "Trace", "overhead", "cpu_instant_event", "Overhead"),
            *("fwd_bwd", "forward_backward", "cuda_profiler_range", "mtia_counters", "collective_comm", "glow_runtime"),
        )
    ),
}
PROCESSES: Final = frozenset((b'"Spans"', b'"Traces"', b'"PyTorch Profiler"', b'"Trace"', b'""'))
MOST_KNOWN: Final = 200_000  # arguments that are remembered
NUMERIC: Final = frozenset(b"-0123456789tfn")  # first bytes of JSON's numbers, true, false, null

_ABSOLUTE: Final = re.compile(r"""(?<![\w.~])(?:[A-Za-z]:|~|\.{1,2})?[/\\]{1,2}(?:[^\s"'();,<>|=\[\]{}/\\]+[/\\])+""")
_OF_A_HOME: Final = re.compile(r"""(?:[A-Za-z]:)?[/\\](?:home|Users|root|export)[/\\](?:[^"';\n]*[/\\]|[^\s"';/\\]+)""")
_OF_A_FRAME: Final = re.compile(r"[^;]*[/\\](?=[^;/\\]*\(\d+\): )")
_STAYS: Final = re.compile(r"(?:/site-packages/)?x[0-9a-f]{3}/")  # what a first look has left
_STANDARD: Final = re.compile(r".*[/\\]lib(?:64)?[/\\](?=python\d[\d.]*[/\\])")
_WELL_KNOWN: Final = {
    *("torch", "torchvision", "torchaudio", "torchtext", "torchdata", "torchtune", "functorch", "triton", "numpy"),
    *("scipy", "pandas", "sklearn", "PIL", "cv2", "transformers", "accelerate", "datasets", "tokenizers", "diffusers"),
    *("peft", "timm", "einops", "huggingface_hub", "safetensors", "lightning", "pytorch_lightning", "torchmetrics"),
    *("ignite", "fairscale", "apex", "deepspeed", "megatron", "vllm", "sglang", "flash_attn", "xformers"),
    *("bitsandbytes", "hydra", "omegaconf", "tqdm", "tensorboard", "matplotlib", "ray"),
}


def redact(path: str | Path, *, drop_shapes: bool = False) -> Iterator[bytes]:
    """The redacted trace as JSON text in pieces.

    Raises (while iterating):
        BadInput: ``path`` is no whole trace.

    """
    source = RawEvents(path, Event)
    cleaner = Cleaner(drop_shapes=drop_shapes)
    separator = b'{"traceEvents":[\n'
    for events in source:
        for event in events:
            yield separator + msgspec.json.encode(cleaner.event(event))
            separator = b",\n"
    yield (separator if separator.startswith(b"{") else b"\n") + b"]"
    for key, value in {REDACTED: Raw(b"1"), **cleaner.keys(source.keys)}.items():
        yield b",\n" + msgspec.json.encode(key) + b":" + bytes(value)
    yield b"}\n"


class Cleaner:
    """Cleans events and texts; what it has cleaned once it looks up."""

    def __init__(self, *, drop_shapes: bool = False) -> None:
        self._drop_shapes = drop_shapes
        self._known: dict[bytes, Raw] = {}
        self._args_known: dict[tuple[str, bytes], Raw] = {}

    def event(self, event: Event) -> Event:
        """``event`` with the fields that may stay, its texts cleaned."""
        kept: Event = {}
        for key in KEPT_FIELDS:
            value = event.get(key)
            if value is not None:
                text = bytes(value)
                kept[key] = value if text[0] in NUMERIC else self._field(key, value, text)
        phase, category = bytes(event.get("ph", b"")), bytes(event.get("cat", b""))
        if "name" in kept and (category == b'"Trace"' or phase == b'"i"'):
            kept["name"] = _map_text(kept["name"], _without_title)
        args = event.get("args")
        if args is not None:
            kept["args"] = self._args(kept, args)
        return kept

    def keys(self, keys: Event) -> Event:
        """The top-level keys that may stay."""
        made = {key: value for key, value in keys.items() if key in KEPT_KEYS and _is_figure(value)}
        told = {key: _only(keys[key], names) for key, names in KEPT_MEMBERS.items() if key in keys}
        return {**told, **made}

    def _args(self, event: Event, args: Raw) -> Raw:
        try:
            told = msgspec.json.decode(args, type=Event)
        except msgspec.ValidationError:
            return Raw(b"{}")
        if bytes(event.get("ph", b"")) == b'"M"':
            return Raw(msgspec.json.encode(self._name_given(bytes(event.get("name", b"")), told)))
        values = told.pop(VALUES, None)
        made: Event = {}
        for key, value in told.items():
            text = bytes(value)
            kept = value if text[0] in NUMERIC else self._arg(key, value, text)
            if kept is not None:
                made[key] = kept
        if values is not None and not self._drop_shapes and _ascii(event.get("name", NOTHING)).strip('"') in WORKERS:
            made[VALUES] = _values(values)
        return Raw(msgspec.json.encode(made))

    def _arg(self, key: str, value: Raw, text: bytes) -> Raw | None:
        """One argument that is no plain number; None: it goes. What was decided once is looked up."""
        found = self._args_known.get((key, text))
        if found is None:
            if len(self._args_known) >= MOST_KNOWN:
                self._args_known.clear()
            found = self._args_known[key, text] = self._judged_arg(key, value) or NOTHING
        return found or None

    def _judged_arg(self, key: str, value: Raw) -> Raw | None:
        if key in SHAPES:
            return None if self._drop_shapes else _shape(key, value)
        if is_number(value) or NUMBERS.fullmatch(_ascii(value)):
            return value
        return self._text(value) if key in KEPT_TEXTS else None

    def _field(self, key: str, value: Raw, text: bytes) -> Raw:
        """A field of an event that is no plain number: it comes from a list, or becomes a token."""
        if key == "name":
            return self._text(value)
        allowed = ONE_OF.get(key)
        if (allowed is not None and text in allowed) or (allowed is None and is_number(value)) or text in PROCESSES:
            return value
        return Raw(b'"x%s"' % hashlib.blake2b(text).hexdigest()[:6].encode())

    def _name_given(self, kind: bytes, args: Event) -> Event:
        """What a metadata event says: names of threads, labels such as "GPU 0", sort indices."""
        kept = {key: value for key, value in args.items() if is_number(value)}
        if kind == b'"thread_name"' and "name" in args:
            told = THREAD.match(_ascii(args["name"]).strip('"'))
            kept["name"] = Raw(msgspec.json.encode(told[0].rstrip() if told else ""))
        if kind == b'"process_labels"' and PROCESS_LABEL.fullmatch(_ascii(args.get("labels", Raw(b"")))):
            kept["labels"] = args["labels"]
        return kept

    def _text(self, value: Raw) -> Raw:
        """A JSON value as it is, but a text without the folders of the paths in it."""
        text = bytes(value)
        if b"/" not in text and b"\\" not in text:
            return value
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = _map_text(value, without_folders)
        return found


def _values(value: Raw) -> Raw:
    """Strides, paddings, flags; other texts empty."""
    try:
        told = msgspec.json.decode(value, type=list[str])
    except msgspec.ValidationError:
        return Raw(b"[]")
    return Raw(msgspec.json.encode([text if VALUE.fullmatch(text) else "" for text in told]))


def _shape(key: str, value: Raw) -> Raw:
    """Sizes of inputs, or their types; of what is neither, an empty list."""
    if "type" in key:
        return _types(value)
    return value if SIZES.fullmatch(_ascii(value)) else Raw(b"[]")


def _types(value: Raw) -> Raw:
    """Types of inputs that PyTorch has; others empty."""
    try:
        told = msgspec.json.decode(value, type=list[str | list[str]])
    except msgspec.ValidationError:
        return Raw(b"[]")

    def known(each: str | list[str]) -> str | list[str]:
        if isinstance(each, list):
            return [text if TYPES.fullmatch(text) else "" for text in each]
        return each if TYPES.fullmatch(each) else ""

    return Raw(msgspec.json.encode([known(each) for each in told]))


def _is_figure(value: Raw) -> bool:
    """Whether a top-level value is a number, or a short text as versions and units are."""
    text = _ascii(value)
    return text[:1] in "-0123456789tfn" or (text[:1] == '"' and FIGURE.fullmatch(text.strip('"')) is not None)


def is_number(value: Raw) -> bool:
    """Whether a JSON value is a number, true, false, null, or a text that spells a number."""
    return NUMBER.fullmatch(_ascii(value)) is not None


def without_folders(text: str) -> str:
    """``text`` with the folder of each Python file and of each absolute path in it replaced by a token."""
    text = _OF_A_FRAME.sub(lambda found: _folder(found[0]), text)
    text = _OF_A_HOME.sub(lambda found: _folder(found[0]), text)
    return _ABSOLUTE.sub(lambda found: _folder(found[0]), text)


def _without_title(name: str) -> str:
    """The name of a span or instant without the title that a job gave its trace: ``Iteration Start``."""
    return name if name == MEMORY_EVENT else re.split(r"[:(]", name)[0].strip()


def _folder(folder: str) -> str:
    """What stands for a folder (given with its last separator)."""
    if _STAYS.fullmatch(folder):
        return folder
    library = _STANDARD.match(folder)
    installed = INSTALLED.match(folder)
    if installed:
        package = folder[installed.end() :]
        return "/site-packages/" + (package if not package or _is_known(package) else _token(package))
    if library:
        return "/lib/" + folder[library.end() :]
    return folder if _is_known(folder) else _token(folder)


def _is_known(folder: str) -> bool:
    """Whether a relative folder lies in a well-known package or in Python's library."""
    package = re.split(r"[/\\]", folder)[0]
    return package in _WELL_KNOWN or package in sys.stdlib_module_names


def _token(folder: str) -> str:
    """Four characters that are the same for the same folder; many folders share them, so they cannot be looked up."""
    return "x" + hashlib.blake2b(folder.encode("utf-8", "replace")).hexdigest()[:3] + "/"


def _ascii(value: Raw) -> str:
    return bytes(value).decode("latin-1")


def _map_text(value: Raw, change: Callable[[str], str]) -> Raw:
    told = msgspec.json.decode(value)
    return Raw(msgspec.json.encode(change(told))) if isinstance(told, str) else value


def _only(value: Raw, names: set[str]) -> Raw:
    """An object, or each object of a list, with its numbers and the members named."""
    try:
        if bytes(value)[:1] == b"[":
            return Raw(msgspec.json.encode([_only(each, names) for each in msgspec.json.decode(value, type=list[Raw])]))
        told = msgspec.json.decode(value, type=Event)
    except msgspec.ValidationError:
        return Raw(b"null")
    return Raw(msgspec.json.encode({key: each for key, each in told.items() if key in names or is_number(each)}))
