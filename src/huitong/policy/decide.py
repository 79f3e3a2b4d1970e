"""The decision about one use: which grant carries each dataset, or every reason why not, in one answer.

Pure: same arguments, same decision. Nothing is granted by absence; a dataset without a faultless grant is refused. When several
grants carry a use, the widest is taken (rows before totals, no cut of rows before a cut, no quota before a quota, fewer masks on the
items used, then the newest), so that the choice never depends on the order in which they are stored. When none does, the grant with
the fewest faults is the one whose faults are told, because it is the one nearest to a yes."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from huitong.errors import Reason
from huitong.model.catalog import Dataset, Sharing
from huitong.model.party import Actor, Role
from huitong.model.policy import Decision, Grant, GrantState, MaskKind, Mode
from huitong.policy.schemes import GradingScheme
from huitong.policy.schemes import scheme as shipped_scheme

_PURPOSE = re.compile(r"[A-Za-z0-9\u3400-\u4dbf\u4e00-\u9fff][A-Za-z0-9_.\-\u3400-\u4dbf\u4e00-\u9fff]{0,63}")


def fault_of_actor(actor: Actor) -> Reason | None:
    """Why this actor may use no data at all; None if the post may."""
    if not actor.has(Role.ANALYST):
        return Reason("role-missing", {"role": Role.ANALYST.value, "post": actor.post, "office": actor.office})
    return None


def fault_of_purpose(purpose: str) -> Reason | None:
    """Why this text cannot be a purpose; None if it can. The text itself is not repeated, it may be anything."""
    if not purpose.strip():
        return Reason("purpose-missing")
    if _PURPOSE.fullmatch(purpose) is None:
        return Reason("purpose-invalid")
    return None


def decide(
    *,
    actor: Actor,
    purpose: str,
    uses: Mapping[str, frozenset[str]],
    datasets: Mapping[str, Dataset],
    grants: Sequence[Grant],
    at: datetime,
    scheme: GradingScheme | None = None,
) -> Decision:
    """Whether `actor` may use the items `uses` (dataset id -> item names) for `purpose` at the instant `at`.

    `grants` may hold grants of any dataset, office and state; `datasets` holds the published ones. A dataset that is not in it is
    refused as one that does not exist. An item whose grade has been raised since, so that `scheme` (None: the shipped one) lets it
    leave no more in the mode of the grant, is not used; the grant itself stays as it is."""
    modes = scheme or shipped_scheme()
    reasons: list[Reason] = []
    notices: list[Reason] = []
    for fault in (fault_of_actor(actor), fault_of_purpose(purpose)):
        if fault is not None:
            reasons.append(fault)
    purpose_known = fault_of_purpose(purpose) is None
    chosen: dict[str, Grant] = {}
    for dataset_id in sorted(uses):
        dataset = datasets.get(dataset_id)
        if dataset is None:
            reasons.append(Reason("dataset-unknown", {"dataset": dataset_id}))
            continue
        candidates = [grant for grant in grants if grant.dataset == dataset_id]
        if not candidates:
            reasons.append(_without_grant(actor, dataset))
            continue
        stated = purpose if purpose_known else None
        judged = [(_faults(grant, dataset, uses[dataset_id], actor, stated, at, modes), grant) for grant in candidates]
        faultless = [grant for faults, grant in judged if not faults]
        if faultless:
            best = min(faultless, key=lambda grant: _width(grant, uses[dataset_id]))
            chosen[dataset_id] = best
            notices.extend(_left_aside(best, faultless))
            continue
        nearest, _ = min(judged, key=lambda pair: (len(pair[0]), _distance(pair[0]), -pair[1].granted_at.timestamp(), pair[1].id))
        reasons.extend(nearest)
    found = tuple(dict.fromkeys(reasons))
    return Decision(grants={} if found else chosen, reasons=found, notices=() if found else tuple(notices))


def _left_aside(best: Grant, faultless: Sequence[Grant]) -> tuple[Reason, ...]:
    """One grant carries a use; that others with other rows stand is said, or a narrower answer would pass for the whole."""
    others = sorted(grant.id for grant in faultless if best.terms.cuts_rows and _rows_of(grant) != _rows_of(best))
    if not others:
        return ()
    return (Reason("other-grants-stand", {"dataset": best.dataset, "grant": best.id, "others": ", ".join(others)}),)


def _rows_of(grant: Grant) -> tuple[object, ...]:
    return grant.terms.rows, grant.terms.condition, grant.terms.subjects


def _without_grant(actor: Actor, dataset: Dataset) -> Reason:
    if dataset.sharing is Sharing.NOT_SHARED:
        return Reason("dataset-not-shared", {"dataset": dataset.id, "provider": dataset.provider, "basis": dataset.sharing_basis})
    return Reason("grant-missing", {"dataset": dataset.id, "provider": dataset.provider, "office": actor.office})


_DISTANCE = (
    "item-not-granted", "grant-above-grade", "grant-preparing", "grant-not-yet-valid", "grant-expired", "grant-other-purpose",
    "grant-revoked", "grant-other-office",
)  # fmt: skip


def _distance(faults: Sequence[Reason]) -> int:
    """How far a faulty grant is from a yes, by its worst fault."""
    return max(_DISTANCE.index(fault.code) for fault in faults)


def _faults(
    grant: Grant,
    dataset: Dataset,
    items: frozenset[str],
    actor: Actor,
    purpose: str | None,
    at: datetime,
    scheme: GradingScheme,
) -> tuple[Reason, ...]:
    """Everything that speaks against this grant. Of a grant of another office nothing is told but that."""
    about = {"dataset": dataset.id, "provider": dataset.provider}
    if grant.using_office != actor.office:
        return (Reason("grant-other-office", {**about, "office": actor.office}),)
    faults: list[Reason] = []
    about["grant"] = grant.id
    terms = grant.terms
    if purpose is not None and terms.purpose.code != purpose:
        faults.append(Reason("grant-other-purpose", {**about, "purpose": purpose, "granted": terms.purpose.code}))
    if grant.state is GrantState.REVOKED:
        revoked = grant.revoked_at.date().isoformat() if grant.revoked_at else "-"
        faults.append(Reason("grant-revoked", {**about, "on": revoked}))
    elif at >= terms.valid_until:
        faults.append(Reason("grant-expired", {**about, "until": _instant(terms.valid_until)}))
    elif grant.state is GrantState.PREPARING:
        faults.append(Reason("grant-preparing", about))
    elif at < terms.valid_from:
        faults.append(Reason("grant-not-yet-valid", {**about, "from": _instant(terms.valid_from)}))
    granted = {term.item.lower(): term.mask.kind for term in terms.items}
    leaving = None
    for item in sorted(items):
        kind = granted.get(item.lower())
        if kind is None:
            faults.append(Reason("item-not-granted", {**about, "item": item, "purpose": terms.purpose.code}))
        elif kind is not MaskKind.HIDE and (held := dataset.item(item)) is not None:
            leaving = held if leaving is None or held.grade > leaving.grade else leaving
    if leaving is not None:
        grade = scheme.at(leaving.grade)
        if terms.mode.value not in grade.modes:
            faults.append(Reason("grant-above-grade", {**about, "item": leaving.name, "grade": grade.code, "mode": terms.mode.value}))
    return tuple(faults)


def _instant(instant: datetime) -> str:
    return instant.isoformat(timespec="minutes")


_MODES = tuple(Mode)
MASKED = 3
"""Where in the width of a grant the number of masked items stands: all else in it is the same whatever is used."""


def _masked(grant: Grant) -> frozenset[str]:
    """The items that do not leave as they are, in small letters."""
    return frozenset([term.item.lower() for term in grant.terms.items if term.mask.kind is not MaskKind.CLEAR])


def _width(grant: Grant, items: frozenset[str]) -> tuple[int, bool, bool, int, float, str]:
    """Sort key of a usable grant, the widest first; the id last, so that the choice is always the same."""
    terms = grant.terms
    masked = len(_masked(grant) & {item.lower() for item in items})
    return (_MODES.index(terms.mode), terms.cuts_rows, terms.quota is not None, masked, -grant.granted_at.timestamp(), grant.id)
