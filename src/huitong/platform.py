"""Wires the core once: settings and stores in, a running platform out. Only portal and cli construct the stores it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from huitong.catalog.divisions import load_divisions
from huitong.catalog.ports import CatalogStore, Clock, PartyStore, Transactions
from huitong.catalog.publish import CatalogActions, refuse_unless_officer
from huitong.engines.client import EngineClient
from huitong.engines.duckdb import statement_names
from huitong.gateway.answer import Epoch, Gateway, Uses
from huitong.intake.load import Loading, load
from huitong.keystore import FileKeyStore
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.ledger.log import Ledger, LedgerStore
from huitong.ledger.sequencer import Sequencer
from huitong.model.party import Actor
from huitong.model.query import EngineLimits
from huitong.settings import Settings
from huitong.sharing.actions import SharingActions
from huitong.sharing.ports import SharingStore

Progress = Callable[[int, int | None], None]
"""Called with rows done so far and, if known, rows in all."""


class Stores(Protocol):
    """One of each store over one database (`huitong.portal.stores.Stores`)."""

    transactions: Transactions
    epoch: Any
    catalog: CatalogStore
    parties: PartyStore
    sharing: SharingStore
    ledger: LedgerStore
    uses: Uses


def _no_progress(_done: int, _all: int | None) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Files of an office become the next snapshot of one of its datasets."""

    catalog: CatalogActions
    sharing: SharingActions
    lake: Lake

    def load(
        self, dataset_id: str, path: Path, *, by: Actor, reject_limit: int = 0, progress: Progress = _no_progress
    ) -> Loading:
        """Read the file, make it the current snapshot, extend the side tables that grants need: all of it or nothing visible.

        Raises NotFound, Refused (not a data officer of the providing office), InputInvalid (with what does not fit, and where)."""
        dataset = self.catalog.dataset(dataset_id)
        refuse_unless_officer(by, dataset.provider, dataset.id)
        loaded = load(path, dataset=dataset, lake=self.lake, progress=progress, reject_limit=reject_limit)
        self.sharing.take_snapshot(loaded.snapshot, by=by)
        return loaded


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The parts of one instance, wired."""

    settings: Settings
    catalog: CatalogActions
    sharing: SharingActions
    intake: Intake
    gateway: Gateway
    lake: Lake
    ledger: Ledger
    sequencer: Sequencer
    engine: EngineClient


def open(settings: Settings, stores: Stores, clock: Clock) -> Platform:  # noqa: A001 - reads as platform.open(...)
    """The platform of the instance of `settings` over `stores`. Opens no connection and starts no process."""
    keystore = FileKeyStore(settings.keys)
    ledger = Ledger(
        stores.ledger,
        keystore,
        clock,
        origin=settings.name,
        alarm_seconds=settings.ledger_alarm_seconds,
        stop_seconds=settings.ledger_stop_seconds,
    )
    divisions = load_divisions()
    lake = Lake(settings.lake, clock)
    side_tables = SideTables(settings.lake, lake=lake, master_key=keystore.secret("pseudonym-master"))
    catalog = CatalogActions(
        catalog=stores.catalog,
        parties=stores.parties,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=ledger,
        clock=clock,
        time_zone=settings.time_zone,
    )
    sharing = SharingActions(
        catalog=stores.catalog,
        parties=stores.parties,
        sharing=stores.sharing,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=ledger,
        divisions=divisions,
        side_tables=side_tables,
        clock=clock,
        time_zone=settings.time_zone,
    )
    engine = EngineClient(settings.engine_socket)
    epoch: Epoch = stores.epoch
    gateway = Gateway(
        catalogue=stores.catalog,
        grants=stores.sharing,
        divisions=divisions,
        side_tables=side_tables,
        epoch=epoch,
        engine=engine,
        ledger=ledger,
        uses=stores.uses,
        second_parser=statement_names,
        clock=clock,
        limits=EngineLimits(
            seconds=settings.query_seconds,
            memory_megabytes=settings.engine_memory_megabytes,
            threads=settings.engine_threads,
            maximum_rows=settings.query_maximum_rows,
        ),
        statement_key=keystore.secret("token-salt"),
        time_zone=ZoneInfo(settings.time_zone),
    )
    return Platform(
        settings=settings,
        catalog=catalog,
        sharing=sharing,
        intake=Intake(catalog=catalog, sharing=sharing, lake=lake),
        gateway=gateway,
        lake=lake,
        ledger=ledger,
        sequencer=Sequencer(stores.ledger, keystore, clock, origin=settings.name),
        engine=engine,
    )
