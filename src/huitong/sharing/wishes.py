"""What is asked and how a reviewer may narrow it. Pure: a wish is made, judged against the entry, and compared with another."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from huitong.errors import HuitongError, InputInvalid, Reason
from huitong.masks import check_mask
from huitong.model.catalog import Dataset, ItemType
from huitong.model.policy import (
    Comparison,
    DivisionRows,
    ItemTerm,
    Mask,
    MaskKind,
    Mode,
    Purpose,
    Quota,
    QuotaPeriod,
    SubjectRows,
    Terms,
    epsilon_text,
)
from huitong.model.sharing import Linkage, RequestKind, Wish
from huitong.policy.default_masks import MaskRules, default_mask, stricter_or_equal
from huitong.sharing.comparing import faults_of_comparisons, implies, in_form
from huitong.sharing.deadline import LATEST_DAY
from huitong.sharing.noised import StatedNoise, complete, faults_of_noise, narrower_noise
from huitong.sharing.ports import DivisionTree
from huitong.sharing.purposes import purposes
from huitong.sharing.subjects import SubjectLists
from huitong.sharing.term_limits import TermLimits, term_limits

WishedItem = tuple[str, Mask | None]
"""An item by name and the mask that is asked for; None asks for the default mask."""

_GROUP = re.compile(r"[a-z0-9-]{1,40}")
_CLEAR = Mask(MaskKind.CLEAR)
_PERIODS = tuple(QuotaPeriod)
"""The shortest first: each lies within the next."""
_MODES = tuple(Mode)
"""The widest first: a reviewer may give a later one instead."""
_DAYS_OF_A_MONTH = 31
"""At most."""


def make_wish(
    dataset: Dataset,
    *,
    purpose: str,
    legal_basis: str,
    items: Iterable[WishedItem],
    until: date,
    division: str | None = None,
    mode: Mode = Mode.ROWS,
    masks: MaskRules | None = None,
    kind: RequestKind = RequestKind.SHARING,
    condition: Iterable[Comparison] = (),
    subjects: SubjectRows | None = None,
    k: int | None = None,
    quota: Quota | None = None,
    noised: StatedNoise | None = None,
    linkage: Linkage | str = Linkage.PURPOSE,
    limits: TermLimits | None = None,
) -> Wish:
    """A wish in the words of a form: item names in any letter case, default masks (`masks` of the scheme) filled in, rows by a
    division code, values of a condition in the form of their item's type, totals without `k` with the least that there may be, noised
    ones without a budget with the usual one.

    Raises InputInvalid with every `item-unknown`, or `rows-not-cuttable` if the dataset names no item that holds the division."""
    terms, faults = _terms(dataset, items, masks)
    if division is not None and dataset.division_item is None:
        faults.append(Reason("rows-not-cuttable", {"dataset": dataset.id}))
    if faults:
        raise InputInvalid(*faults)
    rows = DivisionRows(item=dataset.division_item, division=division) if division and dataset.division_item else None
    if mode is Mode.AGGREGATE_ONLY and k is None:
        k = (limits or term_limits()).least_k
    if noised is not None and mode is not Mode.NOISED:
        raise InputInvalid.because("noised-without-mode", mode=mode.value)
    return Wish(
        dataset=dataset.id,
        purpose=Purpose(code=purpose, legal_basis=legal_basis),
        items=terms,
        rows=rows,
        mode=mode,
        until=until,
        kind=kind,
        condition=in_form(condition, dataset),
        subjects=_named_as_in(dataset, subjects),
        k=k,
        quota=quota,
        noised=complete(noised, None, dataset, limits or term_limits()) if mode is Mode.NOISED else None,
        linkage=_linkage(linkage),
    )


def narrow_wish(
    wish: Wish,
    dataset: Dataset,
    *,
    items: Iterable[WishedItem] | None = None,
    division: str | None = None,
    until: date | None = None,
    masks: MaskRules | None = None,
    condition: Iterable[Comparison] | None = None,
    subjects: SubjectRows | None = None,
    mode: Mode | None = None,
    k: int | None = None,
    quota: Quota | None = None,
    noised: StatedNoise | None = None,
    linkage: Linkage | str | None = None,
    limits: TermLimits | None = None,
) -> Wish:
    """What a reviewer states, put in the place of what was asked; what is not stated stays as asked, masks too. Comparisons are added to
    those that were asked for; one that follows from an added one is left out.

    Whether the outcome really is narrower is judged by `faults_of_narrowing`, not here."""
    if items is not None:
        asked = {term.item.lower(): term.mask for term in wish.items}
        terms, faults = _terms(dataset, [(name, mask or asked.get(name.lower())) for name, mask in items], masks)
        if faults:
            raise InputInvalid(*faults)
        wish = replace(wish, items=terms)
    if division is not None:
        if dataset.division_item is None:
            raise InputInvalid.because("rows-not-cuttable", dataset=dataset.id)
        wish = replace(wish, rows=DivisionRows(item=dataset.division_item, division=division))
    if condition is not None:
        added = in_form(condition, dataset)
        kept = [one for one in wish.condition if not any(implies(other, one) for other in added)]
        wish = replace(wish, condition=(*kept, *added))
    if subjects is not None:
        wish = replace(wish, subjects=_named_as_in(dataset, subjects))
    if mode is Mode.AGGREGATE_ONLY and wish.k is None and k is None:
        k = (limits or term_limits()).least_k
    if mode is not None:
        wish = replace(
            wish, mode=mode, k=wish.k if mode is Mode.AGGREGATE_ONLY else None, noised=wish.noised if mode is Mode.NOISED else None
        )
    if noised is not None and wish.mode is not Mode.NOISED:
        raise InputInvalid.because("noised-without-mode", mode=wish.mode.value)
    if wish.mode is Mode.NOISED:
        wish = replace(wish, noised=complete(noised, wish.noised, dataset, limits or term_limits()))
    if k is not None:
        wish = replace(wish, k=k)
    if quota is not None:
        wish = replace(wish, quota=quota)
    if linkage is not None:
        wish = replace(wish, linkage=_linkage(linkage))
    return wish if until is None else replace(wish, until=until)


def _linkage(written: Linkage | str) -> Linkage | str:
    return next((known for known in Linkage if known == written), written)


def _named_as_in(dataset: Dataset, subjects: SubjectRows | None) -> SubjectRows | None:
    """The same, its item named as in the entry."""
    item = None if subjects is None else dataset.item(subjects.item)
    return subjects if subjects is None or item is None else replace(subjects, item=item.name)


def _terms(
    dataset: Dataset, items: Iterable[WishedItem], masks: MaskRules | None
) -> tuple[tuple[ItemTerm, ...], list[Reason]]:
    terms: list[ItemTerm] = []
    faults: list[Reason] = []
    for name, mask in items:
        item = dataset.item(name)
        if item is None:
            faults.append(Reason("item-unknown", {"dataset": dataset.id, "item": name}))
        else:
            terms.append(ItemTerm(item=item.name, mask=default_mask(item, masks) if mask is None else mask))
    return tuple(terms), faults


def faults_of_wish(
    wish: Wish, dataset: Dataset, *, divisions: DivisionTree, today: date, limits: TermLimits | None = None
) -> tuple[Reason, ...]:
    """Everything that makes a wish impossible, whoever asks and whatever is shared."""
    limits = limits or term_limits()
    faults: list[Reason] = []
    if wish.purpose.code not in purposes():
        faults.append(Reason("purpose-unknown", {"purpose": wish.purpose.code, "known": ", ".join(purposes())}))
    if not wish.items:
        faults.append(Reason("terms-without-items"))
    seen: set[str] = set()
    for term in wish.items:
        item = next((candidate for candidate in dataset.items if candidate.name == term.item), None)
        if item is None:
            faults.append(Reason("item-unknown", {"dataset": dataset.id, "item": term.item}))
            continue
        if term.item in seen:
            faults.append(Reason("terms-item-twice", {"item": term.item}))
        seen.add(term.item)
        try:
            check_mask(item, term.mask)
        except HuitongError as error:
            faults.extend(error.reasons)
    if wish.rows is not None:
        if dataset.division_item is None:
            faults.append(Reason("rows-not-cuttable", {"dataset": dataset.id}))
        elif wish.rows.item != dataset.division_item:
            about = {"dataset": dataset.id, "item": wish.rows.item, "division_item": dataset.division_item}
            faults.append(Reason("rows-item-wrong", about))
        if wish.rows.division not in divisions.codes_under(wish.rows.division, today):
            faults.append(Reason("division-unknown", {"division": wish.rows.division}))
    faults += faults_of_comparisons(wish.condition, dataset, limits)
    faults += _faults_of_subjects(wish.subjects, dataset, limits)
    faults += _faults_of_mode(wish, dataset, limits)
    faults += _faults_of_quota(wish.quota, limits)
    if wish.linkage not in tuple(Linkage) and _GROUP.fullmatch(wish.linkage) is None:
        faults.append(Reason("linkage-name-invalid"))
    if wish.until < today:
        faults.append(Reason("until-passed", {"until": wish.until.isoformat(), "today": today.isoformat()}))
    if wish.until > LATEST_DAY:
        faults.append(Reason("until-out-of-range", {"until": wish.until.isoformat()}))
    return tuple(faults)


def _faults_of_subjects(subjects: SubjectRows | None, dataset: Dataset, limits: TermLimits) -> list[Reason]:
    if subjects is None:
        return []
    item = next((candidate for candidate in dataset.items if candidate.name == subjects.item), None)
    if item is None:
        return [Reason("item-unknown", {"dataset": dataset.id, "item": subjects.item})]
    faults = []
    if item.type is not ItemType.TEXT:
        faults.append(Reason("subjects-item-not-text", {"item": item.name, "type": item.type.value}))
    if subjects.count > limits.subjects:
        faults.append(Reason("subjects-too-many", {"subjects": subjects.count, "limit": limits.subjects}))
    return faults


def _faults_of_mode(wish: Wish, dataset: Dataset, limits: TermLimits) -> list[Reason]:
    if wish.mode is not Mode.AGGREGATE_ONLY and wish.k is not None:
        return [Reason("k-without-totals", {"mode": wish.mode.value})]
    if wish.mode is Mode.NOISED:
        return faults_of_noise(wish, dataset, limits.noised)
    if wish.mode is Mode.ROWS:
        return []
    faults = []
    if wish.k is None or not limits.least_k <= wish.k <= limits.most_k:
        faults.append(Reason("k-out-of-range", {"k": wish.k or 0, "least": limits.least_k, "most": limits.most_k}))
    if not entity_items(dataset):
        faults.append(Reason("totals-without-entity", {"dataset": dataset.id, "provider": dataset.provider}))
    return faults


def entity_items(dataset: Dataset) -> tuple[str, ...]:
    """The items that tell one entity from another: its key item, else its primary key; empty if it has neither."""
    return (dataset.key,) if dataset.key is not None else dataset.primary_key


def _faults_of_quota(quota: Quota | None, limits: TermLimits) -> list[Reason]:
    if quota is None or all((limit or 0) <= limits.quota for limit in _limits_of(quota).values()):
        return []
    return [Reason("quota-too-large", {"limit": limits.quota})]


def _limits_of(quota: Quota) -> dict[str, int | None]:
    return {"rows": quota.rows, "queries": quota.queries, "calls": quota.calls}


def told_terms(terms: Wish | Terms) -> tuple[ItemTerm, ...]:
    """What leaves, by its grade: the items with their masks, and clear those that a condition or a list of subjects tells about, since
    every row that comes says of itself that it passed."""
    clear = {term.item.lower() for term in terms.items if term.mask.kind is MaskKind.CLEAR}
    told = {name.lower(): name for name in rule_items(terms) if name.lower() not in clear}
    kept = [term for term in terms.items if term.item.lower() not in told]
    return (*kept, *(ItemTerm(name, _CLEAR) for _, name in sorted(told.items())))


def rule_items(terms: Wish | Terms) -> tuple[str, ...]:
    """The items that a condition or a list of subjects reads: every row that comes tells something of them."""
    subjects = () if terms.subjects is None else (terms.subjects.item,)
    return tuple(dict.fromkeys((*(one.item for one in terms.condition), *subjects)))


def weaker_than_default(wish: Wish, dataset: Dataset, masks: MaskRules | None = None) -> tuple[str, ...]:
    """The items of which the wish shows more than the default mask of their grade and meaning, or what cannot be compared with it: by
    its own mask, or by a condition or a list of subjects that tells what the mask would hide."""
    weaker = []
    for term in told_terms(wish):
        item = dataset.item(term.item)
        if item is not None and not stricter_or_equal(term.mask, default_mask(item, masks)):
            weaker.append(term.item)
    return tuple(weaker)


def faults_of_narrowing(
    agreed: Wish, asked: Wish, *, divisions: DivisionTree, today: date, lists: SubjectLists | None = None
) -> tuple[Reason, ...]:
    """Every way in which what a reviewer agrees to goes beyond what was asked: a reviewer may only narrow. What cannot be shown to be
    narrower counts as wider; without `lists`, so does another list of subjects than the one asked for."""
    faults: list[Reason] = []
    if agreed.dataset != asked.dataset:
        faults.append(Reason("narrowing-other-dataset", {"dataset": asked.dataset}))
    if agreed.purpose != asked.purpose:
        faults.append(Reason("narrowing-other-purpose", {"purpose": asked.purpose.code}))
    if agreed.kind is not asked.kind:
        faults.append(Reason("narrowing-other-kind", {"kind": asked.kind.value}))
    if _MODES.index(agreed.mode) < _MODES.index(asked.mode):
        faults.append(Reason("narrowing-other-mode", {"mode": asked.mode.value}))
    if asked.k is not None and agreed.mode is asked.mode and (agreed.k is None or agreed.k < asked.k):
        faults.append(Reason("narrowing-k-smaller", {"k": asked.k}))
    if asked.noised is not None and not narrower_noise(agreed.noised, asked.noised):
        faults.append(Reason("narrowing-budget-larger", {"epsilon": epsilon_text(asked.noised.epsilon)}))
    wished = {term.item: term.mask for term in asked.items}
    for term in agreed.items:
        if term.item not in wished:
            faults.append(Reason("narrowing-item-added", {"item": term.item}))
        elif not stricter_or_equal(term.mask, wished[term.item]):
            faults.append(Reason("narrowing-mask-weaker", {"item": term.item, "mask": term.mask.kind.value}))
    if asked.rows is not None and not _rows_within(agreed.rows, asked.rows, divisions, today):
        faults.append(Reason("narrowing-rows-wider", {"division": asked.rows.division}))
    for one in asked.condition:
        if not any(implies(other, one) for other in agreed.condition):
            faults.append(Reason("narrowing-condition-looser", {"item": one.item, "comparator": one.comparator.value}))
    if asked.subjects is not None and not _subjects_within(agreed.subjects, asked.subjects, lists):
        faults.append(Reason("narrowing-subjects-others", {"item": asked.subjects.item, "subjects": asked.subjects.count}))
    if asked.quota is not None and not _quota_within(agreed.quota, asked.quota):
        faults.append(Reason("narrowing-quota-wider", {"period": asked.quota.period.value}))
    if agreed.linkage != asked.linkage and agreed.linkage != Linkage.ALONE:
        faults.append(Reason("narrowing-linkage-other"))
    if agreed.until > asked.until:
        faults.append(Reason("narrowing-until-later", {"until": asked.until.isoformat()}))
    return tuple(faults)


def _subjects_within(agreed: SubjectRows | None, asked: SubjectRows, lists: SubjectLists | None) -> bool:
    if agreed is None or agreed.item != asked.item:
        return False
    return agreed == asked or (lists is not None and lists.contained(agreed, asked))


def _quota_within(agreed: Quota | None, asked: Quota) -> bool:
    """Whether no use that `agreed` lets through exceeds `asked`. A limit over a longer period holds over each shorter one in it; one over
    a day holds over a month if that many days of it fit."""
    if agreed is None:
        return False
    mine, wanted = _limits_of(agreed), _limits_of(asked)
    times = 1
    if _PERIODS.index(agreed.period) < _PERIODS.index(asked.period):
        if (agreed.period, asked.period) != (QuotaPeriod.DAY, QuotaPeriod.MONTH):
            return False
        times = _DAYS_OF_A_MONTH
    return all(
        limit is None or ((own := mine[what]) is not None and own * times <= limit) for what, limit in wanted.items()
    )


def _rows_within(agreed: DivisionRows | None, asked: DivisionRows, divisions: DivisionTree, today: date) -> bool:
    if agreed is None or agreed.item != asked.item:
        return False
    return agreed.division == asked.division or agreed.division in divisions.codes_under(asked.division, today)


def reasons_for_weaker(
    items: Sequence[str], code: str, dataset: Dataset, masks: MaskRules | None = None
) -> tuple[Reason, ...]:
    """One reason for each item whose mask is weaker than the default, naming the default."""
    reasons = []
    for name in items:
        item = dataset.item(name)
        if item is not None:
            reasons.append(Reason(code, {"item": name, "default": default_mask(item, masks).kind.value}))
    return tuple(reasons)
