"""Nouns to rows and back: the one place that knows how a frozen noun lies in its table."""

from collections.abc import Sequence
from copy import copy
from datetime import date, datetime
from typing import Any, TypedDict

from django.db.models import QuerySet

from huitong.errors import Reason
from huitong.intake.plans import LoadPlan, LoadRun, LoadSource, RunState, SourceKind
from huitong.model.catalog import (
    Dataset,
    Grade,
    Item,
    ItemType,
    LoadMode,
    Openness,
    ResourceFormat,
    Sharing,
    SharingManner,
    Snapshot,
    SnapshotFile,
    UpdateCycle,
    Visibility,
)
from huitong.model.ledger import Checkpoint, EntryKind, Promise
from huitong.model.party import Actor, Division, DivisionLevel, Office, Role
from huitong.model.policy import (
    Comparator,
    Comparison,
    DivisionRows,
    Grant,
    GrantEvent,
    GrantEventKind,
    GrantState,
    ItemTerm,
    Mask,
    MaskKind,
    Mode,
    NoisedTerms,
    Purpose,
    Quota,
    QuotaPeriod,
    SubjectRows,
    Terms,
    ValueBounds,
)
from huitong.model.quality import (
    Drift,
    DriftKind,
    Freshness,
    GradingSuggestion,
    ItemQuality,
    KeyQuality,
    QualityReport,
    SuggestionState,
)
from huitong.model.sharing import Delegation, Linkage, Request, RequestEvent, RequestEventKind, RequestKind, Wish
from huitong.model.text import BilingualText
from huitong.portal.accounts import models as parties
from huitong.portal.audit import models as audit
from huitong.portal.catalog import models as catalog
from huitong.portal.sharing import models as sharing
from huitong.sharing.terms import hash_of_terms

JSON = Any


def actor_of(row: parties.Post) -> Actor:
    """The actor that a post makes of its person."""
    return Actor(
        person=row.account.username,
        name=row.account.name,
        post=row.id,
        office=row.office_id,
        division=row.office.division_id,
        roles=frozenset(Role(entry.role) for entry in row.roles.all()),
        keeper=row.account.keeper.username if row.account.keeper is not None else None,
    )


def mask_to_json(mask: Mask) -> JSON:
    """A mask as JSON; parameters in order of their names, left out when there are none."""
    parameters = dict(sorted(mask.parameters.items()))
    return {"kind": mask.kind.value, "parameters": parameters} if parameters else {"kind": mask.kind.value}


def items_to_json(items: Sequence[ItemTerm]) -> JSON:
    """Granted items in their order, each with its mask."""
    return [{"item": term.item, "mask": mask_to_json(term.mask)} for term in items]


def mask_from_json(value: JSON) -> Mask:
    """The other way."""
    return Mask(MaskKind(value["kind"]), value.get("parameters", {}))


def reason_to_json(reason: Reason) -> JSON:
    """A reason as JSON."""
    return {"code": reason.code, "parameters": dict(reason.parameters)}


def reason_from_json(value: JSON) -> Reason:
    """The other way."""
    return Reason(value["code"], value["parameters"])


def items_from_json(value: JSON) -> tuple[ItemTerm, ...]:
    """The other way."""
    return tuple(
        ItemTerm(item=entry["item"], mask=mask_from_json(entry["mask"]))
        for entry in value
    )


def wish_to_json(wish: Wish) -> JSON:
    """A wish as JSON: one form for each wish."""
    return {
        "dataset": wish.dataset,
        "purpose": wish.purpose.code,
        "legal_basis": wish.purpose.legal_basis,
        "items": items_to_json(wish.items),
        "rows": None if wish.rows is None else {"item": wish.rows.item, "division": wish.rows.division},
        "mode": wish.mode.value,
        "until": wish.until.isoformat(),
        "kind": wish.kind.value,
        "linkage": str(wish.linkage),
        **rules_to_json(condition=wish.condition, subjects=wish.subjects, k=wish.k, quota=wish.quota, noised=wish.noised),
    }


def wish_from_json(value: JSON) -> Wish:
    """The other way."""
    return Wish(
        dataset=value["dataset"],
        purpose=Purpose(value["purpose"], value["legal_basis"]),
        items=items_from_json(value["items"]),
        rows=None if value["rows"] is None else DivisionRows(value["rows"]["item"], value["rows"]["division"]),
        mode=Mode(value["mode"]),
        until=date.fromisoformat(value["until"]),
        kind=RequestKind(value.get("kind", RequestKind.SHARING)),
        linkage=_linkage_of(value.get("linkage", Linkage.PURPOSE)),
        **rules_from_json(value),
    )


