"""Prospects of entries in tables, and the standings of an office made of them in one statement (`sharing.usable.StandingStore`).

Entries that lead to the same are in one group, so that a hundred thousand of them are counted by their groups; what an office has
already is a list of its own grants and requests. Only a page of entries is looked at one by one.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connections
from django.db.models import OuterRef, Q, Subquery

from huitong.model.catalog import Dataset, Grade, Sharing, Visibility
from huitong.model.party import Role
from huitong.model.policy import GrantState
from huitong.model.sharing import RequestEventKind, RequestState
from huitong.model.text import BilingualText
from huitong.portal.catalog.models import Prospect as ProspectRow
from huitong.portal.catalog.models import ProspectGroup, ProspectKnown, ProspectSource, ProspectState, Snapshot
from huitong.portal.sharing.models import PolicyEpoch
from huitong.sharing.availability import AvailabilityKind, Prospect
from huitong.sharing.usable import Judged, Standing, StandingPage

AT_ONCE = 500
"""Values of one statement."""


# ---- writing


def entries_changed(datasets: Iterable[str], using: str) -> None:
    """Their prospects are not known any more, nor those of what was made of them; inside the caller's transaction."""
    for part in _parts(list(dict.fromkeys(datasets))):
        rows = ProspectRow.objects.using(using)
        rows.bulk_create([ProspectRow(dataset_id=dataset) for dataset in part], ignore_conflicts=True)
        made_of_them = ProspectSource.objects.using(using).filter(source__in=part).values("dataset")
        rows.filter(Q(dataset__in=part) | Q(dataset__in=made_of_them)).exclude(group=None).update(group=None)


def snapshot_changed(dataset: str, using: str) -> None:
    """The number of rows of an entry counts for its own prospect alone."""
    ProspectRow.objects.using(using).filter(dataset=dataset).exclude(group=None).update(group=None)


