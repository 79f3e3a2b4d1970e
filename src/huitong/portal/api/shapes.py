"""Frozen nouns into the forms of the API."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from huitong.catalog.plans import Plan
from huitong.catalog.ports import Facet
from huitong.errors import Reason
from huitong.gateway.answer import Explanation
from huitong.intake.loads import Loading, Reject
from huitong.intake.plans import LoadPlan, LoadRun, LoadSource
from huitong.intake.quality import least_rows_for_others
from huitong.intake.source import Reading
from huitong.model.catalog import Dataset, Item, Snapshot
from huitong.model.party import Actor, Division, Office
from huitong.model.policy import DivisionRows, Grant, ItemTerm, Mask
from huitong.model.quality import Drift, GradingSuggestion, QualityReport, SuggestionState
from huitong.model.sharing import Request, RequestEvent, Wish
from huitong.model.text import BilingualText
from huitong.policy.grading import EffectiveGrade, GradingScheme
from huitong.portal.api import shapes_terms
from huitong.portal.api.language import sentence
from huitong.portal.api.limits import LIMITS
from huitong.portal.doors import doors
from huitong.sharing.availability import Availability

JSON = dict[str, Any]


def words(text: BilingualText | None) -> JSON | None:
    """Both languages."""
    return None if text is None else {"zh": text.zh, "en": text.en}


def office_reference(office_id: str) -> JSON:
    """An office by id, with its title if it is known here."""
    office = doors().parties.office(office_id)
    return {"id": office_id, "title": words(office.title) if office else None}


def whoami(actor: Actor) -> JSON:
    """The actor."""
    return {
        "person": actor.person,
        "name": actor.name,
        "post": actor.post,
        "office": office_reference(actor.office),
        "division": actor.division,
        "roles": sorted(actor.roles),
    }


def division(found: Division) -> JSON:
    """A division."""
    return {
        "code": found.code,
        "name": found.name,
        "level": found.level,
        "parent": found.parent,
        "valid_from": found.valid_from,
        "valid_to": found.valid_to,
        "successors": list(found.successors),
    }


def office(found: Office) -> JSON:
    """An office."""
    return {
        "id": found.id,
        "title": words(found.title),
        "division": found.division,
        "level": found.level,
        "credit_code": found.credit_code,
        "superior": found.superior,
        "valid_from": found.valid_from,
        "valid_to": found.valid_to,
        "successor": found.successor,
    }


def mask(found: Mask) -> JSON:
    """A mask."""
    return {"kind": found.kind, "parameters": dict(found.parameters)}


def item(found: Item) -> JSON:
    """An item with its default mask."""
    return {
        "name": found.name,
        "title": words(found.title),
        "type": found.type,
        "grade": int(found.grade),
        "meaning": found.meaning,
        "legal_basis": found.legal_basis,
        "collector": found.collector,
        "derived_from": list(found.derived_from),
        "default_mask": mask(doors().grading.masks.mask(found)),
    }


def dataset(found: Dataset) -> JSON:
    """An entry as one sees it in a list."""
    return {
        "id": found.id,
        "title": words(found.title),
        "abstract": words(found.abstract),
        "classification": found.classification,
        "provider": office_reference(found.provider),
        "collector": office_reference(found.collector),
        "sharing": found.sharing,
        "openness": found.openness,
        "update_cycle": found.update_cycle,
        "grade": int(found.grade),
        "item_count": len(found.items),
        "published_on": found.published_on,
    }


def facets(found: Mapping[Facet, Mapping[str, int]]) -> JSON:
    """Hits under each value of some facets."""
    return {facet: [{"value": value, "count": count} for value, count in counts.items()] for facet, counts in found.items()}


def applied(found: Plan, *, done: bool, language: str) -> JSON:
    """What became of a folder of entries, or would."""
    return {
        "added": list(found.added),
        "changed": [{"dataset": one.dataset, "fields": list(one.fields)} for one in found.changed],
        "unchanged": len(found.unchanged),
        "skipped": [{"dataset": one.dataset, "reason": reason(one.reason, language)} for one in found.skipped],
        "applied": done,
    }


def snapshot(found: Snapshot | None, *, own: bool) -> JSON | None:
    """A snapshot without the places of its files. The hash of what was loaded is told to its own offices: of a few rows that one can
    guess it would be the proof."""
    if found is None:
        return None
    return {
        "version": found.version,
        "mode": found.mode,
        "rows": found.rows,
        "rejected_rows": found.rejected_rows,
        "taken_at": found.taken_at,
        "removed_at": found.removed_at,
        "source_hash": found.source_hash if own else None,
    }


def snapshot_with_changes(found: Snapshot, changes: Iterable[Reason], language: str, *, own: bool) -> JSON:
    """A snapshot and what is other in its items than before."""
    return {**(snapshot(found, own=own) or {}), "changes": [reason(one, language) for one in changes]}


def loaded(found: Loading, *, actor: Actor, language: str) -> JSON:
    """A new snapshot, what was understood of the file, and the first rows that were left out."""
    dataset_id = found.snapshot.dataset
    report = doors().intake.quality(dataset_id, found.snapshot.version, by=actor)
    suggestions = doors().intake.suggestions(dataset_id, by=actor)
    return snapshot_with_changes(found.snapshot, (change.reason for change in found.changes), language, own=True) | {
        "rejects": [reject(one, language) for one in found.rejects[:LIMITS.page_entries]],
        "reading": reading(found.reading, language),
        "quality": quality_summary(report, exact=True),
        "open_suggestions": sum(1 for one in suggestions if one.state is SuggestionState.OPEN),
    }


def reading(found: Reading, language: str) -> JSON:
    """What was understood of a file."""
    return {
        "format": found.format,
        "encoding": found.encoding,
        "delimiter": found.delimiter,
        "sheet": found.sheet,
        "header_row": found.header_row,
        "decisions": [{"what": one.what, "value": one.value, "text": sentence(one.why, language)} for one in found.decisions],
    }


def reading_full(found: Reading, language: str) -> JSON:
    """What a source looks like, column by column."""
    columns = [
        {"name": one.name, "type": one.type, "missing": one.missing, "text": sentence(one.why, language)} for one in found.columns
    ]
    return reading(found, language) | {"sheets": list(found.sheets), "rows": found.rows, "columns": columns}


def reject(found: Reject, language: str) -> JSON:
    """A row that was left out, without its text."""
    why = Reason(found.reason, {"line": found.line, **({"item": found.item} if found.item else {})})
    return {"line": found.line, "item": found.item, "reason": found.reason, "text": sentence(why, language)}


def rejected_row(found: Reject, language: str) -> JSON:
    """A row that was left out, with its text: for the managing office alone."""
    why = Reason(found.reason, {"line": found.line, **({"item": found.item} if found.item else {})})
    return {"line": found.line, "item": found.item, "reason": reason(why, language), "row": found.row}


def quality_summary(found: QualityReport | None, *, exact: bool) -> JSON | None:
    """A report in a few numbers; shares of very few rows only for those who answer for the data."""
    if found is None:
        return None
    told = exact or found.rows >= least_rows_for_others()
    present = sum(one.present for one in found.items)
    cells = sum(one.rows for one in found.items)
    checked = [one for one in found.items if one.valid is not None]
    values = sum(one.present for one in checked)
    return {
        "version": found.version,
        "completeness": _percent(present / cells) if cells and told else None,
        "validity": _percent(sum(one.valid or 0 for one in checked) / values) if values and told else None,
        "late": found.freshness.late,
        "due_at": found.freshness.due_at,
        "drifts": len(found.drift),
    }


def _percent(share: float | None) -> float | None:
    """To the percent, and never rounded up to a whole that it is not: 99.96 % complete is not complete."""
    return None if share is None else math.floor(share * 100) / 100


def quality(found: QualityReport, *, exact: bool, language: str) -> JSON:
    """A report; counts only for those who answer for the data."""
    few = found.rows < least_rows_for_others()
    shown = (lambda share: share) if exact else (lambda share: None if few else _percent(share))
    return {
        "dataset": found.dataset,
        "version": found.version,
        "made_at": found.made_at,
        "rows": found.rows,
        "rejected_rows": found.rejected_rows,
        "exact": exact,
        "items": [
            {
                "item": one.item,
                "completeness": shown(one.completeness),
                "validity": shown(one.validity),
                "present": one.present if exact else None,
                "valid": one.valid if exact else None,
                "distinct": one.distinct if exact else None,
            }
            for one in found.items
        ],
        "key": None
        if found.key is None
        else {
            "items": list(found.key.items),
            "missing": found.key.missing if exact else None,
            "duplicates": found.key.duplicates if exact else None,
        },
        "freshness": {
            "cycle": found.freshness.cycle,
            "taken_at": found.freshness.taken_at,
            "due_at": found.freshness.due_at,
            "late": found.freshness.late,
        },
        "drift": [drift(one, language) for one in found.drift] if exact else [],
        "compared_with": found.compared_with,
    }


def drift(found: Drift, language: str) -> JSON:
    """A change that a person should look at."""
    code = f"drift-{found.kind.value}-of-item" if found.item else f"drift-{found.kind.value}"
    about = {"item": found.item or "", "before": f"{found.before:g}", "now": f"{found.now:g}"}
    told = sentence(Reason(code, about), language)
    return {"kind": found.kind, "item": found.item, "before": found.before, "now": found.now, "text": told}


def suggestion(found: GradingSuggestion, language: str) -> JSON:
    """What an item looks like."""
    return {
        "item": found.item,
        "meaning": found.meaning,
        "grade": int(found.grade),
        "mask": mask(found.mask),
        "sampled": found.sampled,
        "recognised": found.recognised,
        "why": reason(found.why, language),
        "state": found.state,
        "decided_by": found.decided_by,
        "decided_at": found.decided_at,
        "words": found.words,
    }


def source(found: LoadSource) -> JSON:
    """Where rows come from."""
    return {
        "kind": found.kind,
        "address": found.address,
        "table": found.table,
        "credential": found.credential,
        "changed_item": found.changed_item,
    }


def load(found: LoadRun, language: str) -> JSON:
    """What became of a load."""
    return {
        "id": found.id,
        "dataset": found.dataset,
        "plan": found.plan,
        "source": source(found.source),
        "mode": found.mode,
        "state": found.state,
        "person": found.person,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "rows_done": found.rows_done,
        "rows_all": found.rows_all,
        "version": found.version,
        "rejected_rows": found.rejected_rows,
        "reasons": [reason(one, language) for one in found.reasons],
    }


def plan(found: LoadPlan, language: str) -> JSON:
    """A load that recurs."""
    return {
        "id": found.id,
        "dataset": found.dataset,
        "source": source(found.source),
        "mode": found.mode,
        "every": found.every,
        "reject_limit": found.reject_limit,
        "person": found.person,
        "next_run": found.next_run,
        "high_water": found.high_water,
        "stopped": reason(found.stopped, language) if found.stopped else None,
    }


def effective_grade(found: EffectiveGrade, language: str) -> JSON:
    """The grade of a dataset as a whole in the words of the scheme."""
    entry = doors().grading.at(found.grade)
    because = [reason(one, language) for one in found.because]
    return {"rank": int(found.grade), "code": entry.code, "title": words(entry.title), "because": because}


def grading(scheme: GradingScheme) -> JSON:
    """The scheme in force."""
    return {
        "scheme": {
            "id": scheme.id,
            "title": words(scheme.title),
            "source": scheme.source,
            "check_against_text": scheme.check_against_text,
        },
        "grades": [
            {
                "rank": int(one.rank),
                "code": one.code,
                "title": words(one.title),
                "meaning": words(one.meaning),
                "reviewers": one.reviewers,
                "modes": sorted(one.modes),
                "storage": {"sandbox_level": one.storage.sandbox_level, "keep_days": one.storage.keep_days, "barrier": one.storage.barrier},
            }
            for one in scheme.grades
        ],
    }


def dataset_full(found: Dataset, *, actor: Actor, language: str) -> JSON:
    """A whole entry as the actor's office may know it, its snapshot, and what that office may have of it."""
    return dataset(found) | {
        "sharing_basis": found.sharing_basis,
        "sharing_condition": words(found.sharing_condition),
        "sharing_manner": found.sharing_manner,
        "openness_condition": words(found.openness_condition),
        "legal_basis": found.legal_basis,
        "format": found.format,
        "related": list(found.related),
        "items": [item(entry) for entry in found.items],
        "key": found.key,
        "primary_key": list(found.primary_key),
        "division_item": found.division_item,
        "derived_from": list(found.derived_from),
        "visibility": found.visibility,
        "known_to": list(found.known_to),
        "spatial": found.spatial,
        "licence": found.licence,
        "keep_days": found.keep_days,
        "source": found.source,
        "effective_grade": effective_grade(doors().effective_grade(found, viewer=actor.office), language),
        "quality": quality_summary(doors().report(found.id), exact=actor.office in (found.provider, found.collector)),
        "snapshot": snapshot(doors().current_snapshot(found.id), own=actor.office in (found.provider, found.collector)),
        "availability": availability(found, doors().sharing.availability(found, actor=actor), language),
    }