def _linkage_of(written: str) -> Linkage | str:
    return next((known for known in Linkage if known == written), written)


def rules_to_json(
    *,
    condition: Sequence[Comparison],
    subjects: SubjectRows | None,
    k: int | None,
    quota: Quota | None,
    noised: NoisedTerms | None,
    salt: str | None = None,
) -> dict[str, JSON]:
    """The terms that came after the first; those that say nothing are left out."""
    written: dict[str, JSON] = {}
    if condition:
        written["condition"] = [
            {"item": one.item, "comparator": one.comparator.value, "values": list(one.values)} for one in condition
        ]
    if subjects is not None:
        written["subjects"] = {
            "item": subjects.item, "subjects": subjects.subjects, "digest": subjects.digest, "count": subjects.count
        }
    if salt is not None:
        written["salt"] = salt
    if k is not None:
        written["k"] = k
    if quota is not None:
        limits = {"rows": quota.rows, "queries": quota.queries, "calls": quota.calls}
        written["quota"] = {"period": quota.period.value, **{name: limit for name, limit in limits.items() if limit is not None}}
    if noised is not None:
        written["noised"] = {
            "epsilon": noised.epsilon,
            "together": noised.together,
            "rows_per_entity": noised.rows_per_entity,
            "bounds": [{"item": one.item, "lower": one.lower, "upper": one.upper} for one in noised.bounds],
        }
    return written


class Rules(TypedDict):
    """The terms that came after the first, as keywords of `Wish` and `Terms`."""

    condition: tuple[Comparison, ...]
    subjects: SubjectRows | None
    k: int | None
    quota: Quota | None
    noised: NoisedTerms | None


def rules_from_json(value: JSON) -> Rules:
    """The other way."""
    subjects, quota, noised = (value.get(name) for name in ("subjects", "quota", "noised"))
    return Rules(
        condition=tuple(
            Comparison(one["item"], Comparator(one["comparator"]), tuple(one["values"])) for one in value.get("condition", ())
        ),
        subjects=None if subjects is None else SubjectRows(**subjects),
        k=value.get("k"),
        quota=None if quota is None else Quota(**{**quota, "period": QuotaPeriod(quota["period"])}),
        noised=None if noised is None else NoisedTerms(**{**noised, "bounds": tuple(ValueBounds(**one) for one in noised["bounds"])}),
    )


def dataset_row(dataset: Dataset) -> catalog.Dataset:
    condition, openness_condition = dataset.sharing_condition, dataset.openness_condition
    return catalog.Dataset(
        id=dataset.id,
        title_zh=dataset.title.zh,
        title_en=dataset.title.en,
        abstract_zh=dataset.abstract.zh,
        abstract_en=dataset.abstract.en,
        classification=dataset.classification,
        provider_id=dataset.provider,
        collector_id=dataset.collector,
        sharing=dataset.sharing.value,
        sharing_basis=dataset.sharing_basis,
        sharing_condition_zh=None if condition is None else condition.zh,
        sharing_condition_en=None if condition is None else condition.en,
        openness=dataset.openness.value,
        update_cycle=dataset.update_cycle.value,
        published_on=dataset.published_on,
        key_item=dataset.key,
        division_item=dataset.division_item,
        source=dataset.source,
        format=dataset.format.value,
        sharing_manner=dataset.sharing_manner.value,
        openness_condition_zh=None if openness_condition is None else openness_condition.zh,
        openness_condition_en=None if openness_condition is None else openness_condition.en,
        legal_basis=dataset.legal_basis,
        related=list(dataset.related),
        primary_key=list(dataset.primary_key),
        derived_from=list(dataset.derived_from),
        visibility=dataset.visibility.value,
        known_to=list(dataset.known_to),
        spatial=dataset.spatial,
        licence=dataset.licence,
        keep_days=dataset.keep_days,
    )


def item_row(dataset_id: str, position: int, item: Item) -> catalog.Item:
    return catalog.Item(
        dataset_id=dataset_id,
        position=position,
        name=item.name,
        title_zh=item.title.zh,
        title_en=item.title.en,
        type=item.type.value,
        grade=int(item.grade),
        meaning=item.meaning,
        legal_basis=item.legal_basis,
        collector_id=item.collector,
        derived_from=list(item.derived_from),
    )


