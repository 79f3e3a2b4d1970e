"""The Python client: the API's verbs as methods, its refusals as `huitong.errors`, its results as Arrow.

    from huitong.client import Client

    with Client("http://127.0.0.1:8000", token) as client:
        result = client.query("SELECT level, count(*) AS n FROM geo.division GROUP BY level", purpose="poverty-monitoring")
        result.pandas()
        result.receipt()

A result keeps the exact bytes that were sent: the receipt's result hash is over them, so `result.save("x.arrow")` can be
proved later. The form of what comes back as `JSON` is that of the API (`/api/v1/openapi.json`).

A call that changes something carries a key of its own (`Idempotency-Key`): if the connection breaks before the answer is there, it is
sent once more with the same key, and the server acts once whatever became of the first. A query is never sent twice by itself: each
would be a use of its own.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import httpx

from huitong.errors import (
    Conflict,
    HuitongError,
    InputInvalid,
    LedgerBroken,
    NotFound,
    NotSignedIn,
    Reason,
    Refused,
    Unavailable,
)

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

JSON = dict[str, Any]
DOWNLOAD_ATTEMPTS: Final = 7
"""How often a download that gets no further is begun again; the pauses between are half a minute in all."""

ARROW: Final = "application/vnd.apache.arrow.stream"
NDJSON: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"
CSV: Final = "text/csv"
KINDS: Final[Mapping[str, str]] = {
    ".csv": CSV,
    ".txt": CSV,
    ".tsv": "text/tab-separated-values",
    ".tab": "text/tab-separated-values",
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xlsm": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xls": "application/vnd.ms-excel",
    ".xlsb": "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".jsonl": NDJSON,
    ".ndjson": NDJSON,
    ".json": "application/json",
}
"""Media types of table files by their ending; what is inside decides, not the type."""

_CLASS_OF_TYPE: Final[Mapping[str, type[HuitongError]]] = {
    "urn:huitong:problem:input-invalid": InputInvalid,
    "urn:huitong:problem:not-found": NotFound,
    "urn:huitong:problem:not-signed-in": NotSignedIn,
    "urn:huitong:problem:refused": Refused,
    "urn:huitong:problem:conflict": Conflict,
    "urn:huitong:problem:unavailable": Unavailable,
    "urn:huitong:problem:ledger-broken": LedgerBroken,
}
_CLASS_OF_STATUS: Final[Mapping[int, type[HuitongError]]] = {
    401: NotSignedIn,
    403: Refused,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""For an answer that names no type of ours, as a proxy on the way may give; other 4xx are InputInvalid."""


STILL_RUNNING: Final = "idempotency-running"
"""What the server says to a repeat while the first call still runs."""
OUTCOME_SECONDS: Final = 3.0
"""How long the ledger is asked what became of a streamed answer that broke off; the server writes it as soon as it sees that."""
PAUSE_SECONDS: Final = 0.25
"""Before a call is sent again."""


class ServerFailed(HuitongError):
    """The server failed in a way that it does not explain; its operator finds the cause by the time of the call."""


@dataclass(frozen=True, repr=False)
class QueryResult:
    """The result of one governed query."""

    query: str
    """Number of the query."""
    content: bytes
    """The Arrow IPC stream exactly as it was sent; SHA-256 of it is the receipt's result hash."""
    notices: tuple[str, ...] = ()
    """Sentences that the person should read, e.g. that a limit cut the result."""
    _client: "Client | None" = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """How much it is, never the rows: a notebook shows this of a result that nobody has read yet."""
        try:
            table = self.arrow()
            size = f"{table.num_rows} rows, {table.num_columns} columns, "
        except (ImportError, ValueError, OSError):  # without pyarrow, or bytes that are no Arrow stream
            size = ""
        return f"QueryResult(query {self.query!r}: {size}{len(self.content)} bytes)"

    def arrow(self) -> "pyarrow.Table":
        """The result as a `pyarrow.Table`."""
        import pyarrow.ipc

        with pyarrow.ipc.open_stream(self.content) as reader:
            return reader.read_all()

    def pandas(self) -> "pandas.DataFrame":
        """The result as a `pandas.DataFrame` (needs pandas)."""
        return self.arrow().to_pandas()

    def polars(self) -> "polars.DataFrame":
        """The result as a `polars.DataFrame` (needs polars)."""
        import polars

        return polars.DataFrame(self.arrow())

    def receipt(self, *, wait_seconds: float = 0.0) -> JSON:
        """The receipt of this use. With `wait_seconds` it waits until the ledger has folded every entry, so that the
        receipt carries inclusion proofs; without, or when the time is over, a promise may stand in their place."""
        if self._client is None:
            raise _spoken(InputInvalid.because("client-result-detached", query=self.query))
        return self._client.receipt(self.query, wait_seconds=wait_seconds)

    def save(self, path: Path | str) -> None:
        """Write the exact bytes to `path` (Arrow IPC stream, by custom `.arrow` or `.arrows`)."""
        Path(path).write_bytes(self.content)


