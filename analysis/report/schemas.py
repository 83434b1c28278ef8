"""The contracts as JSON Schema (2020-12), made of the types: names, types, and the comment beside each field.

A document that holds several (``stallscope.summaries/1``) has a schema of its own. Fields with a default may be missing
in files of earlier versions, so they are not required; none is ever renamed, and others may come, so more are allowed.
"""

from __future__ import annotations

import inspect
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec

from stallscope.analysis.contract.ab import Ab
from stallscope.analysis.contract.check import BaselineFile, Check
from stallscope.analysis.contract.compare import Comparison
from stallscope.analysis.contract.summary import Summary
from stallscope.analysis.contract.whatif import Constant, Forecasts, Scores
from stallscope.analysis.fill.health import HealthReport
from stallscope.traces.model.errors import BadInput
from stallscope.traces.model.manifest import Machine, Manifest

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Contract:
    """One kind of document."""

    type: Any
    by: str  # what writes it
    schema: str | None = None  # where its type does not hold it
    key: str | None = None  # under which a list of the type stands


CONTRACTS: Final = {
    "summary": Contract(Summary, "stallscope summary"),
    "summaries": Contract(Summary, "stallscope summary, of several", "stallscope.summaries/1", "summaries"),
    "health": Contract(HealthReport, "stallscope summary --health"),
    "healths": Contract(HealthReport, "stallscope summary --health, of several", "stallscope.healths/1", "healths"),
    "compare": Contract(Comparison, "stallscope compare"),
    "whatif": Contract(Forecasts, "stallscope whatif"),
    "whatifs": Contract(Forecasts, "stallscope whatif, of several", "stallscope.whatifs/1", "forecasts"),
    "score": Contract(Scores, "stallscope whatif --score"),
    "constants": Contract(Constant, "stallscope whatif --constants", "stallscope.constants/1", "constants"),
    "ab": Contract(Ab, "stallscope ab"),
    "check": Contract(Check, "stallscope check"),
    "baseline": Contract(BaselineFile, "stallscope check --update"),
    "env": Contract(Machine, "stallscope env", "stallscope.env/1"),
    "manifest": Contract(Manifest, "stallscope profile"),
}


def name_of(contract: Contract) -> str:
    """What a document of it says under ``schema``."""
    if contract.schema is not None:
        return contract.schema
    (told,) = (field.default for field in msgspec.structs.fields(contract.type) if field.name == "schema")
    return str(told)


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a contract.

    Raises:
        BadInput: there is none of that name.
    """
    if name not in CONTRACTS:
        raise BadInput(f"there is no contract {name!r}; choose of: {', '.join(CONTRACTS)}")
    contract = CONTRACTS[name]
    made = msgspec.json.schema(contract.type)
    definitions = {each: _described(shape, contract.type) for each, shape in made.pop("$defs").items()}
    head = {"$schema": DIALECT, "$id": f"urn:{name_of(contract).replace('/', ':')}", "title": name_of(contract)}
    told = {"const": name_of(contract)}
    if contract.key is not None:
        items = {"type": "array", "items": made}
        body = {"type": "object", "properties": {"schema": told, contract.key: items}}
        return {**head, **body, "required": ["schema", contract.key], "$defs": definitions}
    root = definitions[contract.type.__name__]
    root["properties"] = {"schema": told, **{k: v for k, v in root["properties"].items() if k != "schema"}}
    root["required"] = ["schema", *(each for each in root.get("required", []) if each != "schema")]
    return {**head, **made, "$defs": definitions}


def _described(shape: dict[str, Any], root: Any) -> dict[str, Any]:
    """A definition with what the source says of its fields."""
    told = _comments(_types(root).get(shape.get("title", "")))
    fields = shape.get("properties", {})
    for name, comment in told.items():
        if name in fields:
            fields[name] = {**fields[name], "description": comment}
    return shape


@cache
def _types(root: Any) -> dict[str, type]:
    """Every struct that a contract is made of, by name."""
    found: dict[str, type] = {}
    waiting: list[Any] = [root]
    while waiting:
        each = waiting.pop()
        if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__name__ not in found:
            found[each.__name__] = each
            waiting += [field.type for field in msgspec.structs.fields(each)]
        waiting += getattr(each, "__args__", ())
    return found


@cache
def _comments(struct: type | None) -> dict[str, str]:
    """The comment on the line of each field; {} where the source is not at hand."""
    try:
        source = "" if struct is None else inspect.getsource(struct)
    except (OSError, TypeError):
        return {}
    return dict(_of_lines(source))


def _of_lines(source: str) -> Iterator[tuple[str, str]]:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            name, sign, _ = lines[token.start[0] - 1].strip().partition(":")
            if sign and name.isidentifier():
                yield name, token.string.lstrip("# ")