def dataset_of(row: catalog.Dataset) -> Dataset:
    items = sorted(row.items.all(), key=lambda item: item.position)
    return Dataset(
        id=row.id,
        title=BilingualText(zh=row.title_zh, en=row.title_en),
        abstract=BilingualText(zh=row.abstract_zh, en=row.abstract_en),
        classification=row.classification,
        provider=row.provider_id,
        collector=row.collector_id,
        sharing=Sharing(row.sharing),
        sharing_basis=row.sharing_basis,
        sharing_condition=_both(row.sharing_condition_zh, row.sharing_condition_en),
        openness=Openness(row.openness),
        update_cycle=UpdateCycle(row.update_cycle),
        items=tuple(
            Item(
                name=item.name,
                title=BilingualText(zh=item.title_zh, en=item.title_en),
                type=ItemType(item.type),
                grade=Grade(item.grade),
                meaning=item.meaning,
                legal_basis=item.legal_basis,
                collector=item.collector_id,
                derived_from=tuple(item.derived_from),
            )
            for item in items
        ),
        published_on=row.published_on,
        key=row.key_item,
        division_item=row.division_item,
        source=row.source,
        format=ResourceFormat(row.format),
        sharing_manner=SharingManner(row.sharing_manner),
        openness_condition=_both(row.openness_condition_zh, row.openness_condition_en),
        legal_basis=row.legal_basis,
        related=tuple(row.related),
        primary_key=tuple(row.primary_key),
        derived_from=tuple(row.derived_from),
        visibility=Visibility(row.visibility),
        known_to=tuple(row.known_to),
        spatial=row.spatial,
        licence=row.licence,
        keep_days=row.keep_days,
    )


def _both(zh: str | None, en: str | None) -> BilingualText | None:
    return None if zh is None or en is None else BilingualText(zh=zh, en=en)


def snapshots_of(rows: QuerySet[catalog.Snapshot]) -> list[Snapshot]:
    return [
        Snapshot(
            dataset=row.dataset_id,
            version=row.version,
            files=tuple(
                SnapshotFile(path=file.path, rows=file.rows, bytes=file.bytes)
                for file in sorted(row.files.all(), key=lambda file: file.position)
            ),
            rows=row.rows,
            taken_at=row.taken_at,
            source_hash=row.source_hash,
            rejected_rows=row.rejected_rows,
            mode=LoadMode(row.mode),
            columns=tuple((name, ItemType(kind)) for name, kind in row.columns),
            removed_at=row.removed_at,
        )
        for row in rows.prefetch_related("files")
    ]


def office_row(office: Office) -> parties.Office:
    return parties.Office(
        id=office.id,
        title_zh=office.title.zh,
        title_en=office.title.en,
        division_id=office.division,
        level=office.level.value,
        credit_code=office.credit_code,
        superior_id=office.superior,
        valid_from=office.valid_from,
        valid_to=office.valid_to,
        successor_id=office.successor,
    )


def office_of(row: parties.Office) -> Office:
    return Office(
        id=row.id,
        title=BilingualText(zh=row.title_zh, en=row.title_en),
        division=row.division_id,
        level=DivisionLevel(row.level),
        credit_code=row.credit_code,
        superior=row.superior_id,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        successor=row.successor_id,
    )


def division_row(division: Division) -> parties.Division:
    return parties.Division(
        code=division.code,
        name=division.name,
        level=division.level.value,
        parent_id=division.parent,
        valid_from=division.valid_from,
        valid_to=division.valid_to,
        successors=list(division.successors),
    )


def division_of(row: parties.Division) -> Division:
    return Division(
        code=row.code,
        name=row.name,
        level=DivisionLevel(row.level),
        parent=row.parent_id,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        successors=tuple(row.successors),
    )


def event_row(request_id: str, sequence: int, event: RequestEvent) -> sharing.RequestEvent:
    return sharing.RequestEvent(
        request_id=request_id,
        sequence=sequence,
        kind=event.kind.value,
        at=event.at,
        actor=event.actor,
        office_id=event.office,
        reason=event.reason,
        words=event.words,
        wish=None if event.wish is None else wish_to_json(event.wish),
        on_behalf_of=event.on_behalf_of,
        due=event.due,
    )


