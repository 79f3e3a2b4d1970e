"""The doors through which rows leave. A new door adds itself here, and meets every situation of the tests beside.

A door is asked for items of a dataset for a purpose, by whoever holds the token; it gives the bag of rows, or the codes of a refusal."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from tests.spec.doors.doors_world import Instance
from tests.spec.governed.governed_world import PEOPLE

from huitong.cli.root import root
from huitong.errors import HuitongError

Rows = list[dict[str, Any]]
TEXTS = frozenset(("pid", "name", "gender", "phone", "division", "diagnosis"))
"""Items whose values are text: a form that tells no types could not say it."""


@dataclass(frozen=True)
class Wanted:
    """What somebody wants of a dataset, for a purpose."""

    items: Sequence[str]
    dataset: str = "civil.person"
    purpose: str = "poverty-relief"
    token: str = "analyst"

    @property
    def statement(self) -> str:
        return f"SELECT {', '.join(self.items) or '*'} FROM {self.dataset}"


@dataclass(frozen=True)
class Outcome:
    """What a door gave."""

    rows: Counter[tuple[tuple[str, Any], ...]] | None
    codes: frozenset[str]


def gave(rows: Rows) -> Outcome:
    """Rows as a bag: how often each comes, in whatever order."""
    return Outcome(Counter(tuple(sorted((name, plain(value)) for name, value in row.items())) for row in rows), frozenset())


def refused(codes: Iterable[str]) -> Outcome:
    """Nothing, for these reasons."""
    return Outcome(None, frozenset(codes))


def plain(value: Any) -> Any:
    """A value as every form can say it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{float(value):g}" if abs(value) < 2**53 else str(value)
    return value


def from_text(text: str | None) -> Any:
    """A cell of CSV, or a text of JSON that stands for what JSON cannot hold."""
    if text is None or text == "":
        return None
    if re.fullmatch(r"-?\d{1,9}(\.\d+)?", text):  # longer ones are codes
        return float(text)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*", text):
        return datetime.fromisoformat(text)
    return text[1:] if re.match(r"'[=+\-@]", text) else text


def problem(response: Any) -> Outcome:
    return refused(one["code"] for one in json.loads(response.content)["reasons"])


# --- queries ------------------------------------------------------------------------------------------------------------


