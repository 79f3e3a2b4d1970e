"""Answers whose rows leave one block after the other, in each form, and how the end of one is told from its breaking off.

Once rows have left, no status can say that the rest does not come. So a whole answer has an end that half of one cannot have: NDJSON
ends with one object whose only key is `huitong`; of the other forms the connection is broken off, in the midst of the chunked body,
unless the use has ended well. The outcome stands in the ledger before the last byte leaves."""

import csv
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from huitong.errors import HuitongError, InputInvalid, Reason, Refused
from huitong.gateway.answer import Leaving
from huitong.model.query import Answer
from huitong.portal.api.language import language_of, sentence
from huitong.portal.api.problems import told_problem
from huitong.portal.api.results import ARROW, CSV, cell_writers, content_type_of, json_columns, receipt_address, safe_names

log = logging.getLogger("huitong.api")
NDJSON = "application/x-ndjson"
STREAM_FORMS = (NDJSON, ARROW, CSV)
"""Media types of a streamed answer, best liked first."""
END = "huitong"
"""The only key of the object that ends an answer as NDJSON."""
ALL_ARRIVED = b""
"""A piece that says: go on when everything before it has arrived."""


def stream_form_of(request: HttpRequest) -> str:
    """The form that `Accept` prefers. Raises InputInvalid `answer-form-unknown` if it takes none of them."""
    if "Accept" not in request.headers:
        return NDJSON
    form = request.get_preferred_type(STREAM_FORMS)
    if form is None:
        raise InputInvalid.because("answer-form-unknown", known=", ".join(STREAM_FORMS))
    return form


# --- the forms ------------------------------------------------------------------------------------------------------------


class _Arrow:
    """An Arrow stream. Without a problem its end marker is its end; a reader may take the end of the bytes for it, so they never end so."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = io.BytesIO()
        self._writer = pa.ipc.new_stream(self._sink, schema.remove_metadata())

    def head(self) -> bytes:
        return self._taken()

    def rows(self, block: pa.RecordBatch) -> bytes:
        self._writer.write_batch(block.replace_schema_metadata(None))
        return self._taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        found = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return found


class _Csv:
    """UTF-8 with a header line; a text that a spreadsheet would run gets an apostrophe in front."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._writers = cell_writers(schema)

    def head(self) -> bytes:
        return self._lines([safe_names(self._schema)])

    def rows(self, block: pa.RecordBatch) -> bytes:
        columns = [[write(value) for value in column.to_pylist()] for write, column in zip(self._writers, block.columns, strict=True)]
        return self._lines(zip(*columns, strict=True))

    def end(self) -> bytes:
        return b""

    def _lines(self, rows: Iterable[Iterable[str]]) -> bytes:
        buffer = io.StringIO(newline="")
        csv.writer(buffer).writerows(rows)
        return buffer.getvalue().encode("utf-8")


class _Ndjson:
    """One JSON object a line for each row; the end is an object of its own."""

    def __init__(self, schema: pa.Schema) -> None:
        twice = [name for name, times in Counter(schema.names).items() if times > 1]
        if twice:
            raise Refused.because("stream-names-twice", name=twice[0])
        self._names = schema.names
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    def head(self) -> bytes:
        return b""

    def rows(self, block: pa.RecordBatch) -> bytes:
        names, encode = self._names, self._encode
        lines = [encode(dict(zip(names, row, strict=True))) for row in zip(*json_columns(block), strict=True)]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")

    def end(self) -> bytes:
        return b""


_FORMS: Mapping[str, Callable[[pa.Schema], Any]] = {NDJSON: _Ndjson, ARROW: _Arrow, CSV: _Csv}


def end_line(query: str, *, rows: int, result_hash: str, notices: Iterable[Reason], language: str) -> bytes:
    """The last line of a whole answer as NDJSON: how many rows there are and the SHA-256 of all bytes before this line."""
    told = {
        "query": query,
        "rows": rows,
        "result_hash": result_hash,
        "receipt": receipt_address(query),
        "notices": [{"code": one.code, "parameters": dict(one.parameters), "text": sentence(one, language)} for one in notices],
    }
    return _line({END: told})


def problem_line(query: str, error: HuitongError, *, rows: int, language: str) -> bytes:
    """The last line of an answer that broke off as NDJSON: why, and how many rows had left."""
    return _line({END: {"query": query, "rows": rows, "receipt": receipt_address(query), "problem": told_problem(error, language)}})