def request_of(row: sharing.Request) -> Request:
    return Request(
        id=row.id,
        dataset=row.dataset_id,
        provider=row.provider_id,
        applicant=row.applicant_id,
        applicant_office=row.applicant_office_id,
        wish=wish_from_json(row.wish),
        events=tuple(
            RequestEvent(
                kind=RequestEventKind(event.kind),
                at=event.at,
                actor=event.actor,
                office=event.office_id,
                reason=event.reason,
                words=event.words,
                wish=None if event.wish is None else wish_from_json(event.wish),
                on_behalf_of=event.on_behalf_of,
                due=event.due,
            )
            for event in sorted(row.events.all(), key=lambda event: event.sequence)
        ),
        answer_due=row.answer_due,
        continues=row.continues_id,
    )


def grant_row(grant: Grant) -> sharing.Grant:
    terms = grant.terms
    return sharing.Grant(
        id=grant.id,
        version=grant.version,
        request_id=grant.request,
        dataset_id=grant.dataset,
        provider_id=grant.provider,
        using_office_id=grant.using_office,
        signed_by_id=grant.signed_by,
        purpose=terms.purpose.code,
        legal_basis=terms.purpose.legal_basis,
        items=items_to_json(terms.items),
        rows_item=None if terms.rows is None else terms.rows.item,
        rows_division=None if terms.rows is None else terms.rows.division,
        mode=terms.mode.value,
        linkage_group=terms.linkage_group,
        valid_from=terms.valid_from,
        valid_until=terms.valid_until,
        rules=rules_to_json(
            condition=terms.condition,
            subjects=terms.subjects,
            k=terms.k,
            quota=terms.quota,
            noised=terms.noised,
            salt=terms.salt,
        ),
        terms_hash=grant.terms_hash,
        state=grant.state.value,
        granted_at=grant.granted_at,
        revoked_at=grant.revoked_at,
        revoked_because=grant.revoked_because,
        moved_from_id=grant.moved_from,
    )


def grant_of(row: sharing.Grant) -> Grant:
    rows = row.rows_item, row.rows_division
    return Grant(
        id=row.id,
        version=row.version,
        request=row.request_id,
        dataset=row.dataset_id,
        provider=row.provider_id,
        using_office=row.using_office_id,
        signed_by=row.signed_by_id,
        terms=Terms(
            purpose=Purpose(row.purpose, row.legal_basis),
            items=items_from_json(row.items),
            rows=None if rows[0] is None or rows[1] is None else DivisionRows(item=rows[0], division=rows[1]),
            mode=Mode(row.mode),
            linkage_group=row.linkage_group,
            valid_from=row.valid_from,
            valid_until=row.valid_until,
            **rules_from_json(row.rules),
            salt=row.rules.get("salt"),
        ),
        terms_hash=row.terms_hash,
        state=GrantState(row.state),
        granted_at=row.granted_at,
        revoked_at=row.revoked_at,
        revoked_because=row.revoked_because,
        moved_from=row.moved_from_id,
    )


def grant_event_row(grant_id: str, sequence: int, event: GrantEvent) -> sharing.GrantEvent:
    """An event as a row."""
    return sharing.GrantEvent(
        grant_id=grant_id,
        sequence=sequence,
        kind=event.kind.value,
        at=event.at,
        actor=event.actor,
        office_id=event.office,
        version=event.version,
        words=event.words,
    )


def grant_event_of(row: sharing.GrantEvent) -> GrantEvent:
    """The other way."""
    return GrantEvent(
        kind=GrantEventKind(row.kind), at=row.at, actor=row.actor, office=row.office_id, version=row.version, words=row.words
    )


VERSION_COLUMNS = (
    "version", "request_id", "signed_by_id", "purpose", "legal_basis", "items", "rows_item", "rows_division", "mode",
    "linkage_group", "valid_from", "valid_until", "rules", "terms_hash",
)  # fmt: skip
"""What a grant's version fixes; the rest of its row is the same for all of them."""


def version_row(row: sharing.Grant) -> sharing.GrantVersion:
    """The version in force of a grant's row, to be kept when another takes its place."""
    return sharing.GrantVersion(grant_id=row.id, **{name: getattr(row, name) for name in VERSION_COLUMNS})