def availability(entry: Dataset, found: Availability, language: str) -> JSON:
    """Can this office have it, how, by when."""
    return told(found, entry.id, language)


def told(found: Availability, dataset: str, language: str) -> JSON:
    """The same, of an entry of which only the id is at hand."""
    return {
        "kind": found.kind,
        "grants": list(found.grants),
        "request": found.request,
        "until": found.until,
        "working_days": found.working_days,
        "answer_by": found.answer_by,
        "provisional": found.provisional,
        "reviewers": found.reviewers,
        "endorsed": found.endorsed,
        **reason(found.about(dataset), language),
    }


def reason(found: Reason, language: str) -> JSON:
    """A reason with its sentence."""
    return {"code": found.code, "parameters": dict(found.parameters), "text": sentence(found, language)}


def item_terms(terms: Iterable[ItemTerm]) -> list[JSON]:
    """Items and how they leave."""
    return [{"item": term.item, "mask": mask(term.mask)} for term in terms]


def rows(found: DivisionRows | None) -> JSON | None:
    """The cut of rows."""
    return None if found is None else {"item": found.item, "division": found.division}


def wish(found: Wish) -> JSON:
    """What was asked or agreed."""
    return {
        "purpose": found.purpose.code,
        "legal_basis": found.purpose.legal_basis,
        "items": item_terms(found.items),
        "rows": rows(found.rows),
        "mode": found.mode.value,
        "until": found.until,
        "kind": found.kind,
        **shapes_terms.rules(found),
    }