class StreamedAnswer:
    """An answer whose rows come as the server finds them. They are taken once: as Arrow record batches, or as the bytes that were sent.

        with client.stream(sql, purpose="education") as answer:
            for batch in answer:
                ...

    That the last one was given means that they are all, and that they are what the outcome in the ledger says. Else the iteration raises:
    what came until then is not the whole answer. Leaving the block early stops the query; rows that have come count as used."""

    def __init__(self, client: "Client", response: httpx.Response) -> None:
        self._client = client
        self._response = response
        self._form = response.headers.get("Content-Type", "").partition(";")[0].strip()
        self._taken = False
        self.query: str = response.headers.get("Huitong-Query", "")
        """Number of the query."""
        notices = response.headers.get("Huitong-Notices", "")
        self.notices: tuple[str, ...] = tuple(unquote(sentence.strip()) for sentence in notices.split(",") if sentence.strip())
        """Sentences that the person should read."""
        self.rows: int | None = None
        """How many rows there are, once all have come."""
        self.result_hash: str | None = None
        """The SHA-256, in hex, of the bytes that came, once all have: what the receipt says too."""

    def __enter__(self) -> "StreamedAnswer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> "Iterator[pyarrow.RecordBatch]":
        return self.batches()

    def close(self) -> None:
        """Hang up; a query that still runs stops."""
        with contextlib.suppress(httpx.HTTPError, HuitongError):
            self._response.close()

    def receipt(self, *, wait_seconds: float = 0.0) -> JSON:
        """The receipt of this use; complete once the last row has come."""
        return self._client.receipt(self.query, wait_seconds=wait_seconds)

    def batches(self) -> "Iterator[pyarrow.RecordBatch]":
        """The rows as `pyarrow.RecordBatch`, at least one batch (needs pyarrow, and a stream in the form Arrow)."""
        import pyarrow.ipc

        source = _Pieces(self.pieces())
        try:
            reader = pyarrow.ipc.open_stream(pyarrow.PythonFile(source, mode="r"))
            any_rows = False
            for batch in reader:
                any_rows = True
                yield batch
            source.drain()
            if not any_rows:
                yield pyarrow.RecordBatch.from_pylist([], schema=reader.schema)
        except pyarrow.ArrowInvalid:
            source.drain()  # raises why the bytes ended too early, if they did
            raise _spoken(InputInvalid.because("client-stream-differs", query=self.query), self._client.language) from None

    def pieces(self) -> Iterator[bytes]:
        """The bytes of all rows as they come, in the form that was asked for; of NDJSON without the line that ends it."""
        if self._taken:
            raise ValueError("the rows of a streamed answer are taken once")
        self._taken = True
        digest, lines, last = hashlib.sha256(), 0, b""
        try:
            for piece in self._response.iter_bytes():
                whole = piece
                if self._form == NDJSON:  # the last line is held back until it is known whether another comes
                    last += piece
                    end = last.rfind(b"\n", 0, len(last) - 1) + 1
                    whole, last = last[:end], last[end:]
                    lines += whole.count(b"\n")
                digest.update(whole)
                if whole:
                    yield whole
        except (httpx.TransportError, httpx.StreamError, HuitongError):
            raise self._broken(lines) from None
        self._check_end(digest.hexdigest(), last, lines)

    def _check_end(self, found: str, last: bytes, lines: int) -> None:
        """Raise unless these are all rows."""
        if self._form == NDJSON:
            try:
                told = json.loads(last)["huitong"]
            except (ValueError, KeyError, TypeError):
                raise self._broken(lines) from None
            if (problem := told.get("problem")) is not None:
                answer = httpx.Response(int(problem["status"]), json=problem)
                raise error_of(answer, server=self._client.url, language=self._client.language)
        else:
            told = self._outcome() or {}
            if "failure" in told:
                raise self._broken(int(told.get("rows", 0)), str(told["failure"]))
        if told.get("result_hash") != found:
            raise _spoken(InputInvalid.because("client-stream-differs", query=self.query), self._client.language)
        self.rows, self.result_hash = int(told["rows"]), found

    def _broken(self, rows: int, failure: str | None = None) -> HuitongError:
        if failure is None:
            told = self._outcome() or {}
            rows, failure = int(told.get("rows", rows)), str(told.get("failure", "-"))
        return _spoken(Refused.because("client-stream-broken", query=self.query, rows=rows, failure=failure), self._client.language)

    def _outcome(self) -> JSON | None:
        """What the ledger says became of the use."""
        until = time.monotonic() + OUTCOME_SECONDS
        while True:
            with contextlib.suppress(Unavailable, NotFound):
                for entry in self._client.receipt(self.query)["entries"]:
                    told = json.loads(entry["payload"])
                    if told["kind"] == "use-outcome":
                        found: JSON = told["body"]
                        return found
            if time.monotonic() >= until:
                return None
            time.sleep(PAUSE_SECONDS)