def grant_of_version(row: sharing.Grant, version: sharing.GrantVersion) -> Grant:
    """The grant as it was in an earlier version: its terms then, its state of now."""
    then = copy(row)
    for name in VERSION_COLUMNS:
        setattr(then, name, getattr(version, name))
    return grant_of(then)


def delegation_row(delegation: Delegation) -> sharing.Delegation:
    """A delegation as a row."""
    return sharing.Delegation(
        id=delegation.id,
        office_id=delegation.office,
        principal_id=delegation.principal,
        delegate_id=delegation.delegate,
        role=delegation.role.value,
        valid_from=delegation.valid_from,
        valid_until=delegation.valid_until,
        made_by=delegation.made_by,
        made_at=delegation.made_at,
        ended_at=delegation.ended_at,
    )


def delegation_of(row: sharing.Delegation) -> Delegation:
    """The other way."""
    return Delegation(
        id=row.id,
        office=row.office_id,
        principal=row.principal_id,
        delegate=row.delegate_id,
        role=Role(row.role),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        made_by=row.made_by,
        made_at=row.made_at,
        ended_at=row.ended_at,
    )


def terms_hash_of(grant: Grant) -> str:
    """The hash of the terms and parties as they stand in the row, to be compared with the one kept beside them."""
    return hash_of_terms(
        grant.terms,
        dataset=grant.dataset,
        provider=grant.provider,
        using_office=grant.using_office,
        signed_by=grant.signed_by,
        version=grant.version,
    )


_with_their_hash: set[tuple[object, ...]] = set()
"""Rows of grants whose hash was found right, with every column that it covers, so that a use need not compute it again."""
ROWS_REMEMBERED = 10_000


def has_its_hash(row: sharing.Grant) -> bool:
    """Whether the row's terms and parties are those whose hash stands beside them; False too if they cannot be read."""
    key = (
        row.terms_hash,
        row.version,
        row.dataset_id,
        row.provider_id,
        row.using_office_id,
        row.signed_by_id,
        row.purpose,
        row.legal_basis,
        repr(row.items),
        row.rows_item,
        row.rows_division,
        row.mode,
        row.linkage_group,
        row.valid_from,
        row.valid_until,
        repr(row.rules),
    )
    if key in _with_their_hash:
        return True
    try:
        holds = terms_hash_of(grant_of(row)) == row.terms_hash
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    if holds:
        if len(_with_their_hash) >= ROWS_REMEMBERED:
            _with_their_hash.clear()
        _with_their_hash.add(key)
    return holds


def report_to_json(report: QualityReport) -> JSON:
    """A quality report as JSON, without the parts that are columns of their own (dataset, version, instant)."""
    key, freshness = report.key, report.freshness
    return {
        "rows": report.rows,
        "rejected_rows": report.rejected_rows,
        "items": [
            {"item": one.item, "rows": one.rows, "present": one.present, "valid": one.valid, "distinct": one.distinct}
            for one in report.items
        ],
        "key": None
        if key is None
        else {"items": list(key.items), "rows": key.rows, "missing": key.missing, "duplicates": key.duplicates},
        "freshness": {
            "cycle": freshness.cycle.value,
            "taken_at": freshness.taken_at.isoformat(),
            "due_at": None if freshness.due_at is None else freshness.due_at.isoformat(),
            "late": freshness.late,
        },
        "drift": [{"kind": one.kind.value, "item": one.item, "before": one.before, "now": one.now} for one in report.drift],
        "compared_with": report.compared_with,
    }


def report_of(row: catalog.QualityReport) -> QualityReport:
    """The other way."""
    value: JSON = row.report
    key, freshness = value["key"], value["freshness"]
    return QualityReport(
        dataset=row.dataset_id,
        version=row.version,
        made_at=row.made_at,
        rows=value["rows"],
        rejected_rows=value["rejected_rows"],
        items=tuple(ItemQuality(**one) for one in value["items"]),
        key=None if key is None else KeyQuality(**{**key, "items": tuple(key["items"])}),
        freshness=Freshness(
            cycle=UpdateCycle(freshness["cycle"]),
            taken_at=datetime.fromisoformat(freshness["taken_at"]),
            due_at=None if freshness["due_at"] is None else datetime.fromisoformat(freshness["due_at"]),
            late=freshness["late"],
        ),
        drift=tuple(
            Drift(kind=DriftKind(one["kind"]), item=one["item"], before=one["before"], now=one["now"]) for one in value["drift"]
        ),
        compared_with=value["compared_with"],
    )