@dataclass(frozen=True)
class DjangoStandings:
    """StandingStore."""

    using: str = "default"

    def unjudged(self, rules: str, *, limit: int) -> Mapping[str, int | None]:
        """So many entries whose prospect is not known. The row of the policy epoch is locked: who changes a rule moves it first."""
        list(PolicyEpoch.objects.using(self.using).select_for_update().filter(id=1))
        rows = ProspectRow.objects.using(self.using)
        state = ProspectState.objects.using(self.using).filter(id=1).first()
        if state is None or state.rules != rules:
            with connections[self.using].cursor() as cursor:
                cursor.execute(
                    "INSERT INTO catalog_prospect (dataset_id) SELECT d.id FROM catalog_dataset d"
                    " WHERE NOT EXISTS (SELECT 1 FROM catalog_prospect p WHERE p.dataset_id = d.id)"
                )
            rows.exclude(group=None).update(group=None)
            ProspectState.objects.using(self.using).update_or_create(id=1, defaults={"rules": rules})
        newest = Snapshot.objects.using(self.using).filter(dataset=OuterRef("dataset")).order_by("-version").values("rows")[:1]
        return dict(rows.filter(group=None).order_by("dataset").values_list("dataset", Subquery(newest))[:limit])

    def judge(self, found: Sequence[Judged]) -> None:
        """Keep prospects; once all are known, count the groups."""
        groups = self._groups({_group_of(one) for one in found})
        rows = ProspectRow.objects.using(self.using)
        known, sources = ProspectKnown.objects.using(self.using), ProspectSource.objects.using(self.using)
        for part in _parts(found):
            ids = [one.dataset.id for one in part]
            known.filter(dataset__in=ids).delete()
            known.bulk_create(
                ProspectKnown(dataset_id=one.dataset.id, office=office) for one in part for office in sorted(_known_to(one.dataset))
            )
            sources.filter(dataset__in=ids).delete()
            sources.bulk_create(
                ProspectSource(dataset_id=one.dataset.id, source=source) for one in part for source in sorted(one.sources)
            )
            with connections[self.using].cursor() as cursor:
                cursor.executemany(
                    "UPDATE catalog_prospect SET group_id = %s WHERE dataset_id = %s",
                    [(groups[_group_of(one)], one.dataset.id) for one in part],
                )
        if not rows.filter(group=None).exists():
            self._count()

    def _groups(self, wanted: Collection["Group"]) -> Mapping["Group", int]:
        """The groups of these properties by their numbers; made where there are none."""
        rows = ProspectGroup.objects.using(self.using)
        columns = ("provider", "kind", "reviewers", "everybody")
        made = [ProspectGroup(**dict(zip(columns, group, strict=True))) for group in sorted(wanted)]
        rows.bulk_create(made, ignore_conflicts=True, batch_size=AT_ONCE // 5)
        found = {}
        for providers in _parts(sorted({group[0] for group in wanted})):
            found.update({tuple(one): number for number, *one in rows.filter(provider__in=providers).values_list("id", *columns)})
        return found

    def _count(self) -> None:
        counted = "(SELECT COUNT(*) FROM catalog_prospect p WHERE p.group_id = catalog_prospectgroup.id)"
        with connections[self.using].cursor() as cursor:
            cursor.execute(f"UPDATE catalog_prospectgroup SET datasets = {counted} WHERE datasets <> {counted}")  # noqa: S608 - ours

    # ---- looking

    def standings(
        self,
        *,
        office: str,
        person: str,
        analyst: bool,
        kinds: Collection[AvailabilityKind],
        now: datetime,
        rules: str,
        limit: int,
        offset: int,
    ) -> StandingPage | None:
        """The entries known to the office whose standing is one of these, by id; None if a prospect has to be judged first."""
        connection = connections[self.using]
        values: dict[str, Any] = {
            "office": office,
            "person": person,
            "analyst": analyst,
            "now": connection.ops.adapt_datetimefield_value(now),
            "rules": rules,
            "limit": limit,
            "offset": offset,
        }
        wanted = ", ".join(f"'{kind.value}'" for kind in AvailabilityKind if kind in kinds)
        with connection.cursor() as cursor:
            cursor.execute(statement(wanted, postgresql=connection.vendor == "postgresql"), values)
            names = [column[0] for column in cursor.description]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        if found[0]["unjudged"]:
            return None
        return StandingPage(tuple(_standing(row) for row in found if row["dataset"] is not None), int(found[0]["total"]))


Group = tuple[str, str, int, bool]
"""Provider, kind, reviewers, known to everybody."""


def _group_of(judged: Judged) -> Group:
    dataset, prospect = judged.dataset, judged.prospect
    return dataset.provider, prospect.kind.value, prospect.reviewers, dataset.visibility is not Visibility.NAMED


def _known_to(dataset: Dataset) -> set[str]:
    if dataset.visibility is not Visibility.NAMED:
        return set()
    return {dataset.provider, dataset.collector, *dataset.known_to}


def _parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE))


