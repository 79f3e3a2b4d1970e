"""Lists as tables: every operation that answers with a list gives it as an Arrow stream, Parquet or CSV too, by `Accept`.

An operation answers with a list if its schema has one list of entries and, beside it, at most what `BESIDE` names; a schema whose list
stands among other things names it in `listed`. The columns follow from the schema of an entry alone, so that an empty page has them too:
numbers, days, instants and yes-or-no keep their type, what is nested becomes JSON text. JSON stays as it is.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Union, get_args, get_origin

import pyarrow
from django.http import HttpRequest, HttpResponse
from ninja import Schema
from ninja.operation import Operation

from huitong.portal.api.forms import MEANINGS, PROBLEM
from huitong.portal.api.results import ARROW, CSV, JSON, PARQUET, content_type_of, form_of, json_value, table_body

BESIDE = frozenset({"total", "limit", "offset", "facets"})
"""Members that may stand beside the list itself."""
PAGE = {
    "Huitong-Total": {"description": "How many entries there are in all", "schema": {"type": "integer"}},
    "Huitong-Limit": {"description": "How many entries a page has at most; only of lists that have pages", "schema": {"type": "integer"}},
    "Huitong-Offset": {"description": "How many entries come before this page; the same", "schema": {"type": "integer"}},
    "Link": {"description": 'Where the next page lies: `<...>; rel="next"`; absent on the last', "schema": {"type": "string"}},
}
_PLAIN: Mapping[Any, Any] = {
    bool: pyarrow.bool_(),
    int: pyarrow.int64(),
    float: pyarrow.float64(),
    date: pyarrow.date32(),
    datetime: pyarrow.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Listed:
    """The list of an answer: the member that holds it, and its columns."""

    name: str
    columns: Any
    """A `pyarrow.Schema`."""
    nested: frozenset[str]
    """The columns that are JSON text."""

    def table(self, entries: list[dict[str, Any]]) -> Any:
        """The entries as a `pyarrow.Table`."""
        columns = {
            name: [self._cell(name, entry[name]) for entry in entries] for name in self.columns.names
        }
        return pyarrow.table(columns, schema=self.columns)

    def _cell(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        return json.dumps(json_value(value), ensure_ascii=False, separators=(",", ":")) if name in self.nested else value


def listed_of(operation: Operation) -> Listed | None:
    """The list that an operation answers with; None if it answers with something else, or changes something."""
    if operation.methods != ["GET"]:
        return None
    model = getattr(operation.response_models.get(200), "model_fields", {}).get("response")
    return None if model is None else list_in(model.annotation)


def list_in(answer: Any) -> Listed | None:
    """The list in the schema of an answer."""
    if not (isinstance(answer, type) and issubclass(answer, Schema)):
        return None
    lists = {name: entry for name, field in answer.model_fields.items() if (entry := _entry_of(field.annotation)) is not None}
    named = getattr(answer, "listed", None)
    if named is None and (len(lists) != 1 or not answer.model_fields.keys() - lists.keys() <= BESIDE):
        return None
    name = named or next(iter(lists))
    found = {column: _kind(field.annotation) for column, field in lists[name].model_fields.items()}
    columns = pyarrow.schema([(column, kind or pyarrow.string()) for column, kind in found.items()])
    return Listed(name, columns, frozenset(column for column, kind in found.items() if kind is None))


def _entry_of(annotation: Any) -> type[Schema] | None:
    """The schema of the entries, if this is a list of entries."""
    (entry,) = get_args(annotation) if get_origin(annotation) is list else (None,)
    return entry if isinstance(entry, type) and issubclass(entry, Schema) else None


def _kind(annotation: Any) -> Any:
    """The Arrow type of a member that is one value; None for what is nested."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = {_kind(one) for one in get_args(annotation) if one is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    return pyarrow.string() if isinstance(annotation, type) and issubclass(annotation, str) else None


def respond(request: HttpRequest, response: HttpResponse, data: dict[str, Any], listed: Listed) -> HttpResponse:
    """The answer of a list, which is JSON so far, in the form that was asked for, with the place of its page in the headers."""
    entries = data[listed.name]
    response["Huitong-Total"] = str(data.get("total", len(entries)))
    if "limit" in data:
        response["Huitong-Limit"], response["Huitong-Offset"] = str(data["limit"]), str(data["offset"])
        following = data["offset"] + len(entries)
        if entries and following < data["total"]:
            asked = request.GET.copy()
            asked["limit"], asked["offset"] = str(data["limit"]), str(following)
            response["Link"] = f'<{request.path}?{asked.urlencode()}>; rel="next"'
    response["Vary"] = "Accept, Accept-Language"
    form = form_of(request)
    if form != JSON:
        body = table_body(listed.table(entries), form=form)
        response.content = body if isinstance(body, bytes) else b"".join(body)
        response["Content-Type"] = content_type_of(form)
    return response


def described(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The description of an operation that answers with a list: its other forms, its headers, 406."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    content = {ARROW: binary, PARQUET: binary, CSV: {"schema": {"type": "string"}}}
    told = {200: {"content": content, "headers": PAGE}, 406: {"description": MEANINGS[406], **PROBLEM}}
    return {**(extra or {}), "responses": {**(extra or {}).get("responses", {}), **told}}
