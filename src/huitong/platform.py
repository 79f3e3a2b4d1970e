"""Wires the core once: settings and stores in, a running platform out. Only portal and cli construct the stores it is given."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from huitong.catalog.ports import CatalogStore, Clock, QualityStore, Transactions
from huitong.catalog.publish import CatalogActions
from huitong.delivery.addresses import AddressActions
from huitong.delivery.extract import ExtractActions
from huitong.delivery.keyed import open_keyed_store
from huitong.delivery.ports import DeliveryStore
from huitong.delivery.record import RecordActions
from huitong.delivery.record_copies import RecordCopies
from huitong.delivery.record_limits import read_record_limits
from huitong.engines.client import EngineClient
from huitong.engines.duckdb import statement_names
from huitong.engines.spark import SparkOpinion
from huitong.gateway.answer import Epoch, Gateway, Uses
from huitong.gateway.differencing import Watch, shipped_audit, watch_key
from huitong.gateway.running import RunningStore, RunningUses
from huitong.intake.actions import IntakeActions
from huitong.intake.addresses import AllowedHosts
from huitong.intake.credentials import CredentialActions, Credentials
from huitong.intake.planned import PlanActions
from huitong.intake.ports import LoadStore
from huitong.keystore import EXTRACT_ADDRESS, LEDGER_LITERALS, FileKeyStore, pseudonym_key
from huitong.lake.keyed_rows import KeptLists
from huitong.lake.side_tables import SideTables
from huitong.lake.snapshots import Lake
from huitong.lake.subject_lists import SubjectLists
from huitong.ledger.cosigning import parse_witnesses
from huitong.ledger.grouping import GroupedEntries, GroupStore
from huitong.ledger.literals import Literals
from huitong.ledger.log import Ledger, LedgerStore
from huitong.ledger.sequencer import Sequencer
from huitong.ledger.stamping import Stamper, parse_services
from huitong.model.catalog import Dataset, Grade
from huitong.model.query import EngineLimits
from huitong.policy.grading import GradingScheme, effective_grade, floor_faults, scheme_in_force, sources_of, storage_rule
from huitong.settings import Settings
from huitong.sharing.actions import SharingActions
from huitong.sharing.answered import QuestionStore
from huitong.sharing.calendar import CalendarActions, CalendarStore, InstanceCalendar
from huitong.sharing.document import GrantDocuments
from huitong.sharing.noised import Budgets, BudgetStore, budget_key
from huitong.sharing.ports import EpochStore, NoticeBoard
from huitong.sharing.pseudonyms import PseudonymActions
from huitong.sharing.quotas import Quotas, QuotaStore
from huitong.sharing.reidentification import ReidentificationActions
from huitong.sharing.subjects import SubjectUses
from huitong.sharing.succession import SuccessionActions
from huitong.sharing.term_limits import term_limits
from huitong.sharing.usable import StandingStore, UsableActions
from huitong.sharing.used import UseIndex, UsesOfData


class Stores(Protocol):
    """One of each store over one database (`huitong.portal.stores.Stores`)."""

    transactions: Transactions
    epoch: Any
    catalog: CatalogStore
    parties: Any
    sharing: Any
    calendar: CalendarStore
    reidentifications: Any
    ledger: LedgerStore
    groups: GroupStore
    uses: Uses
    running: RunningStore
    use_index: UseIndex
    divisions: Any
    quality: QualityStore
    loads: LoadStore
    notices: NoticeBoard
    quotas: QuotaStore
    pseudonym_epochs: EpochStore
    budgets: BudgetStore
    questions: QuestionStore
    subject_uses: SubjectUses
    standings: StandingStore
    delivery: DeliveryStore


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The parts of one instance, wired."""

    settings: Settings
    catalog: CatalogActions
    sharing: SharingActions
    usable: UsableActions
    uses_of_data: UsesOfData
    calendar: CalendarActions
    reidentification: ReidentificationActions
    pseudonyms: PseudonymActions
    documents: GrantDocuments
    succession: SuccessionActions
    intake: IntakeActions
    plans: PlanActions
    credentials: CredentialActions
    grading: GradingScheme
    gateway: Gateway
    running: RunningUses
    extracts: ExtractActions
    addresses: AddressActions
    records: RecordActions
    lake: Lake
    subject_lists: SubjectLists
    quotas: Quotas
    budgets: Budgets
    ledger: Ledger
    sequencer: Sequencer
    stamper: Stamper
    engine: EngineClient