def query_over_http(media_type: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        body = {"sql": wanted.statement, "purpose": wanted.purpose}
        response = instance.post("query", body, token=wanted.token, Accept=media_type)
        return gave(read(response.content)) if response.status_code == 200 else problem(response)

    return use


def read_json(content: bytes) -> Rows:
    body = json.loads(content)
    names = [one["name"] for one in body["columns"]]
    texts = {one["name"] for one in body["columns"] if one["type"] == "string"}


    def cell(name: str, value: Any) -> Any:
        return from_text(value) if isinstance(value, str) and name not in texts else value

    return [{name: cell(name, value) for name, value in zip(names, row, strict=True)} for row in body["rows"]]


def read_csv(content: bytes) -> Rows:
    return [{name: from_text(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(content.decode()))]


def read_arrow(content: bytes) -> Rows:
    return pa.ipc.open_stream(content).read_all().to_pylist()


def read_parquet(content: bytes) -> Rows:
    return pq.read_table(io.BytesIO(content)).to_pylist()


def query_by_client(instance: Instance, wanted: Wanted) -> Outcome:
    with instance.client(wanted.token) as client:
        try:
            return gave(client.query(wanted.statement, purpose=wanted.purpose).arrow().to_pylist())
        except HuitongError as error:
            return refused(reason.code for reason in error.reasons)


def stream_over_http(media_type: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        body = {"sql": wanted.statement, "purpose": wanted.purpose, "stream": True}
        response = instance.post("query", body, token=wanted.token, Accept=media_type)
        content = b"".join(response.streaming_content) if response.streaming else response.content
        return gave(read(content)) if response.status_code == 200 else refused(one["code"] for one in json.loads(content)["reasons"])

    return use


def read_ndjson(content: bytes) -> Rows:
    *rows, end = (json.loads(line) for line in content.splitlines())
    assert end["huitong"]["rows"] == len(rows)

    def cell(name: str, value: Any) -> Any:
        return from_text(value) if isinstance(value, str) and name not in TEXTS else value

    return [{name: cell(name, value) for name, value in row.items()} for row in rows]


# --- extracts -----------------------------------------------------------------------------------------------------------


def extract_over_http(form: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        body = {"dataset": wanted.dataset, "purpose": wanted.purpose, "format": form}
        if wanted.items:
            body["items"] = list(wanted.items)
        asked = instance.post("extracts", body, token=wanted.token)
        if asked.status_code != 201:
            return problem(asked)
        instance.platform.extracts.run_waiting()
        told = instance.get(f"extracts/{asked.json()['id']}", token=wanted.token).json()
        if told["state"] == "failed":
            return refused(one["code"] for one in told["reasons"])
        given = instance.post(f"extracts/{asked.json()['id']}/addresses", {}, token=wanted.token)
        if given.status_code != 201:
            return problem(given)
        fetched = instance.get(given.json()["address"], token=None)
        return gave(read(b"".join(fetched.streaming_content))) if fetched.status_code == 200 else problem(fetched)

    return use


def extract_by_client(instance: Instance, wanted: Wanted) -> Outcome:
    with instance.client(wanted.token) as client:
        try:
            made = client.extract(dataset=wanted.dataset, purpose=wanted.purpose, items=wanted.items or None)
            return gave(pq.read_table(made.download(instance.home / "fetched.parquet")).to_pylist())
        except HuitongError as error:
            return refused(reason.code for reason in error.reasons)


# --- the command line -----------------------------------------------------------------------------------------------------


def commanded(instance: Instance, token: str, *arguments: str) -> bytes | Outcome:
    """What a command of this process puts on standard output."""
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="")
    with ExitStack() as stack:
        for module in ("using", "extracting", "recording"):
            stack.enter_context(patch(f"huitong.cli.{module}.open_client", lambda: instance.client(token)))
        stack.enter_context(redirect_stdout(shown))
        stack.enter_context(redirect_stderr(io.StringIO()))
        try:
            root.main(list(arguments), prog_name="huitong", standalone_mode=False)
        except HuitongError as error:
            return refused(reason.code for reason in error.reasons)
        shown.flush()
    return shown.buffer.getvalue()  # type: ignore[attr-defined]


def query_by_command(form: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        got = commanded(instance, wanted.token, "query", wanted.statement, "--purpose", wanted.purpose, "--format", form)
        return got if isinstance(got, Outcome) else gave(read(got))

    return use


def stream_by_command(ending: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        file = instance.home / f"streamed.{ending}"
        file.unlink(missing_ok=True)
        got = commanded(instance, wanted.token, "query", wanted.statement, "--purpose", wanted.purpose, "--stream", "--output", str(file))
        if isinstance(got, Outcome):
            assert not file.exists(), "a file appears whole or not at all"
            return got
        return gave(read(file.read_bytes()))

    return use


def extract_by_command(ending: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        file = instance.home / f"fetched.{ending}"
        items = [part for item in wanted.items for part in ("--item", item)]
        named = ["--dataset", wanted.dataset, "--purpose", wanted.purpose, *items]
        got = commanded(instance, wanted.token, "extract", "make", *named, "--output", str(file))
        return got if isinstance(got, Outcome) else gave(read(file.read_bytes()))

    return use


# --- records by key -------------------------------------------------------------------------------------------------------


def only_with_key(wanted: Wanted) -> Wanted:
    """The same rows but those whose key is missing: nobody can call for these."""
    return Wanted(wanted.items, f"{wanted.dataset} WHERE pid IS NOT NULL", wanted.purpose, wanted.token)


def keys_of_everybody(instance: Instance) -> list[str]:
    """The key of each person there is, granted or not, in the form in which the grants of the tests show it; and one of nobody."""
    tables = instance.platform.sharing.side_tables
    token = tables.token_of(tables.epoch("gz-rural:poverty-relief"))
    return [str(token(person["pid"])) for person in PEOPLE if person["pid"] is not None] + ["-1"]


def record_over_http(media_type: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        instance.platform.records.copies.keep_up()
        body: dict[str, Any] = {"dataset": wanted.dataset, "purpose": wanted.purpose, "keys": keys_of_everybody(instance)}
        if wanted.items:
            body["items"] = list(wanted.items)
        response = instance.post("records/get", body, token=wanted.token, Accept=media_type)
        return gave(read(response.content)) if response.status_code == 200 else problem(response)

    return use


def record_by_client(instance: Instance, wanted: Wanted) -> Outcome:
    """One call for each key."""
    instance.platform.records.copies.keep_up()
    rows: Rows = []
    with instance.client(wanted.token) as client:
        try:
            for key in keys_of_everybody(instance):
                got = client.get_records(wanted.dataset, [key], purpose=wanted.purpose, items=wanted.items or None)
                rows += got.arrow().to_pylist()
        except HuitongError as error:
            return refused(reason.code for reason in error.reasons)
    return gave(rows)


def record_by_command(form: str, read: Callable[[bytes], Rows]) -> Callable[[Instance, Wanted], Outcome]:
    def use(instance: Instance, wanted: Wanted) -> Outcome:
        instance.platform.records.copies.keep_up()
        items = ["--items", ",".join(wanted.items)] if wanted.items else []
        keys = io.StringIO("\n".join(keys_of_everybody(instance)))
        with patch("sys.stdin", keys):
            named = [wanted.dataset, "-", "--purpose", wanted.purpose, *items, "--format", form]
            got = commanded(instance, wanted.token, "record", "get", *named)
        return got if isinstance(got, Outcome) else gave(read(got))

    return use


KEYED_DOORS: Mapping[str, Callable[[Instance, Wanted], Outcome]] = {
    "records as JSON": record_over_http("application/json", read_json),
    "records as CSV": record_over_http("text/csv", read_csv),
    "records as Arrow": record_over_http("application/vnd.apache.arrow.stream", read_arrow),
    "records by the Python client": record_by_client,
    "records by command as Arrow": record_by_command("arrow", read_arrow),
}
"""Doors that give the rows of whom one names by key, of datasets that have one."""

DOORS: Mapping[str, Callable[[Instance, Wanted], Outcome]] = {
    "query as JSON": query_over_http("application/json", read_json),
    "query as CSV": query_over_http("text/csv", read_csv),
    "query as Arrow": query_over_http("application/vnd.apache.arrow.stream", read_arrow),
    "query as Parquet": query_over_http("application/vnd.apache.parquet", read_parquet),
    "query by the Python client": query_by_client,
    "streamed query as NDJSON": stream_over_http("application/x-ndjson", read_ndjson),
    "streamed query as CSV": stream_over_http("text/csv", read_csv),
    "streamed query as Arrow": stream_over_http("application/vnd.apache.arrow.stream", read_arrow),
    "streamed query by command as CSV": stream_by_command("csv", read_csv),
    "extract as Parquet": extract_over_http("parquet", read_parquet),
    "extract as CSV": extract_over_http("csv", read_csv),
    "extract as Arrow": extract_over_http("arrow", read_arrow),
    "extract by the Python client": extract_by_client,
    "query by command as CSV": query_by_command("csv", read_csv),
    "query by command as Arrow": query_by_command("arrow", read_arrow),
    "extract by command as CSV": extract_by_command("csv", read_csv),
    "extract by command as Arrow": extract_by_command("arrow", read_arrow),
}