def event(found: RequestEvent) -> JSON:
    """One thing that happened."""
    return {
        "kind": found.kind,
        "at": found.at,
        "actor": found.actor,
        "office": found.office,
        "reason": found.reason,
        "words": found.words,
        "wish": wish(found.wish) if found.wish else None,
        "on_behalf_of": found.on_behalf_of,
        "due": found.due,
    }


def request(found: Request, *, grant: str | None) -> JSON:
    """A request with its history."""
    return {
        "id": found.id,
        "dataset": found.dataset,
        "provider": office_reference(found.provider),
        "applicant": found.applicant,
        "applicant_office": office_reference(found.applicant_office),
        "state": found.state,
        "answer_due": found.answer_due,
        "provisional": found.answer_due is not None and doors().sharing.calendar.is_provisional(found.answer_due),
        "wish": wish(found.wish),
        "events": [event(entry) for entry in found.events],
        "grant": grant,
        "continues": found.continues,
    }


def grant(found: Grant) -> JSON:
    """A grant with its terms."""
    return {
        "id": found.id,
        "version": found.version,
        "request": found.request,
        "dataset": found.dataset,
        "provider": office_reference(found.provider),
        "using_office": office_reference(found.using_office),
        "signed_by": found.signed_by,
        "state": found.state,
        "valid": found.valid_at(doors().clock()),
        "purpose": found.terms.purpose.code,
        "legal_basis": found.terms.purpose.legal_basis,
        "items": item_terms(found.terms.items),
        "rows": rows(found.terms.rows),
        "mode": found.terms.mode.value,
        **shapes_terms.rules(found.terms),
        "linkage_group": found.terms.linkage_group,
        "valid_from": found.terms.valid_from,
        "valid_until": found.terms.valid_until,
        "terms_hash": found.terms_hash,
        "granted_at": found.granted_at,
        "revoked_at": found.revoked_at,
        "revoked_because": found.revoked_because,
    }


def page(entries: list[JSON], *, name: str, total: int, limit: int, offset: int) -> JSON:
    """Part of a list."""
    return {name: entries, "total": total, "limit": limit, "offset": offset}


def why(found: Explanation, language: str) -> JSON:
    """What would happen to a statement."""
    return {
        "allowed": found.allowed,
        "reasons": [reason(entry, language) for entry in found.decision.reasons],
        "datasets": [
            {
                "dataset": use.dataset,
                "items": list(use.items),
                "grant": use.grant,
                "masks": [{"item": entry.item, "mask": mask(entry.mask)} for entry in use.masks],
                "rows": rows(use.rows),
                "valid_until": use.valid_until,
                "snapshot": use.snapshot,
                "budget": shapes_terms.budget_use(use.budget),
            }
            for use in found.datasets
        ],
    }
