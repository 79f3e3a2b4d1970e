"""Records by key: calls a second inside the keyed store, on SQLite and PostgreSQL, and over HTTP on a served instance.

    python -m bench records [--quick]

Inside the store a call is what the door does between its plan and its table: look the key up in the copy, judge the row by the rules of
the grant, mask its items. It is measured one key a call, and in batches of as many keys as one call may have; then a *call* is one key.
Keys are drawn at random from all that there are, one in ten of them of nobody. The baseline in the same run is the same number of rows
looked up without the door: the bare statement on the same copy. A rate is by the clock on the wall, and for what one thread does by its
processor time too, which other work on the machine does not change. Over HTTP 8 clients call for one record each, again and again, on a
server with 2 web processes; the baseline is a route of the same server that checks the same token and reads no record (`whoami`).
"""

import argparse
import http.client
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from bench._serving import BASIS, PURPOSE, UNTIL, Served, entry, make_instance, public_item, serving

ROWS, QUICK_ROWS = 1_000_000, 50_000
SECONDS, QUICK_SECONDS = 4.0, 1.0
HTTP_ROWS = 20_000
HTTP_SECONDS, QUICK_HTTP_SECONDS = 8.0, 3.0
CLIENTS = 8
PROMISED = 50_000
NAME = "civil.resident"
EPOCH_DAY = date(1970, 1, 1)
NANMING, YUNYAN = "520102000000", "520103000000"
SURNAMES = "王李张刘陈杨黄赵吴周"


def _entry() -> Any:
    from huitong.model.catalog import ItemType

    items = [
        public_item("resident"),
        public_item("name"),
        public_item("division", meaning="division-code"),
        public_item("born", ItemType.DATE),
        public_item("income", ItemType.INTEGER),
    ]
    return entry(NAME, items, key="resident", division_item="division")


def key_of(number: int) -> str:
    """The key of a row."""
    return f"r{number * 7919 % 10**9:09d}"


def rows_of(count: int) -> Iterator[list[Any]]:
    """Rows as a copy holds them: text, days, numbers."""
    for number in range(count):
        yield [key_of(number), SURNAMES[number % 10] + "某某", (NANMING, YUNYAN)[number % 2], 7000 + number % 9000, number % 20_000]