def suggestion_row(dataset_id: str, suggestion: GradingSuggestion) -> catalog.GradingSuggestion:
    return catalog.GradingSuggestion(
        dataset_id=dataset_id,
        item=suggestion.item,
        meaning=suggestion.meaning,
        grade=int(suggestion.grade),
        mask=mask_to_json(suggestion.mask),
        sampled=suggestion.sampled,
        recognised=suggestion.recognised,
        why=reason_to_json(suggestion.why),
        state=suggestion.state.value,
        decided_by=suggestion.decided_by,
        decided_at=suggestion.decided_at,
        words=suggestion.words,
    )


def suggestion_of(row: catalog.GradingSuggestion) -> GradingSuggestion:
    return GradingSuggestion(
        item=row.item,
        meaning=row.meaning,
        grade=Grade(row.grade),
        mask=mask_from_json(row.mask),
        sampled=row.sampled,
        recognised=row.recognised,
        why=reason_from_json(row.why),
        state=SuggestionState(row.state),
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        words=row.words,
    )


def source_to_json(source: LoadSource) -> JSON:
    """Where a load reads from, as JSON: the name of a credential, never the credential."""
    return {
        "kind": source.kind.value,
        "address": source.address,
        "table": source.table,
        "credential": source.credential,
        "changed_item": source.changed_item,
    }


def source_from_json(value: JSON) -> LoadSource:
    """The other way."""
    return LoadSource(**{**value, "kind": SourceKind(value["kind"])})


def plan_row(plan: LoadPlan) -> catalog.LoadPlan:
    return catalog.LoadPlan(
        id=plan.id,
        dataset_id=plan.dataset,
        source=source_to_json(plan.source),
        mode=plan.mode.value,
        every=plan.every,
        reject_limit=plan.reject_limit,
        person=plan.person,
        office_id=plan.office,
        next_run=plan.next_run,
        high_water=plan.high_water,
        stopped=None if plan.stopped is None else reason_to_json(plan.stopped),
    )


def plan_of(row: catalog.LoadPlan) -> LoadPlan:
    return LoadPlan(
        id=row.id,
        dataset=row.dataset_id,
        source=source_from_json(row.source),
        mode=LoadMode(row.mode),
        every=row.every,
        reject_limit=row.reject_limit,
        person=row.person,
        office=row.office_id,
        next_run=row.next_run,
        high_water=row.high_water,
        stopped=None if row.stopped is None else reason_from_json(row.stopped),
    )


def run_row(run: LoadRun) -> catalog.LoadRun:
    return catalog.LoadRun(
        id=run.id,
        dataset_id=run.dataset,
        plan=run.plan,
        source=source_to_json(run.source),
        mode=run.mode.value,
        started_at=run.started_at,
        person=run.person,
        state=run.state.value,
        rows_done=run.rows_done,
        rows_all=run.rows_all,
        finished_at=run.finished_at,
        version=run.version,
        rejected_rows=run.rejected_rows,
        reasons=[reason_to_json(reason) for reason in run.reasons],
    )


def run_of(row: catalog.LoadRun) -> LoadRun:
    return LoadRun(
        id=row.id,
        dataset=row.dataset_id,
        plan=row.plan,
        source=source_from_json(row.source),
        mode=LoadMode(row.mode),
        started_at=row.started_at,
        person=row.person,
        state=RunState(row.state),
        rows_done=row.rows_done,
        rows_all=row.rows_all,
        finished_at=row.finished_at,
        version=row.version,
        rejected_rows=row.rejected_rows,
        reasons=tuple(reason_from_json(reason) for reason in row.reasons),
    )


def promise_columns(promise: Promise) -> dict[str, Any]:
    return {
        "entry": promise.entry,
        "kind": promise.kind.value,
        "at": promise.at,
        "payload": promise.payload,
        "key_id": promise.key_id,
        "signature": promise.signature,
    }


def promise_of(row: audit.Pending | audit.Entry) -> Promise:
    return Promise(
        entry=row.entry,
        kind=EntryKind(row.kind),
        at=row.at,
        payload=bytes(row.payload),
        key_id=row.key_id,
        signature=bytes(row.signature),
    )


def checkpoint_of(row: audit.Checkpoint) -> Checkpoint:
    return Checkpoint(origin=row.origin, size=row.size, root=bytes(row.root), at=row.at, note=row.note)