def lineage_of(dataset: Dataset, catalog: CatalogStore) -> Mapping[str, Dataset]:
    """The datasets that it was made of, and theirs, as far as they are in the catalogue; by id."""
    found: dict[str, Dataset] = {}
    wanted = set(sources_of(dataset))
    while wanted:
        level = catalog.datasets(wanted)
        found |= level
        wanted = {source for entry in level.values() for source in sources_of(entry)} - set(found) - {dataset.id}
    return found


def open(settings: Settings, stores: Stores, clock: Clock) -> Platform:  # noqa: A001 - reads as platform.open(...)
    """The platform of the instance of `settings` over `stores`. Opens no connection and starts no process."""
    keystore = FileKeyStore(settings.keys)
    literals = Literals(stores.ledger, lambda: keystore.secret_or_made(LEDGER_LITERALS))
    ledger = Ledger(
        stores.ledger,
        keystore,
        clock,
        origin=settings.name,
        alarm_seconds=settings.ledger_alarm_seconds,
        stop_seconds=settings.ledger_stop_seconds,
        witnesses=parse_witnesses(settings.ledger_witnesses),
        literals=literals,
    )
    divisions = stores.divisions
    grading = scheme_in_force(settings.grading_scheme, settings.home / "grading.toml")
    lake = Lake(settings.lake, clock)
    epochs = stores.pseudonym_epochs
    side_tables = SideTables(
        settings.lake, lake=lake, master_key=lambda number: keystore.secret(pseudonym_key(number)), epochs=epochs
    )
    bounds = term_limits()
    subject_lists = SubjectLists(
        settings.lake,
        lake=lake,
        key=keystore.secret("token-salt"),
        most=bounds.subjects,
        characters=bounds.value_characters,
    )
    quotas = Quotas(
        store=stores.quotas, transactions=stores.transactions, time_zone=settings.time_zone, notices=stores.notices, limits=bounds
    )
    budgets = Budgets(store=stores.budgets, transactions=stores.transactions, key=budget_key(keystore.secret("token-salt")))
    catalog = CatalogActions(
        catalog=stores.catalog,
        parties=stores.parties,
        transactions=stores.transactions,
        epoch=stores.epoch,
        ledger=ledger,
        clock=clock,
        time_zone=settings.time_zone,
        floors=partial(floor_faults, scheme=grading),
    )
    verbs: dict[str, Any] = {
        "catalog": stores.catalog,
        "parties": stores.parties,
        "sharing": stores.sharing,
        "transactions": stores.transactions,
        "epoch": stores.epoch,
        "ledger": ledger,
        "divisions": divisions,
        "clock": clock,
        "time_zone": settings.time_zone,
    }
    with_pseudonyms: dict[str, Any] = {**verbs, "side_tables": side_tables, "notices": stores.notices, "pseudonym_epochs": epochs}
    sharing = SharingActions(
        **with_pseudonyms,
        calendar=InstanceCalendar(stores.calendar),
        grading=grading,
        roll=stores.parties,
        delegates=stores.sharing,
        regulators=stores.parties,
        lists=subject_lists,
    )
    pseudonyms = PseudonymActions(**with_pseudonyms, make_key=lambda number: keystore.secret_or_made(pseudonym_key(number)))

    def grade_of(dataset: Dataset, rows: int | None) -> Grade:
        sources = lineage_of(dataset, stores.catalog)
        return effective_grade(dataset, sources=sources, rows=rows, scheme=grading).grade

    succession = SuccessionActions(**verbs)
    record_limits = read_record_limits()
    keyed = open_keyed_store(
        database_url=settings.database_url, folder=settings.records, open_copies=record_limits.open_copies
    )
    copies = RecordCopies(
        doors=stores.delivery,
        entries=stores.catalog,
        grants=stores.sharing,
        lake=lake,
        tokens=side_tables,
        store=keyed,
        transactions=stores.transactions,
        clock=clock,
        folder=settings.records / "making",
        limits=record_limits,
    )
    intake = IntakeActions(
        catalog=stores.catalog,
        entries=catalog,
        reports=stores.quality,
        loads=stores.loads,
        taker=sharing,
        ledger=ledger,
        transactions=stores.transactions,
        clock=clock,
        lake=lake,
        side_tables=side_tables,
        scheme=grading,
        erasure_key=keystore.secret("token-salt"),
        effective_grade=grade_of,
        subject_lists=subject_lists,
        copies=copies,
        literals=literals,
    )
    credentials = Credentials(keystore)
    engine = EngineClient(settings.engine_socket)
    epoch: Epoch = stores.epoch
    limits = EngineLimits(
        seconds=settings.query_seconds,
        memory_megabytes=settings.engine_memory_megabytes,
        threads=settings.engine_threads,
        maximum_rows=settings.query_maximum_rows,
    )
    running = RunningUses(stores.running, clock)
    gateway = Gateway(
        catalogue=stores.catalog,
        grants=stores.sharing,
        divisions=divisions,
        side_tables=side_tables,
        epoch=epoch,
        engine=engine,
        ledger=ledger,
        uses=stores.uses,
        grouped=GroupedEntries(stores.groups, ledger),
        second_parser=SparkOpinion() if settings.engine else statement_names,
        clock=clock,
        limits=limits,
        statement_key=keystore.secret("token-salt"),
        time_zone=ZoneInfo(settings.time_zone),
        leases=lake,
        running=running,
        subjects=subject_lists,
        quotas=quotas,
        budgets=budgets,
        watch=Watch(
            store=stores.questions,
            transactions=stores.transactions,
            key=watch_key(keystore.secret("token-salt")),
            audit=shipped_audit(),
            timer=time.monotonic,
        ),
        scheme=grading,
        sandbox_level=lambda dataset, rows: storage_rule(grade_of(dataset, rows), scheme=grading).sandbox_level,
        barrier=lambda dataset, rows: storage_rule(grade_of(dataset, rows), scheme=grading).barrier,
    )
    reidentification = ReidentificationActions(
        **with_pseudonyms,
        grading=grading,
        cases=stores.reidentifications,
        tokens=stores.reidentifications,
        revealer=gateway,
        hash_key=keystore.secret("token-salt"),
    )
    extracts = ExtractActions(
        store=stores.delivery,
        entries=stores.catalog,
        grants=stores.sharing,
        people=stores.parties,
        transactions=stores.transactions,
        ledger=ledger,
        gateway=gateway,
        clock=clock,
        folder=settings.extracts,
        engine=limits,
        notices=stores.notices,
    )
    return Platform(
        settings=settings,
        catalog=catalog,
        sharing=sharing,
        documents=GrantDocuments(
            sharing=stores.sharing,
            catalog=stores.catalog,
            parties=stores.parties,
            divisions=stores.divisions,
            clock=clock,
            time_zone=settings.time_zone,
            instance=settings.name,
            grading=grading,
        ),
        usable=UsableActions.over(sharing, stores.standings),
        uses_of_data=UsesOfData(
            index=stores.use_index, parties=stores.parties, divisions=divisions, clock=clock, time_zone=settings.time_zone
        ),
        calendar=CalendarActions(
            store=stores.calendar,
            transactions=stores.transactions,
            epoch=stores.epoch,
            ledger=ledger,
            clock=clock,
            time_zone=settings.time_zone,
        ),
        reidentification=reidentification,
        pseudonyms=pseudonyms,
        succession=succession,
        intake=intake,
        plans=PlanActions(
            intake=intake,
            catalog=stores.catalog,
            parties=stores.parties,
            loads=stores.loads,
            transactions=stores.transactions,
            ledger=ledger,
            clock=clock,
            time_zone=settings.time_zone,
            credentials=credentials,
            allowed_hosts=AllowedHosts.read(settings.source_hosts),
            inbox=settings.inbox,
            certificates=Path(settings.source_certificates) if settings.source_certificates else None,
            notices=stores.notices,
        ),
        credentials=CredentialActions(credentials=credentials, transactions=stores.transactions, ledger=ledger),
        grading=grading,
        gateway=gateway,
        running=running,
        extracts=extracts,
        records=RecordActions(
            gateway=gateway,
            entries=stores.catalog,
            doors=stores.delivery,
            copies=copies,
            rows=keyed,
            tokens=side_tables,
            lists=KeptLists(lake),
            transactions=stores.transactions,
            epoch=stores.epoch,
            ledger=ledger,
            clock=clock,
            hash_key=keystore.secret("token-salt"),
            limits=record_limits,
        ),
        addresses=AddressActions(extracts=extracts, key=lambda: keystore.secret_or_made(EXTRACT_ADDRESS), quotas=quotas),
        lake=lake,
        subject_lists=subject_lists,
        quotas=quotas,
        budgets=budgets,
        ledger=ledger,
        sequencer=Sequencer(stores.ledger, keystore, clock, origin=settings.name),
        stamper=Stamper(
            stores.ledger,
            clock,
            services=parse_services(settings.ledger_stamp_services),
            certificates=Path(settings.ledger_stamp_certificates) if settings.ledger_stamp_certificates else None,
            every_seconds=settings.ledger_stamp_every_seconds,
            seconds=settings.ledger_stamp_seconds,
        ),
        engine=engine,
    )