# --- inside the store ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """How fast something went."""

    what: str
    calls: int
    seconds: float
    processor_seconds: float | None = None
    """Of the calling thread; None where others do the work."""

    @property
    def a_processor_second(self) -> float:
        """Calls a second of a processor of one's own."""
        return self.calls / self.processor_seconds if self.processor_seconds else 0.0

    @property
    def a_second(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


def plan_of(count: int) -> Any:
    """The plan of a call: a grant over residents of one county above an income, key clear, name cut to the surname, year of birth."""
    from huitong.gateway.plan import DatasetPlan, Plan
    from huitong.model.catalog import Snapshot
    from huitong.model.policy import (
        Comparator,
        Comparison,
        DivisionRows,
        Grant,
        GrantState,
        ItemTerm,
        Mask,
        MaskKind,
        Mode,
        Purpose,
        Terms,
    )

    now = datetime(2026, 1, 1, tzinfo=UTC)
    masks = {
        "resident": Mask(MaskKind.CLEAR),
        "name": Mask(MaskKind.PARTIAL, {"first": 1, "last": 0}),
        "born": Mask(MaskKind.GENERALISE, {"to": "year"}),
        "income": Mask(MaskKind.CLEAR),
    }
    terms = Terms(
        purpose=Purpose("education", "law"),
        items=tuple(ItemTerm(name, mask) for name, mask in masks.items()),
        rows=DivisionRows("division", NANMING),
        mode=Mode.ROWS,
        linkage_group="g",
        valid_from=now,
        valid_until=now + timedelta(days=365),
        condition=(Comparison("income", Comparator.AT_LEAST, ("10",)),),
    )
    grant = Grant("G-1", 1, "R-1", NAME, "gz-civil", "gz-education", "wen", terms, "0" * 64, GrantState.ACTIVE, now)
    read = Snapshot(NAME, 1, (), count, now, "0" * 64)
    part = DatasetPlan(dataset=NAME, described=_entry(), grant=grant, read=read, codes=frozenset({NANMING, "520102001000"}))
    return Plan(stand_in="x", sql="", tables=(), datasets=(part,))


def fill(store: Any, count: int) -> float:
    """Write the copy; seconds it took."""
    from huitong.gateway.record import packed, packed_key
    from huitong.model.records import rows_copy

    began = time.monotonic()
    rows = sorted((packed_key(row[:1]), 0, packed(row)) for row in rows_of(count))
    store.write(rows_copy(_entry(), 1), rows)
    return time.monotonic() - began


def inside(store: Any, count: int, seconds: float) -> Sequence[Rate]:
    """The door between plan and table, one key a call and in whole batches; and the bare look-up."""
    from huitong.delivery.record_limits import read_record_limits
    from huitong.gateway.record import ReadyCalls, RecordCall
    from huitong.model.records import rows_copy

    limits, plan, drawn, ready = read_record_limits(), plan_of(count), random.Random(1), ReadyCalls()

    def keys(number: int) -> list[str]:
        return [key_of(drawn.randrange(count)) if drawn.random() < 0.9 else f"n{drawn.randrange(10**9)}" for _ in range(number)]

    def call(some: Sequence[str]) -> None:
        RecordCall(
            keys=[[key] for key in some],
            rows=store,
            tokens=_NoTokens(),
            lists=None,  # type: ignore[arg-type]
            hash_key=b"k" * 32,
            key_characters=limits.key_characters,
            sandbox_level_at_most=limits.sandbox_level_at_most,
            ready=ready,
        ).table(plan)

    copy = rows_copy(_entry(), 1)

    def bare(some: Sequence[str]) -> None:
        store.fetch(copy, [key.encode() for key in some])

    batch = limits.keys_of_a_call
    measured = []
    for what, function, size in (
        ("look-up alone, one by one", bare, 1),
        ("look-up alone, batches", bare, batch),
        ("door, one by one", call, 1),
        ("door, batches", call, batch),
    ):
        measured.append(_measured(f"{what} of {size}" if size > 1 else what, function, [keys(size) for _ in range(2000)], seconds, size))
    return measured


class _NoTokens:
    """The grant shows no pseudonym."""

    def epoch(self, linkage_group: str) -> Any:
        from huitong.model.pseudonym import KeyEpoch

        return KeyEpoch(linkage_group)

    def token_of(self, _epoch: Any) -> Callable[[str], int]:
        return lambda _identifier: 0


def _measured(what: str, function: Callable[[Sequence[str]], None], asked: Sequence[Sequence[str]], seconds: float, size: int) -> Rate:
    for some in asked[:50]:
        function(some)
    began, used, calls = time.monotonic(), time.thread_time(), 0
    while (took := time.monotonic() - began) < seconds:
        for some in asked[calls // size % len(asked) :][:50]:
            function(some)
            calls += size
    return Rate(what, calls, took, time.thread_time() - used)


@contextmanager
def stores(folder: Path) -> Iterator[Sequence[tuple[str, Any]]]:
    """An empty store of each kind."""
    from tests.postgresql import postgresql_server

    from huitong.delivery.keyed import PostgresqlKeyedStore, SqliteKeyedStore

    sqlite = SqliteKeyedStore(folder / "records", open_copies=4)
    with postgresql_server() as server:
        server.run("CREATE DATABASE records")
        postgresql = PostgresqlKeyedStore(server.url("records"))
        yield (("SQLite", sqlite), ("PostgreSQL", postgresql))
        postgresql.close()
    sqlite.close()


# --- over HTTP ------------------------------------------------------------------------------------------------------------------------


def make(home: Path, rows: int) -> None:
    """An instance with one entry whose door of records is on. Runs in a process of its own."""

    def fill(inside: Any, officer: Any) -> None:
        inside.platform.catalog.publish(_entry(), by=officer)
        file = home / "rows.csv"
        with file.open("w", encoding="utf-8") as out:
            out.write("resident,name,division,born,income\n")
            for key, name, division, days, income in rows_of(rows):
                out.write(f"{key},{name},{division},{EPOCH_DAY + timedelta(days=days)},{income}\n")
        inside.platform.intake.load(NAME, file, by=officer)
        file.unlink()
        inside.platform.records.switch(NAME, on=True, by=officer)
        inside.platform.records.copies.keep_up()

    make_instance(home, fill)


def over_http(server: Served, seconds: float) -> Sequence[Rate]:
    """8 clients at once: the bare route, one record a call, a verification, a batch."""
    with server.connection() as connection:
        wish = {
            "dataset": NAME, "purpose": PURPOSE, "legal_basis": BASIS, "until": UNTIL,
            "items": [{"item": name, "mask": {"kind": "clear"}} for name in ("resident", "name", "income")],
        }  # fmt: skip
        status, made = server.call(connection, "POST", "requests", wish)
        assert status == 201, made
        body = {"dataset": NAME, "purpose": PURPOSE, "keys": [key_of(1)]}
        until = time.monotonic() + 60
        while server.call(connection, "POST", "records/get", body)[0] == 503:
            assert time.monotonic() < until
            time.sleep(0.2)

    def one(number: int) -> tuple[str, str, Any]:
        return "POST", "records/get", {**body, "keys": [key_of(number % HTTP_ROWS)]}

    def verified(number: int) -> tuple[str, str, Any]:
        return "POST", "records/verify", {**body, "keys": [key_of(number % HTTP_ROWS)], "where": [{"item": "income", "value": "3"}]}

    def batch(number: int) -> tuple[str, str, Any]:
        return "POST", "records/get", {**body, "keys": [key_of((number * 100 + one) % HTTP_ROWS) for one in range(100)]}

    return [
        _clients(server, "HTTP, bare route (whoami)", lambda _: ("GET", "whoami", None), seconds),
        _clients(server, "HTTP, one record a call", one, seconds),
        _clients(server, "HTTP, one verification a call", verified, seconds),
        _clients(server, "HTTP, 100 records a call (calls of 100)", batch, seconds),
    ]


def _clients(server: Served, what: str, asked: Callable[[int], tuple[str, str, Any]], seconds: float) -> Rate:
    counts, failed = [0] * CLIENTS, [0] * CLIENTS
    began = time.monotonic()

    def run(client: int) -> None:
        with server.connection() as connection:
            number = client * 1_000_000
            while time.monotonic() - began < seconds:
                try:
                    status, _ = server.call(connection, *asked(number))
                except (OSError, http.client.HTTPException):
                    status = 0
                    connection.close()
                counts[client] += status == 200
                failed[client] += status != 200
                number += 1

    threads = [threading.Thread(target=run, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(failed) == 0, f"{what}: {sum(failed)} calls failed"
    return Rate(what, sum(counts), time.monotonic() - began)


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure both; the promise is kept if the door in batches is fast enough on either store."""
    rows, seconds = (QUICK_ROWS, QUICK_SECONDS) if quick else (ROWS, SECONDS)
    measures: dict[str, Any] = {}

    def note(kind: str, rates: Sequence[Rate]) -> None:
        for rate in rates:
            ratio = rate.a_second / rates[0].a_second
            alone = f" ({rate.a_processor_second:,.0f} a processor second)" if rate.processor_seconds else ""
            measures[f"{kind}: {rate.what}, a second"] = {"value": f"{rate.a_second:,.0f}{alone}, {ratio:.2f} of {rates[0].what}"}

    with tempfile.TemporaryDirectory(prefix="huitong-records-") as folder, stores(Path(folder)) as every:
        for kind, store in every:
            measures[f"{kind}: seconds to copy {rows:,} rows"] = {"value": round(fill(store, rows), 1)}
            rates = inside(store, rows, seconds)
            note(kind, rates)
            best = max(rate.a_second for rate in rates if rate.what.startswith("door"))
            measures[f"{kind}: record calls inside the store, a second (batches)"] = {
                "value": round(best), "target": f">= {PROMISED:,}", "met": best >= PROMISED,
            }  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="huitong-records-") as folder,
        serving(Path(folder), ["bench.records", "--rows", str(HTTP_ROWS)], web=2) as server,
    ):
        note(f"HTTP, {CLIENTS} clients, 2 web processes", over_http(server, QUICK_HTTP_SECONDS if quick else HTTP_SECONDS))
    return {"name": "records", "measures": measures, "method": " ".join((__doc__ or "").split())}


def main(arguments: Sequence[str]) -> int:
    """Makes the instance, in a process of its own."""
    parser = argparse.ArgumentParser(prog="bench records", description=__doc__.partition("\n")[0])
    parser.add_argument("--make", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=HTTP_ROWS, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    make(chosen.make, chosen.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