def statement(wanted: str, *, postgresql: bool) -> str:
    """The one statement: what the office holds and waits for; who could answer; the groups that come to what is wanted; the page; the
    total, as the sizes of the groups with the office's own entries moved from where they would be to where they are.

    Of the many entries of groups, in order, only as many are looked at as the page can need: of M others that are to be put in between
    (`named`, `mine`), those that come before the page leave out at most M fewer of them."""
    by_bytes = ' COLLATE "C"' if postgresql else ""
    plain = "" if postgresql else "+"  # SQLite: do not choose the index by this
    held = (
        f"g.using_office_id = %(office)s AND {plain}g.valid_until > %(now)s AND {plain}g.state IN ('{_ACTIVE}', '{_PREPARING}')"
        f" AND ({plain}g.state = '{_PREPARING}' OR {plain}g.valid_from <= %(now)s)"
    )
    own = f"{held} AND g.dataset_id = d.id AND {plain}g.state = page.state"
    ids = (
        f'(SELECT json_agg(g.id ORDER BY g.granted_at DESC, g.id COLLATE "C" DESC) FROM sharing_grant g WHERE {own})'  # noqa: S608
        if postgresql
        else f"(SELECT json_group_array(id) FROM (SELECT g.id FROM sharing_grant g WHERE {own} ORDER BY g.granted_at DESC, g.id DESC))"  # noqa: S608
    )
    # In the order of the index, each looked up: neither planner may gather all entries of the groups and sort them.
    among = "(p.group_id IN (SELECT id FROM chosen)) IS TRUE" if postgresql else "+p.group_id IN (SELECT id FROM chosen)"
    kind = f"""CASE
        WHEN g.kind IN ('{AvailabilityKind.NOT_SHARED}', '{AvailabilityKind.REFUSED}') THEN g.kind
        WHEN NOT %(analyst)s OR COALESCE(a.persons, 0) < g.reviewers THEN '{AvailabilityKind.REFUSED}'
        ELSE g.kind END"""
    return f"""
WITH held AS MATERIALIZED (
    SELECT dataset_id, MIN(rank) AS rank, MAX(CASE rank WHEN 1 THEN until END) AS granted, MAX(CASE rank WHEN 2 THEN until END) AS preparing
    FROM (
        SELECT g.dataset_id, CASE g.state WHEN '{_ACTIVE}' THEN 1 ELSE 2 END AS rank, g.valid_until AS until
        FROM sharing_grant g WHERE {held}
        UNION ALL
        SELECT r.dataset_id, 3, NULL FROM sharing_request r
        WHERE r.applicant_office_id = %(office)s AND r.state = '{RequestState.UNDER_REVIEW}'
    ) one GROUP BY dataset_id
),
answering AS MATERIALIZED (
    SELECT p.office_id, COUNT(DISTINCT p.account_id) AS persons
    FROM accounts_post p
    JOIN accounts_account a ON a.id = p.account_id
    JOIN accounts_postrole r ON r.post_id = p.id AND r.role = '{Role.REVIEWER}'
    WHERE p.ended_at IS NULL AND a.is_active AND a.username <> %(person)s
    GROUP BY p.office_id
),
chosen AS MATERIALIZED (
    SELECT g.id, g.datasets FROM catalog_prospectgroup g LEFT JOIN answering a ON a.office_id = g.provider
    WHERE g.everybody AND {kind} IN ({wanted})
),
mine AS MATERIALIZED (
    SELECT h.dataset_id, p.group_id, {kind} AS without,
        CASE h.rank WHEN 1 THEN '{AvailabilityKind.GRANTED}' WHEN 2 THEN '{AvailabilityKind.PREPARING}'
            ELSE '{AvailabilityKind.UNDER_REVIEW}' END AS kind,
        CASE h.rank WHEN 1 THEN '{_ACTIVE}' WHEN 2 THEN '{_PREPARING}' END AS state,
        CASE h.rank WHEN 1 THEN h.granted WHEN 2 THEN h.preparing END AS until
    FROM held h JOIN catalog_prospect p ON p.dataset_id = h.dataset_id JOIN catalog_prospectgroup g ON g.id = p.group_id
    LEFT JOIN answering a ON a.office_id = g.provider
    WHERE g.everybody OR EXISTS (
        SELECT 1 FROM catalog_prospectknown k WHERE k.office = %(office)s AND k.dataset_id = h.dataset_id)
),
others AS MATERIALIZED (
    SELECT m.dataset_id, m.group_id, m.kind, m.state, m.until FROM mine m WHERE m.kind IN ({wanted})
    UNION ALL
    SELECT p.dataset_id, p.group_id, NULL, NULL, NULL
    FROM catalog_prospectknown k JOIN catalog_prospect p ON p.dataset_id = k.dataset_id
    JOIN catalog_prospectgroup g ON g.id = p.group_id LEFT JOIN answering a ON a.office_id = g.provider
    WHERE k.office = %(office)s AND NOT g.everybody AND {kind} IN ({wanted}) AND p.dataset_id NOT IN (SELECT dataset_id FROM held)
),
skipped AS MATERIALIZED (
    SELECT CASE WHEN many > %(offset)s THEN 0 ELSE %(offset)s - many END AS entries, many FROM (SELECT COUNT(*) AS many FROM others) o
),
page AS MATERIALIZED (
    SELECT * FROM (
        SELECT * FROM others
        UNION ALL
        SELECT dataset_id, group_id, NULL, NULL, NULL FROM (
            SELECT p.dataset_id, p.group_id FROM catalog_prospect p
            WHERE {among} AND p.dataset_id NOT IN (SELECT dataset_id FROM held) AND EXISTS (SELECT 1 FROM chosen)
            ORDER BY p.dataset_id{by_bytes} LIMIT %(limit)s + (SELECT many FROM skipped) OFFSET (SELECT entries FROM skipped)
        ) of_groups
    ) every_kind
    ORDER BY dataset_id{by_bytes} LIMIT %(limit)s OFFSET %(offset)s - (SELECT entries FROM skipped)
),
counted AS (
    SELECT
        (SELECT COALESCE(SUM(datasets), 0) FROM chosen) + (SELECT many FROM skipped)
        - (SELECT COUNT(*) FROM mine m JOIN chosen c ON c.id = m.group_id) AS total,
        EXISTS (SELECT 1 FROM catalog_prospect WHERE group_id IS NULL)
        OR NOT EXISTS (SELECT 1 FROM catalog_prospectstate WHERE id = 1 AND rules = %(rules)s) AS unjudged
)
SELECT c.total, c.unjudged, d.id AS dataset, d.title_zh, d.title_en, d.provider_id AS provider, d.sharing, d.sharing_basis AS basis,
    d.sharing_condition_zh AS condition_zh, d.sharing_condition_en AS condition_en,
    (SELECT COUNT(*) FROM catalog_item i WHERE i.dataset_id = d.id) AS items,
    (SELECT MAX(i.grade) FROM catalog_item i WHERE i.dataset_id = d.id) AS grade,
    COALESCE(page.kind, {kind}) AS kind, g.kind AS prospect, g.reviewers, COALESCE(a.persons, 0) AS answering, page.until,
    CASE WHEN page.state IS NOT NULL THEN {ids} END AS grants,
    r.id AS request, r.answer_due,
    (SELECT e.kind FROM sharing_requestevent e WHERE e.request_id = r.id ORDER BY e.sequence DESC LIMIT 1) AS last_event
FROM counted c
LEFT JOIN page ON TRUE
LEFT JOIN catalog_dataset d ON d.id = page.dataset_id
LEFT JOIN catalog_prospectgroup g ON g.id = page.group_id
LEFT JOIN answering a ON a.office_id = g.provider
LEFT JOIN sharing_request r ON page.kind = '{AvailabilityKind.UNDER_REVIEW}' AND r.id = (
    SELECT w.id FROM sharing_request w
    WHERE w.applicant_office_id = %(office)s AND w.state = '{RequestState.UNDER_REVIEW}' AND w.dataset_id = page.dataset_id
    ORDER BY w.answer_due IS NULL, w.answer_due, w.id{by_bytes} LIMIT 1)
ORDER BY d.id{by_bytes}"""  # noqa: S608 - made of names of ours alone; every value is a parameter


