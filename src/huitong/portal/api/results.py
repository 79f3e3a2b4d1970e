"""Tables in the form that was asked for: the exact Arrow stream, Parquet, JSON or CSV; of a query here, of lists in `tables.py`."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pyarrow
from django.http import HttpRequest, HttpResponse

from huitong.errors import InputInvalid
from huitong.gateway.gate import result_bytes
from huitong.model.query import Answer
from huitong.portal.api.language import language_of, sentence

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
JSON = "application/json"
CSV = "text/csv"
FORMS = (JSON, ARROW, PARQUET, CSV)
"""Media types of a table, best liked first."""

EXACT_INTEGER = 2**53
"""Beyond it a JSON reader that knows doubles only would change an integer; such integers are sent as text."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A text that starts so would be run as a formula when a person opens the CSV in a spreadsheet."""


def form_of(request: HttpRequest) -> str:
    """The form that `Accept` prefers. Raises InputInvalid `answer-form-unknown` if it takes none of them."""
    if "Accept" not in request.headers:
        return JSON
    form = request.get_preferred_type(FORMS)
    if form is None:
        raise InputInvalid.because("answer-form-unknown", known=", ".join(FORMS))
    return form


def content_type_of(form: str) -> str:
    """The value of `Content-Type` for a form."""
    return f"{CSV}; charset=utf-8" if form == CSV else form


def response_of(answer: Answer, request: HttpRequest, *, form: str) -> HttpResponse:
    """The answer with its number and where its receipt lies."""
    body = _json(answer, language_of(request)) if form == JSON else table_body(answer.table, form=form)
    response = HttpResponse(body, content_type=content_type_of(form))
    response["Huitong-Query"] = answer.query
    response["Huitong-Receipt"] = receipt_address(answer.query)
    if answer.notices:
        language = language_of(request)
        response["Huitong-Notices"] = ",".join(quote(sentence(notice, language), safe=" ") for notice in answer.notices)
    response["Vary"] = "Accept, Accept-Language"
    response["Cache-Control"] = "no-store"
    return response


def table_body(table: Any, *, form: str) -> bytes | Iterable[bytes]:
    """The table as an Arrow stream, Parquet or CSV."""
    writers: Mapping[str, Callable[[Any], bytes | Iterable[bytes]]] = {ARROW: result_bytes, PARQUET: _parquet, CSV: _csv}
    return writers[form](table)


def receipt_address(query: str) -> str:
    """Where the receipt of a query lies."""
    return f"/api/v1/queries/{query}/receipt"


def _parquet(table: Any) -> bytes:
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _json(answer: Answer, language: str) -> bytes:
    table = answer.table
    columns = json_columns(table)
    body = {
        "query": answer.query,
        "columns": [{"name": entry.name, "type": str(entry.type)} for entry in table.schema],
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "notices": [{"code": n.code, "parameters": dict(n.parameters), "text": sentence(n, language)} for n in answer.notices],
        "receipt": receipt_address(answer.query),
    }
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def json_columns(table: Any) -> list[list[Any]]:
    """The columns of a table, or of a batch of rows, as JSON has their values."""
    return [_json_column(table.column(position)) for position in range(table.num_columns)]


def _json_column(column: Any) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if _is_text(column.type) or pyarrow.types.is_boolean(column.type):
        return values
    return [json_value(value) for value in values]


def _is_text(kind: Any) -> bool:
    return any(check(kind) for check in (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_string_view))


def json_value(value: Any) -> Any:
    """A value as JSON: what JSON cannot hold exactly (decimals, dates, great integers, not-a-number) becomes text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -EXACT_INTEGER <= value <= EXACT_INTEGER else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, dict):
        return {str(name): json_value(entry) for name, entry in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _csv(table: Any) -> Iterator[bytes]:
    yield _lines([safe_names(table.schema)])
    writers = cell_writers(table.schema)
    for batch in table.to_batches(max_chunksize=4096):
        columns = [[write(value) for value in column.to_pylist()] for write, column in zip(writers, batch.columns, strict=True)]
        yield _lines(zip(*columns, strict=True))


def safe_names(schema: Any) -> list[str]:
    """The names of the columns as the first line of a CSV."""
    return [_safe(name) for name in schema.names]


def cell_writers(schema: Any) -> list[Callable[[Any], str]]:
    """What makes a cell of a CSV of a value of each column."""
    return [_cell_writer(entry.type) for entry in schema]


def _lines(rows: Any) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode("utf-8")


def _cell_writer(kind: Any) -> Callable[[Any], str]:
    if _is_text(kind):
        return lambda value: "" if value is None else _safe(value)
    plain = (pyarrow.types.is_integer, pyarrow.types.is_floating, pyarrow.types.is_decimal, pyarrow.types.is_boolean)
    if any(check(kind) for check in (*plain, pyarrow.types.is_temporal)):
        return lambda value: "" if value is None else str(_cell(value))
    return lambda value: "" if value is None else _safe(json.dumps(json_value(value), ensure_ascii=False))


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else value


def _safe(text: str) -> str:
    """The text with a leading apostrophe if a spreadsheet would run it."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