class _Pieces(io.RawIOBase):
    """Bytes that come in pieces, as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        wanted = 1 << 62 if size is None or size < 0 else size
        parts = []
        while wanted > 0:
            if not self._rest:
                self._rest = next(self._pieces, b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:wanted], self._rest[wanted:]
            wanted -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, target: Any) -> int:
        got = self.read(len(target))
        target[: len(got)] = got
        return len(got)

    def drain(self) -> None:
        """To the end, which raises if it is none."""
        for _ in self._pieces:
            pass


@dataclass(frozen=True)
class ExtractFile:
    """An extract: rows of a grant as a file on the server."""

    told: JSON
    """What the server tells of it: id, state, rows, bytes, sha256, grant, snapshot and more."""
    _client: "Client" = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """Its number."""
        return str(self.told["id"])

    @property
    def state(self) -> str:
        """`waiting`, `running`, `ready`, `failed` or `removed`."""
        return str(self.told["state"])

    def refresh(self) -> "ExtractFile":
        """The same as it stands now."""
        return ExtractFile(self._client.get_extract(self.id), self._client)

    def wait(self, seconds: float = 7200.0, *, progress: Callable[[int, int], None] | None = None) -> "ExtractFile":
        """The same once it is ready; `progress` is told rows so far and how many there are at most.

        Raises Refused with the reasons why it was not made; Unavailable `client-extract-slow` when the time is over."""
        until, pause, found = time.monotonic() + seconds, 0.1, self
        while found.state in ("waiting", "running"):
            if progress:
                progress(int(found.told["rows"]), int(found.told["rows_expected"]))
            if time.monotonic() >= until:
                slow = Unavailable.because("client-extract-slow", extract=self.id, seconds=int(seconds))
                raise _spoken(slow, self._client.language)
            time.sleep(pause)
            pause = min(1.0, pause * 1.5)
            found = found.refresh()
        if found.state != "ready":
            raise _spoken(_refused_by(found.told["reasons"], extract=self.id, state=found.state), self._client.language)
        if progress:
            progress(int(found.told["rows"]), int(found.told["rows"]))
        return found

    def download(self, path: Path | str, *, progress: Callable[[int, int], None] | None = None) -> Path:
        """Write the file to `path`, whole and with the right hash or not at all; a download that broke is continued."""
        return self._client.download_extract(self.id, path, progress=progress)


def _refused_by(reasons: Iterable[Mapping[str, Any]], *, extract: str, state: str) -> HuitongError:
    found = [Reason(str(one["code"]), {str(k): v for k, v in one["parameters"].items()}) for one in reasons]
    error = Refused(*(found or [Reason("extract-not-ready", {"extract": extract, "state": state})]))
    error.__dict__["sentences"] = tuple(str(one["text"]) for one in reasons)
    return error


def _keys(keys: Iterable[str | Iterable[str]]) -> list[str | list[str]]:
    """Each key as the API takes it."""
    return [key if isinstance(key, str) else list(key) for key in keys]


def is_folded(receipt: Mapping[str, Any]) -> bool:
    """Whether every entry of the receipt carries its inclusion proof."""
    entries = receipt.get("entries", ())
    return bool(entries) and all(entry.get("inclusion") is not None for entry in entries)


class Client:
    """The verbs of the API for one account, named by its token.

    `transport` replaces the network (tests; the CLI's in-process use); `new_key` makes the keys of calls that change something. Every
    call raises the error of `huitong.errors` that the answer stands for, with all its reasons; `sentences_of(error)` gives the server's
    sentences for them."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        language: str = "en",
        timeout: float = 120.0,
        new_key: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._new_key = new_key
        self.language = "zh-Hans" if language.lower().startswith("zh") else "en"
        headers = {"Accept-Language": self.language}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1/",
            headers=headers,
            transport=transport,
            timeout=httpx.Timeout(timeout, connect=10.0),
            follow_redirects=False,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- who am I, and who is there -------------------------------------------------------------------------------------

    def whoami(self) -> JSON:
        """The account, post, office and roles behind the token."""
        return self._json("GET", "whoami")

    def divisions(
        self, q: str | None = None, *, under: str | None = None, level: str | None = None, limit: int = 50, offset: int = 0
    ) -> JSON:
        """Administrative divisions by name or code, below a division, of a level."""
        return self._json("GET", "divisions", query={"q": q, "under": under, "level": level, "limit": limit, "offset": offset})

    def division(self, code: str) -> JSON:
        """One division by its 12-digit code."""
        return self._json("GET", f"divisions/{_part(code)}")

    def offices(
        self, q: str | None = None, *, level: str | None = None, division: str | None = None, limit: int = 50, offset: int = 0
    ) -> JSON:
        """Offices by name, level, division."""
        query = {"q": q, "level": level, "division": division, "limit": limit, "offset": offset}
        return self._json("GET", "offices", query=query)

    def office(self, identifier: str) -> JSON:
        """One office."""
        return self._json("GET", f"offices/{_part(identifier)}")

    # --- the catalogue --------------------------------------------------------------------------------------------------

    def search(
        self,
        q: str | None = None,
        *,
        narrowing: Mapping[str, str | Iterable[str]] | None = None,
        facets: Iterable[str] = (),
        limit: int = 20,
        offset: int = 0,
        **one_value: str | None,
    ) -> JSON:
        """Datasets that match words in Chinese or English, best first, of those that one's office may know of.

        `narrowing` (or keywords) says which values a facet must have: office, level, division, family, grade, sharing, openness,
        cycle, meaning. With `facets` the answer counts its hits under each value of these facets."""
        wanted: dict[str, Any] = {**(narrowing or {}), **one_value}
        query: JSON = {"q": q, "limit": limit, "offset": offset, "facets": list(facets) or None}
        for facet, values in wanted.items():
            query[facet] = values if values is None or isinstance(values, str) else list(values)
        return self._json("GET", "datasets", query=query)

    def usable(self, *, can: Iterable[str] = (), limit: int = 20, offset: int = 0) -> JSON:
        """The datasets that one's office may know of, each with whether, how and by when the office may have it, by id.

        `can` narrows to answers: granted, preparing, under-review, at-once, needs-approval, not-shared, refused."""
        return self._json("GET", "usable", query={"can": list(can) or None, "limit": limit, "offset": offset})

    def dataset(self, identifier: str) -> JSON:
        """A catalogue entry with its items, its availability for this office and its current snapshot."""
        return self._json("GET", f"datasets/{_part(identifier)}")

    def publish(self, entry: Mapping[str, Any]) -> JSON:
        """Publish a catalogue entry of one's own office (role data-officer)."""
        return self._json("POST", "datasets", json=entry)

    def sample(self, identifier: str, *, rows: int = 10) -> JSON:
        """Synthetic rows of the right shape: made from the entry alone, never from data."""
        return self._json("GET", f"datasets/{_part(identifier)}/sample", query={"rows": rows})

    def quality(self, identifier: str, *, version: int | None = None) -> JSON:
        """The quality report of a snapshot, the newest by default."""
        return self._json("GET", f"datasets/{_part(identifier)}/quality", query={"version": version})

    def snapshots(self, identifier: str) -> JSON:
        """Every snapshot of a dataset, newest first, with what changed in its items."""
        return self._json("GET", f"datasets/{_part(identifier)}/snapshots")

    def rejects(self, identifier: str, version: int, *, limit: int = 50, offset: int = 0) -> JSON:
        """The rows that were left out of a snapshot, each with its line and reasons; for data officers of the managing office."""
        query = {"limit": limit, "offset": offset}
        return self._json("GET", f"datasets/{_part(identifier)}/snapshots/{version}/rejects", query=query)

    def suggestions(self, identifier: str) -> JSON:
        """What recognisers take the items for, with the grade and mask that this asks for; for the managing office."""
        return self._json("GET", f"datasets/{_part(identifier)}/suggestions")

    def decide_suggestion(self, identifier: str, *, item: str, meaning: str, confirm: bool, words: str | None = None) -> JSON:
        """Confirm a suggestion, which changes the entry, or dismiss it with words why (role data-officer)."""
        body = _without_none({"item": item, "meaning": meaning, "confirm": confirm, "words": words})
        return self._json("POST", f"datasets/{_part(identifier)}/suggestions/decide", json=body)

    def dcat(self, identifier: str | None = None, *, form: str = "ttl") -> str:
        """One entry, or the catalogue that everyone may know, as DCAT-AP 3: `ttl` (Turtle) or `jsonld`."""
        path = "catalog" if identifier is None else f"datasets/{_part(identifier)}/dcat"
        return self._send("GET", f"{path}.{form}", headers={"Accept": "*/*"}).text

    def guide(self, *, office: str | None = None) -> bytes:
        """The catalogue in the form of the national compilation guide: CSV, UTF-8 with a byte-order mark, Chinese headings."""
        return self._send("GET", "catalog.csv", params=_without_none({"office": office}), headers={"Accept": CSV}).content

    def export(self, *, office: str | None = None) -> JSON:
        """The entries of an office, by default one's own, in full: what `publish` and `apply` take."""
        return self._json("GET", "catalog/entries", query={"office": office})

    def apply(self, entries: Iterable[Mapping[str, Any]], *, dry_run: bool = False) -> JSON:
        """Publish many entries of one's own office, all or none; `dry_run` tells what would change."""
        return self._json("POST", "catalog/apply", json={"entries": [dict(entry) for entry in entries], "dry_run": dry_run})

    def grading(self) -> JSON:
        """The grading scheme in force: its grades, what each asks for, and its source."""
        return self._json("GET", "grading")

    def purposes(self) -> JSON:
        """The purposes that data may be asked for and used for: their codes and their titles in both languages."""
        return self._json("GET", "purposes")

    def calendar(self) -> JSON:
        """The calendar of working days: its edition, what is known of which year, what should be looked at."""
        return self._json("GET", "calendar")

    def calendar_year(self, year: int) -> JSON:
        """One year: free days, weekends that are worked in exchange, where that is written."""
        return self._json("GET", f"calendar/{year}")

    def set_calendar(self, calendar: str, *, dry_run: bool = False) -> JSON:
        """Put years in, as TOML with a table `[[year]]` each; `dry_run` tells what would change (role operator)."""
        return self._json("POST", "calendar", json={"calendar": calendar, "dry_run": dry_run})

    # --- loading --------------------------------------------------------------------------------------------------------

    def upload(
        self,
        dataset: str,
        content: Path | bytes | Iterable[bytes],
        *,
        kind: str | None = None,
        mode: str = "replace",
        reject_limit: int = 0,
        allow: Iterable[str] = (),
        reading: Mapping[str, str | int] | None = None,
    ) -> JSON:
        """Load a table file as the next snapshot of a dataset of one's own office (role data-officer).

        `kind` is the media type; for a path it follows from the ending. `mode` is replace, append or merge (by the primary key);
        up to `reject_limit` rows that do not fit are left out and kept with their reasons; `allow` names changes of the items
        that are meant; `reading` overrides what was understood of the file: encoding, delimiter, quote, header_row, header_rows,
        sheet, merged."""
        query = {"mode": mode, "reject_limit": reject_limit, "allow": list(allow) or None, **(reading or {})}
        if isinstance(content, Path):
            kind = kind or KINDS.get(content.suffix.lower())
            if kind is None:
                raise _spoken(InputInvalid.because("client-file-kind-unknown", file=content.name), self.language)
            with content.open("rb") as file:
                return self._upload(dataset, file, kind, query)
        if kind is None:
            raise _spoken(InputInvalid.because("client-file-kind-unknown", file="-"), self.language)
        if isinstance(content, bytes):
            return self._upload(dataset, content, kind, query)
        # A body of unknown length cannot be told from one that was cut, so the server takes none: what comes in pieces is
        # kept on disk until its length is known.
        with tempfile.TemporaryFile() as whole:
            for piece in content:
                whole.write(piece)
            whole.seek(0)
            return self._upload(dataset, whole, kind, query)

    def _upload(self, dataset: str, content: bytes | Iterable[bytes], kind: str, query: Mapping[str, Any]) -> JSON:
        path = f"datasets/{_part(dataset)}/snapshots"
        return self._json("POST", path, query=query, content=content, headers={"Content-Type": kind})

    def load_source(
        self, dataset: str, source: Mapping[str, Any], *, mode: str = "replace", reject_limit: int = 0, allow: Iterable[str] = ()
    ) -> JSON:
        """Load a table of an allowed database, or a file of the inbox, as the next snapshot; `source` as for `plan`."""
        body = {"source": dict(source), "mode": mode, "reject_limit": reject_limit, "allow": list(allow)}
        return self._json("POST", f"datasets/{_part(dataset)}/loads", json=body)

    def inspect_source(self, source: Mapping[str, Any], *, dataset: str | None = None) -> JSON:
        """What a table of an allowed database looks like; nothing is loaded."""
        body = _without_none({"source": dict(source), "dataset": dataset})
        return self._json("POST", "sources/inspect", json=body, keyed=False)

    def loads(self, dataset: str) -> JSON:
        """The newest loads of a dataset of one's own office: state, rows so far, what became of each."""
        return self._json("GET", f"datasets/{_part(dataset)}/loads")

    def plans(self) -> JSON:
        """The planned loads of one's own office."""
        return self._json("GET", "load-plans")

    def plan(
        self, dataset: str, *, source: Mapping[str, Any], every: str, mode: str = "replace", reject_limit: int = 0
    ) -> JSON:
        """Plan a load that recurs (role data-officer). `source` is `{kind: file|database, address, table, credential, changed_item}`;
        `every` is `hourly`, `daily 02:30`, `weekly mon 02:30` or `monthly 1 02:30`, in the instance's time zone."""
        body = {"dataset": dataset, "source": dict(source), "every": every, "mode": mode, "reject_limit": reject_limit}
        return self._json("POST", "load-plans", json=body)

    def run_plan(self, identifier: str) -> JSON:
        """Run a planned load now."""
        return self._json("POST", f"load-plans/{_part(identifier)}/run", json={})

    def resume_plan(self, identifier: str) -> JSON:
        """Set a stopped plan going again."""
        return self._json("POST", f"load-plans/{_part(identifier)}/resume", json={})

    def remove_plan(self, identifier: str) -> JSON:
        """Forget a planned load; what it loaded stays."""
        return self._json("POST", f"load-plans/{_part(identifier)}/remove", json={})

    def keep_credential(self, name: str, *, server: str, user: str, password: str) -> JSON:
        """Keep user and password of a database server (`host:port`) for one's office (role data-officer). They never come back."""
        return self._json("POST", "credentials", json={"name": name, "server": server, "user": user, "password": password})

    def credentials(self) -> JSON:
        """Names and servers of the credentials that one's office keeps; never user or password."""
        return self._json("GET", "credentials")

    def forget_credential(self, name: str) -> JSON:
        """Forget a credential; plans that name it stop with a reason."""
        return self._json("POST", f"credentials/{_part(name)}/forget", json={})

    def erase(self, datasets: Iterable[str], *, identifier: str, legal_basis: str, words: str) -> JSON:
        """Take a person out of every kept snapshot of datasets of one's own office, by law (role data-officer)."""
        body = {"datasets": list(datasets), "identifier": identifier, "legal_basis": legal_basis, "words": words}
        return self._json("POST", "erasures", json=body)

    # --- notices --------------------------------------------------------------------------------------------------------

    def notices(self, *, unread: bool = False, limit: int = 50, offset: int = 0) -> JSON:
        """What one was told in the office one acts for, and as a person; newest first."""
        return self._json("GET", "notices", query={"unread": unread or None, "limit": limit, "offset": offset})

    def read_notices(self, notices: Iterable[str] | None = None) -> JSON:
        """Mark these notices as read, or all."""
        return self._json("POST", "notices/read", json=_without_none({"notices": None if notices is None else list(notices)}))

    def mail(self) -> JSON:
        """When and where one gets notices by e-mail."""
        return self._json("GET", "notices/mail")

    def choose_mail(self, *, when: str | None = None, address: str | None = None, language: str | None = None) -> JSON:
        """Choose when (`off`, `at-once`, `daily`), where and in which language to get notices by e-mail."""
        return self._json("POST", "notices/mail", json=_without_none({"when": when, "address": address, "language": language}))

    def webhooks(self) -> JSON:
        """The systems of one's office that are told of notices (role data-officer)."""
        return self._json("GET", "webhooks")

    def add_webhook(self, url: str, *, kinds: Iterable[str] = ()) -> JSON:
        """Have a system told of notices of these kinds, or of all (role data-officer). The `secret` comes this once."""
        return self._json("POST", "webhooks", json={"url": url, "kinds": list(kinds)}, keyed=False)

    def remove_webhook(self, identifier: str) -> JSON:
        """Tell a system no more; what waits for it is cancelled."""
        return self._json("POST", f"webhooks/{_part(identifier)}/remove", json={})

    def rotate_webhook(self, identifier: str) -> JSON:
        """A new `secret`, which comes this once; the old one signs too for a day."""
        return self._json("POST", f"webhooks/{_part(identifier)}/rotate", json={}, keyed=False)

    def test_webhook(self, identifier: str) -> JSON:
        """Send a trial message; `deliveries` tells what came of it."""
        return self._json("POST", f"webhooks/{_part(identifier)}/test", json={})

    def deliveries(self, identifier: str, *, limit: int = 50, offset: int = 0) -> JSON:
        """The messages to a webhook, newest first, with their state."""
        return self._json("GET", f"webhooks/{_part(identifier)}/deliveries", query={"limit": limit, "offset": offset})

    # --- offices and divisions that change ------------------------------------------------------------------------------

    def succeed(self, office: str, *, successor: str, on: str, words: str) -> JSON:
        """One office takes over from another: datasets, grants, requests and posts move, with a trace (role operator)."""
        body = {"successor": successor, "on": on, "words": words}
        return self._json("POST", f"offices/{_part(office)}/succeed", json=body)

    def change_divisions(self, changes: str, *, dry_run: bool = False) -> JSON:
        """Divisions that merged, split, moved or were renamed: a CSV of old, new, day and kind (role operator)."""
        return self._json("POST", "division-changes", json={"changes": changes, "dry_run": dry_run})

    # --- people, tokens, staff mode -------------------------------------------------------------------------------------

    def people(self, office: str | None = None, *, limit: int = 50, offset: int = 0) -> JSON:
        """The posts of one's own office and who holds them; of any office in staff mode."""
        return self._json("GET", "people", query={"office": office, "limit": limit, "offset": offset})

    def register(
        self, account: str, *, name: str, office: str, roles: Iterable[str], keeper: str | None = None, password: bool = False
    ) -> JSON:
        """Register a person, or a service that names its keeper (operator, in staff mode). A password is made if asked for."""
        body = {"account": account, "name": name, "office": office, "roles": list(roles), "keeper": keeper, "password": password}
        return self._json("POST", "people", json=body, keyed=False)

    def add_post(self, account: str, *, office: str, roles: Iterable[str]) -> JSON:
        """Give a person one more post (operator, in staff mode)."""
        return self._json("POST", f"people/{_part(account)}/posts", json={"office": office, "roles": list(roles)})

    def end_post(self, post: str) -> JSON:
        """End a post, and its tokens with it (operator, in staff mode)."""
        return self._json("POST", f"posts/{_part(post)}/end", json={})

    def leave(self, account: str, *, post: str | None = None, words: str = "") -> JSON:
        """End one post or all of them; without a post left the account closes (oneself, or an operator)."""
        return self._json("POST", f"people/{_part(account)}/leave", json={"post": post, "words": words})

    def move(self, account: str, *, post: str, office: str, words: str, roles: Iterable[str] | None = None) -> JSON:
        """End a post and open one in another office, both or neither (operator, in staff mode)."""
        body = {"post": post, "office": office, "roles": None if roles is None else list(roles), "words": words}
        return self._json("POST", f"people/{_part(account)}/move", json=body)

    def name_keeper(self, service: str, keeper: str) -> JSON:
        """Name another person of the office who answers for a service (its keeper, or an operator)."""
        return self._json("POST", f"people/{_part(service)}/keeper", json={"keeper": keeper})

    def tokens(self, account: str | None = None, *, limit: int = 50, offset: int = 0) -> JSON:
        """One's own tokens, or those of a service one keeps; never what makes them work."""
        return self._json("GET", "tokens", query={"account": account, "limit": limit, "offset": offset})

    def issue_token(
        self,
        post: str | None = None,
        *,
        scopes: Iterable[str] | None = None,
        days: int | None = None,
        label: str = "",
        words: str = "",
    ) -> JSON:
        """Issue a token, by default for one's own post and with the scopes of this one. Its text comes back this once."""
        body: JSON = {"post": post, "scopes": None if scopes is None else list(scopes), "days": days, "label": label, "words": words}
        return self._json("POST", "tokens", json=body, keyed=False)

    def revoke_token(self, prefix: str) -> JSON:
        """A token works no more, from the next request on."""
        return self._json("POST", f"tokens/{_part(prefix)}/revoke", json={})

    def staff_status(self) -> JSON:
        """Whether staff mode is open for this post, and until when."""
        return self._json("GET", "staff")

    def open_staff(self, words: str, *, minutes: int | None = None, code: str | None = None) -> JSON:
        """Give this post the role of operator for some minutes, with words why and a fresh code of the second factor."""
        return self._json("POST", "staff/open", json={"words": words, "minutes": minutes, "code": code})

    def close_staff(self) -> JSON:
        """Take the role of operator from this post again."""
        return self._json("POST", "staff/close", json={})

    # --- requests and grants --------------------------------------------------------------------------------------------

    def request(
        self,
        dataset: str,
        *,
        purpose: str,
        legal_basis: str,
        items: Iterable[Mapping[str, Any] | str],
        until: str,
        division: str | None = None,
        **terms: Any,
    ) -> JSON:
        """Ask for items of a dataset. An item is its name (default mask) or `{item, mask: {kind, parameters}}`; `until` is
        the last day of use (YYYY-MM-DD), `division` cuts the rows to a division and all below it.

        Further `terms`: `condition` (a list of `{item, comparator, values}`), `subjects` (`{item, identifiers}`), `mode` (`rows` or
        `aggregate-only`), `k`, `quota` (`{period, rows, queries, calls}`), `linkage` (`purpose`, `alone` or a group), `kind`
        (`sharing` or `opening`)."""
        wanted = [{"item": item} if isinstance(item, str) else dict(item) for item in items]
        body: JSON = {"dataset": dataset, "purpose": purpose, "legal_basis": legal_basis, "items": wanted, "until": until}
        body |= _without_none(terms)
        if division is not None:
            body["rows"] = {"division": division}
        return self.submit(body)

    def submit(self, wish: Mapping[str, Any]) -> JSON:
        """Ask with a request in the form of the API (`POST /requests`), e.g. one that was kept in a file."""
        return self._json("POST", "requests", json=dict(wish))

    def requests(self, *, as_: str = "applicant", limit: int = 50, offset: int = 0) -> JSON:
        """Requests of one's office (`applicant`) or to one's office (`provider`)."""
        return self._json("GET", "requests", query={"as": as_, "limit": limit, "offset": offset})

    def get_request(self, identifier: str) -> JSON:
        """One request with its whole history."""
        return self._json("GET", f"requests/{_part(identifier)}")

    def approve(
        self,
        identifier: str,
        *,
        items: Iterable[Mapping[str, Any] | str] | None = None,
        division: str | None = None,
        until: str | None = None,
        words: str | None = None,
        weaker_masks: Iterable[str] = (),
        **terms: Any,
    ) -> JSON:
        """Answer a request with yes, narrowed if items, division, until or `terms` are given (as for `request`; comparisons of a
        condition are added to those asked for; role reviewer of the provider).

        `weaker_masks` names the items whose mask shows more than the default of their grade, and is agreed to expressly."""
        body: JSON = {"words": words, "until": until, **terms}
        if items is not None:
            body["items"] = [{"item": item} if isinstance(item, str) else dict(item) for item in items]
        if division is not None:
            body["rows"] = {"division": division}
        if weaker := list(weaker_masks):
            body["weaker_masks"] = weaker
        return self._json("POST", f"requests/{_part(identifier)}/approve", json=_without_none(body))

    def refuse(self, identifier: str, *, reason: str, words: str | None = None) -> JSON:
        """Answer a request with no, for a coded reason (role reviewer of the provider)."""
        return self._json("POST", f"requests/{_part(identifier)}/refuse", json=_without_none({"reason": reason, "words": words}))

    def withdraw(self, identifier: str) -> JSON:
        """Take back a request of one's own office."""
        return self._json("POST", f"requests/{_part(identifier)}/withdraw", json={})

    def ask_supplement(self, identifier: str, *, words: str) -> JSON:
        """Say what is missing from a request, once and all of it (role reviewer of the provider)."""
        return self._json("POST", f"requests/{_part(identifier)}/ask-supplement", json={"words": words})

    def supplement(
        self,
        identifier: str,
        *,
        words: str,
        purpose: str | None = None,
        legal_basis: str | None = None,
        items: Iterable[Mapping[str, Any] | str] | None = None,
        division: str | None = None,
        until: str | None = None,
        **terms: Any,
    ) -> JSON:
        """Supply what was missing from a request of one's office; what else is given is asked for instead."""
        body: JSON = {"words": words, "purpose": purpose, "legal_basis": legal_basis, "until": until, **terms}
        if items is not None:
            body["items"] = [{"item": item} if isinstance(item, str) else dict(item) for item in items]
        if division is not None:
            body["rows"] = {"division": division}
        return self._json("POST", f"requests/{_part(identifier)}/supplement", json=_without_none(body))

    def prolong(self, identifier: str, *, words: str, approved_by: str) -> JSON:
        """Put the answer to an application for open data off, once, with the word of the head of the office."""
        return self._json("POST", f"requests/{_part(identifier)}/prolong", json={"words": words, "approved_by": approved_by})

    def escalate(self, identifier: str, *, words: str | None = None) -> JSON:
        """Tell the regulator that the answer to a request of one's office is late."""
        return self._json("POST", f"requests/{_part(identifier)}/escalate", json=_without_none({"words": words}))

    def mediate(self, identifier: str, *, words: str, answer_by: str) -> JSON:
        """Set the day by which a late request is answered (role regulator)."""
        return self._json("POST", f"requests/{_part(identifier)}/mediate", json={"words": words, "answer_by": answer_by})

    def late_requests(self, *, limit: int = 50, offset: int = 0) -> JSON:
        """Requests whose answer is late: of one's office, or of the offices that one regulates."""
        return self._json("GET", "late-requests", query={"limit": limit, "offset": offset})

    def extend(self, grant: str, *, until: str) -> JSON:
        """Ask that a grant in force last until another day; what comes back is the request."""
        return self._json("POST", f"grants/{_part(grant)}/extend", json={"until": until})

    def renew(self, grant: str, *, until: str) -> JSON:
        """Ask for the same again after a grant has ended or was given back; what comes back is the request."""
        return self._json("POST", f"grants/{_part(grant)}/renew", json={"until": until})

    def grant_events(self, identifier: str) -> JSON:
        """What happened to a grant, oldest first."""
        return self._json("GET", f"grants/{_part(identifier)}/events")

    def delegations(self) -> JSON:
        """Who answers in whose place in one's office."""
        return self._json("GET", "delegations")

    def delegate(self, to: str, *, valid_from: str, valid_until: str, principal: str | None = None) -> JSON:
        """Let a colleague answer in one's place on these days, or (role data-officer) in that of a reviewer who cannot."""
        body = {"to": to, "valid_from": valid_from, "valid_until": valid_until, "principal": principal}
        return self._json("POST", "delegations", json=_without_none(body))

    def end_delegation(self, identifier: str) -> JSON:
        """End a delegation before its last day."""
        return self._json("POST", f"delegations/{_part(identifier)}/end", json={})

    def grants(self, *, limit: int = 50, offset: int = 0) -> JSON:
        """Grants that one's office has, gave, or both."""
        return self._json("GET", "grants", query={"limit": limit, "offset": offset})

    def grant(self, identifier: str) -> JSON:
        """One grant with its terms."""
        return self._json("GET", f"grants/{_part(identifier)}")

    def grant_odrl(self, identifier: str, *, version: int | None = None) -> JSON:
        """The agreement of a grant as ODRL 2.2 in JSON-LD, of a version or the newest."""
        headers = {"Accept": "application/ld+json"}
        return self._json("GET", f"grants/{_part(identifier)}/odrl", query={"version": version}, headers=headers)

    def grant_document(self, identifier: str, *, version: int | None = None, form: str = "md") -> str:
        """The agreement of a grant to read, in the client's language: `md` (Markdown) or `html` (a page to print)."""
        headers = {"Accept": "text/html" if form == "html" else "text/markdown"}
        query = _without_none({"version": version})
        return self._send("GET", f"grants/{_part(identifier)}/document", params=query, headers=headers).text

    def grant_versions(self, identifier: str) -> JSON:
        """Every version of a grant with its hash, and what changed between them."""
        return self._json("GET", f"grants/{_part(identifier)}/versions")

    def revoke(self, identifier: str, *, words: str) -> JSON:
        """End a grant that one's office gave; it bites at the next request."""
        return self._json("POST", f"grants/{_part(identifier)}/revoke", json={"words": words})

    # --- re-identification ----------------------------------------------------------------------------------------------

    def ask_reidentification(
        self,
        grant: str,
        tokens: Iterable[int | str],
        *,
        case: str,
        legal_basis: str,
        why: str,
        item: str | None = None,
        days: int | None = None,
        reveals: int | None = None,
    ) -> JSON:
        """Ask, as the responsible officer, for the identifiers behind tokens of a grant, for one case. A token is its integer or its
        display form; `item` is needed only where the grant shows several items as pseudonyms."""
        body = {"grant": grant, "tokens": [str(one) for one in tokens], "case": case, "legal_basis": legal_basis, "why": why}
        more = _without_none({"item": item, "days": days, "reveals": reveals})
        return self._json("POST", "reidentifications", json={**body, **more})

    def reidentifications(self, *, as_: str = "applicant", limit: int = 50, offset: int = 0) -> JSON:
        """Cases of one's own (`applicant`; a data officer: of the office) or to one's office (`provider`)."""
        return self._json("GET", "reidentifications", query={"as": as_, "limit": limit, "offset": offset})

    def reidentification(self, identifier: str) -> JSON:
        """One case with its whole history."""
        return self._json("GET", f"reidentifications/{_part(identifier)}")

    def approve_reidentification(
        self, identifier: str, *, days: int | None = None, reveals: int | None = None, words: str | None = None
    ) -> JSON:
        """Agree, to what was asked or to less (role reviewer of the provider); two different reviewers must."""
        body = _without_none({"days": days, "reveals": reveals, "words": words})
        return self._json("POST", f"reidentifications/{_part(identifier)}/approve", json=body)

    def refuse_reidentification(self, identifier: str, *, reason: str, words: str) -> JSON:
        """Say no, for a coded reason and in words (role reviewer of the provider)."""
        return self._json("POST", f"reidentifications/{_part(identifier)}/refuse", json={"reason": reason, "words": words})

    def withdraw_reidentification(self, identifier: str, *, words: str | None = None) -> JSON:
        """Take back what was not answered yet."""
        return self._json("POST", f"reidentifications/{_part(identifier)}/withdraw", json=_without_none({"words": words}))

    def revoke_reidentification(self, identifier: str, *, words: str | None = None) -> JSON:
        """End what was agreed; the providing office says why."""
        return self._json("POST", f"reidentifications/{_part(identifier)}/revoke", json=_without_none({"words": words}))

    def reveal(self, identifier: str, tokens: Iterable[int | str] | None = None) -> QueryResult:
        """The identifiers of a case, for its officer alone: `token`, `identifier` (missing where there is none that the grant shows) and
        `seal`, without which nobody can try the hash in the receipt. Without `tokens`: behind all that were agreed."""
        body = {} if tokens is None else {"tokens": [str(one) for one in tokens]}
        return self._result(self._send("POST", f"reidentifications/{_part(identifier)}/reveal", json=body, headers={"Accept": ARROW}))

    # --- use and proof --------------------------------------------------------------------------------------------------

    def query(self, sql: str, *, purpose: str, epsilon: str | None = None) -> QueryResult:
        """Run one SELECT under the grants of one's office, for a stated purpose. Under a grant of noised totals `epsilon`, a plain
        decimal, says what the answer may spend of its budget. The server stops a query whose caller hangs up, as Ctrl-C does."""
        body = _without_none({"sql": sql, "purpose": purpose, "epsilon": epsilon})
        return self._result(self._send("POST", "query", json=body, headers={"Accept": ARROW}))

    def stream(self, sql: str, *, purpose: str, epsilon: str | None = None, form: str = ARROW) -> StreamedAnswer:
        """The same for more rows than one answer holds: they come one after the other. `form` is `application/vnd.apache.arrow.stream`,
        `application/x-ndjson` or `text/csv`. Totals, which are few, come at once. Close the answer, or use it as a context."""
        body = {**_without_none({"sql": sql, "purpose": purpose, "epsilon": epsilon}), "stream": True}
        request = self._http.build_request("POST", "query", json=body, headers={"Accept": form})
        try:
            response = self._http.send(request, stream=True)
            if not response.is_success:
                response.read()
        except httpx.TimeoutException:
            raise _spoken(Unavailable.because("client-server-silent", server=self.url), self.language) from None
        except httpx.TransportError:
            raise _spoken(Unavailable.because("client-server-unreachable", server=self.url), self.language) from None
        if not response.is_success:
            raise error_of(response, server=self.url, language=self.language)
        if response.headers.get("Content-Type", "").partition(";")[0].strip() != form:
            response.close()
            raise _spoken(ServerFailed.because("client-answer-unreadable", server=self.url), self.language)
        return StreamedAnswer(self, response)

    def running_uses(self, *, limit: int = 50, offset: int = 0) -> JSON:
        """Uses of one's office that have run for a second or more and run now: for a data officer all, else one's own."""
        return self._json("GET", "queries/running", query={"limit": limit, "offset": offset})

    def cancel_use(self, query: str) -> JSON:
        """Stop a running use: one's own or, as a data officer, any of one's office. It ends within a second or two."""
        return self._json("POST", f"queries/{_part(query)}/cancel")

    def why(self, sql: str, *, purpose: str, epsilon: str | None = None) -> JSON:
        """What would happen to this query and on which grounds; nothing is run."""
        return self._json("POST", "why", json=_without_none({"sql": sql, "purpose": purpose, "epsilon": epsilon}), keyed=False)

    # --- records by key -------------------------------------------------------------------------------------------------

    def get_records(
        self, dataset: str, keys: Iterable[str | Iterable[str]], *, purpose: str, items: Iterable[str] | None = None
    ) -> QueryResult:
        """The rows of these keys as the grants of one's office show them: all granted items, or `items`.

        A key is a text, of several key items a list: the value where the grant shows the item in clear, the token where it shows a
        pseudonym. One that does not exist or lies outside what is granted gives no row. Keys travel in the body, never in an address."""
        body = {"dataset": dataset, "keys": _keys(keys), "purpose": purpose, "items": None if items is None else list(items)}
        return self._result(self._send("POST", "records/get", json=_without_none(body), headers={"Accept": ARROW}))

    def verify_records(
        self, dataset: str, keys: Iterable[str | Iterable[str]], *, purpose: str, where: Mapping[str, str]
    ) -> QueryResult:
        """Whether each of these keys has a row in which every item of `where` holds its value: `answer` is yes, no or unknown (a value is
        missing or hidden, or no such record is visible), `key` the place of the key in the call, from 1."""
        compared = [{"item": item, "value": value} for item, value in where.items()]
        body = {"dataset": dataset, "keys": _keys(keys), "purpose": purpose, "where": compared}
        return self._result(self._send("POST", "records/verify", json=body, headers={"Accept": ARROW}))

    def record_door(self, dataset: str) -> JSON:
        """Whether records of a dataset may be called for by key, by which items, and where the copy that calls read stands."""
        return self._json("GET", f"datasets/{_part(dataset)}/records")

    def switch_records(self, dataset: str, *, on: bool) -> JSON:
        """Let records of a dataset of one's own office be called for by key, or no more (role data-officer)."""
        return self._json("POST", f"datasets/{_part(dataset)}/records", json={"on": on})

    # --- rows as a file -------------------------------------------------------------------------------------------------

    def extract(
        self,
        grant: str | None = None,
        *,
        dataset: str | None = None,
        purpose: str | None = None,
        items: Iterable[str] | None = None,
        format: str = "parquet",  # noqa: A002 - the API's own word
        wait: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> ExtractFile:
        """The rows of a grant (or of a dataset for a purpose) as one file: `parquet`, `csv` or `arrow`. Waits until it is ready.

        `.download(path)` of what comes back fetches it. The file is written once: asking again gives the same one."""
        body = {"grant": grant, "dataset": dataset, "purpose": purpose, "items": None if items is None else list(items), "format": format}
        made = ExtractFile(self._json("POST", "extracts", json=_without_none(body)), self)
        return made.wait(progress=progress) if wait else made

    def extracts(self, *, limit: int = 50, offset: int = 0) -> JSON:
        """Extracts of one's office, newest first."""
        return self._json("GET", "extracts", query={"limit": limit, "offset": offset})

    def get_extract(self, identifier: str) -> JSON:
        """One extract of one's office: how far it is, or what the file is."""
        return self._json("GET", f"extracts/{_part(identifier)}")

    def extract_address(self, identifier: str, *, minutes: int | None = None) -> JSON:
        """A signed address, by which the file can be fetched without a token for some minutes."""
        body = _without_none({"minutes": minutes})
        given = self._json("POST", f"extracts/{_part(identifier)}/addresses", json=body, keyed=False)
        return {**given, "address": f"{self.url}{given['address']}"}

    def download_extract(
        self, identifier: str, path: Path | str, *, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """Fetch the file of a ready extract to `path`: whole and with the right hash, or not at all.

        What came of a download that broke lies beside `path` and is continued. Raises Refused where the right to it has ended."""
        place = Path(path)
        part = place.with_name(f"{place.name}.part")
        attempts, before = 0, -1
        while True:
            try:
                given = self.extract_address(identifier)
                size, sha256 = int(given["bytes"]), str(given["sha256"])
                done = self._fetch(str(given["address"]), part, size=size, sha256=sha256, progress=progress)
            except (Refused, NotFound):
                part.unlink(missing_ok=True)  # what may not leave is not kept
                raise
            except (httpx.TransportError, httpx.StreamError, Unavailable):
                done, size = part.stat().st_size if part.exists() else 0, -1
            if done == size:
                break
            attempts = 0 if done > before else attempts + 1
            before = max(done, before)
            if attempts >= DOWNLOAD_ATTEMPTS:
                raise _spoken(Unavailable.because("client-download-broken", server=self.url, bytes=done), self.language)
            time.sleep(min(8.0, 0.25 * 2**attempts))
        if _sha256_of(part) != sha256:
            part.unlink()
            raise _spoken(InputInvalid.because("client-file-broken", file=place.name), self.language)
        part.replace(place)
        return place

    def _fetch(
        self, address: str, part: Path, *, size: int, sha256: str, progress: Callable[[int, int], None] | None
    ) -> int:
        """Get what is missing of the file; bytes there now."""
        there = part.stat().st_size if part.exists() else 0
        if there > size:
            part.unlink()
            there = 0
        if there == size:
            return there
        headers = {"Range": f"bytes={there}-", "If-Range": f'"{sha256}"', "Accept-Encoding": "identity"} if there else {}
        with self._http.stream("GET", address, headers=headers) as response:
            if not response.is_success:
                response.read()
                raise error_of(response, server=self.url, language=self.language)
            mode = os.O_APPEND if response.status_code == 206 else os.O_TRUNC
            there = there if response.status_code == 206 else 0
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | mode, 0o600), "wb") as file:
                for piece in response.iter_raw():
                    file.write(piece)
                    there += len(piece)
                    if progress:
                        progress(there, size)
        return there

    def receipt(self, query: str, *, wait_seconds: float = 0.0) -> JSON:
        """The receipt of a query of one's own office (or of one that used its data)."""
        until = time.monotonic() + wait_seconds
        while True:
            receipt = self._json("GET", f"queries/{_part(query)}/receipt")
            if is_folded(receipt) or time.monotonic() >= until:
                return receipt
            time.sleep(0.2)

    def checkpoint(self, *, witnessed: bool = False) -> str:
        """The ledger's newest signed tree head, or the newest that a witness has signed, as text with the lines of its witnesses."""
        query = {"witnessed": "true"} if witnessed else {}
        return self._send("GET", "ledger/checkpoint", params=query, headers={"Accept": "text/plain"}).text

    def consistency(self, first: int, second: int) -> JSON:
        """The proof that the tree of `first` entries is the beginning of that of `second` entries; needs no token."""
        return self._json("GET", "ledger/consistency", query={"first": first, "second": second})

    def cosign(self, size: int, lines: str) -> JSON:
        """Hand in what witnesses signed of the checkpoint of that size; needs no token."""
        return self._json("POST", "ledger/cosignatures", json={"size": size, "lines": lines}, keyed=False)

    def ledger_key(self) -> str:
        """The ledger's verification key, as vkey text; needs no token."""
        return self._send("GET", "ledger/key", headers={"Accept": "text/plain"}).text.strip()

    def ledger_keys(self) -> str:
        """Every verification key of the ledger with its time, the present one first, one a line; needs no token."""
        return self._send("GET", "ledger/keys", headers={"Accept": "text/plain"}).text

    def ledger_status(self) -> JSON:
        """Size, pending entries and age of the oldest of them."""
        return self._json("GET", "ledger/status")

    def stamps(self, *, limit: int = 50, offset: int = 0) -> JSON:
        """Time stamps of checkpoints (RFC 3161), the newest checkpoint first; needs no token."""
        return self._json("GET", "ledger/stamps", query={"limit": limit, "offset": offset})

    def uses(
        self,
        *,
        as_: str = "provider",
        dataset: str | None = None,
        office: str | None = None,
        grant: str | None = None,
        end: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> JSON:
        """Who used which data: that of one's own office (`provider`), one's own uses (`applicant`), or as the `regulator`. `office` is
        the using one, `end` is `answered`, `refused` or `failed`, `since` and `until` are days (`2026-03-01`)."""
        query = _without_none(
            {"as": as_, "dataset": dataset, "office": office, "grant": grant, "end": end, "since": since, "until": until}
        )
        return self._json("GET", "ledger/uses", query={**query, "limit": limit, "offset": offset})

    def use_totals(
        self,
        *,
        as_: str = "provider",
        dataset: str | None = None,
        office: str | None = None,
        grant: str | None = None,
        end: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> JSON:
        """How many uses and rows by month, dataset and using office; asked as `uses` is."""
        query = _without_none(
            {"as": as_, "dataset": dataset, "office": office, "grant": grant, "end": end, "since": since, "until": until}
        )
        return self._json("GET", "ledger/uses/totals", query={**query, "limit": limit, "offset": offset})

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _result(self, response: httpx.Response) -> QueryResult:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind != ARROW:
            raise _spoken(ServerFailed.because("client-answer-unreadable", server=self.url), self.language)
        notices = response.headers.get("Huitong-Notices", "")
        return QueryResult(
            query=response.headers.get("Huitong-Query", ""),
            content=response.content,
            notices=tuple(unquote(sentence.strip()) for sentence in notices.split(",") if sentence.strip()),
            _client=self,
        )

    def _json(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, keyed: bool | None = None, **parts: Any
    ) -> JSON:
        """The answer as JSON. What is not a GET changes something and gets a key, unless `keyed` says otherwise."""
        keyed = method != "GET" if keyed is None else keyed
        response = self._send(method, path, params=_without_none(query or {}), keyed=keyed, **parts)
        try:
            value = response.json()
        except ValueError:
            raise _spoken(ServerFailed.because("client-answer-unreadable", server=self.url), self.language) from None
        if not isinstance(value, dict):
            raise _spoken(ServerFailed.because("client-answer-unreadable", server=self.url), self.language)
        return value

    def _send(self, method: str, path: str, *, keyed: bool = False, **parts: Any) -> httpx.Response:
        if keyed:
            parts["headers"] = {**(parts.get("headers") or {}), "Idempotency-Key": f'"{self._new_key()}"'}
        try:
            try:
                response = self._http.request(method, path, **parts)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if not (keyed or method == "GET"):
                    raise
                response = self._again(method, path, parts)
        except httpx.TimeoutException:
            raise _spoken(Unavailable.because("client-server-silent", server=self.url), self.language) from None
        except httpx.TransportError:
            raise _spoken(Unavailable.because("client-server-unreachable", server=self.url), self.language) from None
        if response.is_success:
            return response
        raise error_of(response, server=self.url, language=self.language)

    def _again(self, method: str, path: str, parts: Mapping[str, Any]) -> httpx.Response:
        """Send once more what is safe to send twice; while the first call still runs there, wait for what becomes of it."""
        until = time.monotonic() + self._timeout
        while True:
            time.sleep(PAUSE_SECONDS)
            content = parts.get("content")
            if content is not None and hasattr(content, "seek"):
                content.seek(0)
            response = self._http.request(method, path, **parts)
            runs = response.status_code == 409 and error_of(response, server=self.url).reasons[0].code == STILL_RUNNING
            if not runs or time.monotonic() >= until:
                return response


def error_of(response: httpx.Response, *, server: str, language: str = "en") -> HuitongError:
    """The error that an answer stands for, with every reason it names. Its text is the sentences that the server sent."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        kind = _class_of(None, response.status_code)
        return _spoken(kind.because("client-server-failed", server=server, status=response.status_code), language)
    texts: list[str | None] = []
    reasons = []
    for one in problem.get("reasons") or ():
        code = str(one.get("code", "client-server-failed"))
        given = one.get("parameters") or {}
        reasons.append(Reason(code, {str(k): v if isinstance(v, int) else str(v) for k, v in given.items()}))
        texts.append(str(one["text"]) if one.get("text") else None)
    if not reasons:
        code = str(problem.get("code") or "client-server-failed")
        reasons = [Reason(code, {"server": server, "status": response.status_code})]
        sentence = problem.get("detail") or problem.get("title")
        texts = [str(sentence) if sentence else None]
    error = _class_of(problem.get("type"), response.status_code)(*reasons)
    error.__dict__["sentences"] = tuple(texts)
    if isinstance(error, Refused) and problem.get("query"):
        error.query = str(problem["query"])
    return _spoken(error, language)


def _spoken(error: HuitongError, language: str = "en") -> HuitongError:
    """The same error, whose text is its sentences with their codes: what a traceback in a notebook shows. The errors of the core keep a
    text of codes alone, for theirs may land in a log; the client's stand before the person who asked."""
    from huitong.words import render

    told = [
        f"{sentence or render(reason, language)} [{reason.code}]"
        for reason, sentence in zip(error.reasons, sentences_of(error), strict=True)
    ]
    number = f" (query {error.query})" if isinstance(error, Refused) and error.query else ""
    error.args = ("\n".join(told) + number,)
    return error


def _class_of(kind: object, status: int) -> type[HuitongError]:
    usual = InputInvalid if 400 <= status < 500 else ServerFailed
    return _CLASS_OF_TYPE.get(str(kind), _CLASS_OF_STATUS.get(status, usual))


def sentences_of(error: HuitongError) -> tuple[str | None, ...]:
    """The server's own sentence for each reason of an error, in the language that was asked for; None where it sent none."""
    sentences: tuple[str | None, ...] = error.__dict__.get("sentences", ())
    return sentences if len(sentences) == len(error.reasons) else (None,) * len(error.reasons)


def _part(identifier: str) -> str:
    """One part of a path: what a person typed never becomes another address."""
    if identifier in ("", ".", ".."):
        raise _spoken(InputInvalid.because("client-identifier-empty"))
    return quote(identifier, safe="")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_none(values: Mapping[str, Any]) -> JSON:
    return {name: value for name, value in values.items() if value is not None}