_ACTIVE, _PREPARING = GrantState.ACTIVE.value, GrantState.PREPARING.value


def _standing(row: Mapping[str, Any]) -> Standing:
    condition = row["condition_zh"] is not None
    grants = row["grants"]
    return Standing(
        dataset=row["dataset"],
        title=BilingualText(zh=row["title_zh"], en=row["title_en"]),
        provider=row["provider"],
        sharing=Sharing(row["sharing"]),
        basis=row["basis"],
        condition=BilingualText(zh=row["condition_zh"], en=row["condition_en"]) if condition else None,
        items=row["items"],
        grade=Grade(row["grade"]),
        kind=AvailabilityKind(row["kind"]),
        prospect=Prospect(AvailabilityKind(row["prospect"]), row["reviewers"]),
        grants=tuple(json.loads(grants) if isinstance(grants, str) else grants or ()),
        until=_instant(row["until"]),
        request=row["request"],
        answer_due=date.fromisoformat(row["answer_due"]) if isinstance(row["answer_due"], str) else row["answer_due"],
        endorsed=row["last_event"] == RequestEventKind.ENDORSED.value,
        answering=row["answering"],
    )


def _instant(value: str | datetime | None) -> datetime | None:
    """SQLite keeps instants as text, in UTC."""
    return datetime.fromisoformat(f"{value}+00:00") if isinstance(value, str) else value