def _line(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode("utf-8", "backslashreplace")


# --- the answer -----------------------------------------------------------------------------------------------------------


class Streamed(StreamingHttpResponse):
    """An answer whose rows come from a use that runs. The server's front sends it without holding a thread for a slow client, looks each
    second whether it may go on, and ends it as its form asks."""

    def __init__(self, opened: AbstractContextManager[Leaving], *, form: str, language: str, bytes_at_most: int) -> None:
        self._use = ExitStack()
        self._rows = self._use.enter_context(opened)
        self.form = form
        self._language = language
        self._bytes_at_most = bytes_at_most
        self._ended = False
        self._pieces = self._made()
        try:
            super().__init__(self._told(), content_type=content_type_of(form))
            _headers(self, self._rows.query, self._rows.notices, language)
            self["Huitong-Maximum-Rows"] = str(self._rows.maximum_rows)
            self["X-Accel-Buffering"] = "no"
            self._resource_closers.append(self.close_use)  # type: ignore[attr-defined]
        except BaseException as failure:
            self._exit(failure)
            raise

    @property
    def query(self) -> str:
        """Number of the use."""
        return self._rows.query

    def next_piece(self) -> bytes | None:
        """The next bytes, `ALL_ARRIVED`, or None: it has ended well. Raises a HuitongError: it has not."""
        if self._ended:
            return None
        try:
            piece = next(self._pieces, None)
        except Exception as failure:
            raise self._exit(failure) from None
        except BaseException as stopped:  # the process itself is ended
            self._exit(stopped)
            raise
        if piece is None:
            self.close_use()
        return piece

    def look(self) -> None:
        """Raise, and end the use, if it may not go on."""
        try:
            self._rows.look()
        except Exception as failure:
            raise self.fail(failure) from None

    def fail(self, failure: Exception) -> HuitongError:
        """End the use for this reason; what to tell of it."""
        if not self._ended:
            self._pieces.close()
        return self._exit(failure)

    def last_words(self, failure: HuitongError) -> bytes | None:
        """What says at the end that it broke off; None: the connection must be broken off, for nothing in this form can say it."""
        if self.form != NDJSON:
            return None
        return problem_line(self.query, failure, rows=self._rows.rows, language=self._language)

    def close_use(self) -> None:
        """Let go of the use, if it was not taken to its end."""
        if not self._ended:
            self.fail(Refused.because("query-caller-gone", query=self.query))

    def _exit(self, failure: BaseException) -> HuitongError:
        """Leave the use with a failure; what became of it there."""
        if self._ended:
            return failure if isinstance(failure, HuitongError) else Refused.because("query-failed", query=self.query)
        self._ended = True
        try:
            self._use.__exit__(type(failure), failure, failure.__traceback__)
        except HuitongError as told:
            return told
        except Exception as unforeseen:
            log.error("the use %s could not be ended: %s", self.query, type(unforeseen).__name__)
            return Refused.because("query-failed", query=self.query)
        return failure if isinstance(failure, HuitongError) else Refused.because("query-failed", query=self.query)

    def _made(self) -> Generator[bytes]:
        form, digest, sent = None, hashlib.sha256(), 0
        with closing(self._rows.blocks()) as blocks:
            for block in blocks:
                piece = b""
                if form is None:
                    form = _FORMS[self.form](block.schema)
                    piece = form.head()
                piece += form.rows(block) if block.num_rows else b""
                digest.update(piece)
                sent += len(piece)
                if sent > self._bytes_at_most:
                    raise Refused.because("stream-too-large", megabytes=self._bytes_at_most // 1_000_000)
                if piece:
                    yield piece
        assert form is not None
        last = form.end()
        digest.update(last)
        yield ALL_ARRIVED
        rows = self._rows.settle(result_hash=digest.hexdigest())
        self._ended = True
        self._use.close()
        if self.form == NDJSON:
            last += end_line(
                self.query, rows=rows, result_hash=digest.hexdigest(), notices=self._rows.notices, language=self._language
            )
        if last:
            yield last

    def _told(self) -> Iterator[bytes]:
        """The same for a server that takes one piece after the other and breaks off where that raises."""
        try:
            while (piece := self.next_piece()) is not None:
                if piece:
                    yield piece
        except HuitongError as failure:
            words = self.last_words(failure)
            if words is None:
                raise
            yield words


def whole_hash(form: str) -> Callable[[pa.Table], str]:
    """The SHA-256 of a table's bytes in a form."""
    return lambda table: hashlib.sha256(_body(table, form)).hexdigest()


def whole_answer(answer: Answer, request: HttpRequest, *, form: str) -> HttpResponseBase:
    """An answer that is there already, in the form of a streamed one."""
    language = language_of(request)
    body = _body(answer.table, form)
    if form == NDJSON:
        found = hashlib.sha256(body).hexdigest()
        body += end_line(answer.query, rows=answer.table.num_rows, result_hash=found, notices=answer.notices, language=language)
    response = HttpResponse(body, content_type=content_type_of(form))
    _headers(response, answer.query, answer.notices, language)
    return response


def _body(table: pa.Table, form: str) -> bytes:
    made = _FORMS[form](table.schema)
    return b"".join((made.head(), *(made.rows(batch) for batch in table.to_batches(max_chunksize=8192)), made.end()))


def _headers(response: HttpResponseBase, query: str, notices: Iterable[Reason], language: str) -> None:
    response["Huitong-Query"] = query
    response["Huitong-Receipt"] = receipt_address(query)
    if told := [quote(sentence(notice, language), safe=" ") for notice in notices]:
        response["Huitong-Notices"] = ",".join(told)
    response["Vary"] = "Accept, Accept-Language"
    response["Cache-Control"] = "no-store"
