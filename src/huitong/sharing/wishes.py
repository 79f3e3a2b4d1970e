"""What is asked and how a reviewer may narrow it. Pure: a wish is made, judged against the entry, and compared with another."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from huitong.errors import HuitongError, InputInvalid, Reason
from huitong.masks import check_mask
from huitong.model.catalog import Dataset
from huitong.model.policy import DivisionRows, ItemTerm, Mask, Mode, Purpose
from huitong.model.sharing import Wish
from huitong.policy.default_masks import MaskRules, default_mask, stricter_or_equal
from huitong.sharing.deadline import LATEST_DAY
from huitong.sharing.ports import DivisionTree
from huitong.sharing.purposes import purposes

WishedItem = tuple[str, Mask | None]
"""An item by name and the mask that is asked for; None asks for the default mask."""


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
) -> Wish:
    """A wish in the words of a form: item names in any letter case, default masks (`masks` of the scheme) filled in, rows by a
    division code.

    Raises InputInvalid with every `item-unknown`, or `rows-not-cuttable` if the dataset names no item that holds the division."""
    terms, faults = _terms(dataset, items, masks)
    if division is not None and dataset.division_item is None:
        faults.append(Reason("rows-not-cuttable", {"dataset": dataset.id}))
    if faults:
        raise InputInvalid(*faults)
    rows = DivisionRows(item=dataset.division_item, division=division) if division and dataset.division_item else None
    return Wish(
        dataset=dataset.id,
        purpose=Purpose(code=purpose, legal_basis=legal_basis),
        items=terms,
        rows=rows,
        mode=mode,
        until=until,
    )


def narrow_wish(
    wish: Wish,
    dataset: Dataset,
    *,
    items: Iterable[WishedItem] | None = None,
    division: str | None = None,
    until: date | None = None,
    masks: MaskRules | None = None,
) -> Wish:
    """What a reviewer states, put in the place of what was asked; what is not stated stays as asked, masks too.

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
    return wish if until is None else replace(wish, until=until)


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


def faults_of_wish(wish: Wish, dataset: Dataset, *, divisions: DivisionTree, today: date) -> tuple[Reason, ...]:
    """Everything that makes a wish impossible, whoever asks and whatever is shared."""
    faults: list[Reason] = []
    if wish.purpose.code not in purposes():
        faults.append(Reason("purpose-unknown", {"purpose": wish.purpose.code}))
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
    if wish.until < today:
        faults.append(Reason("until-passed", {"until": wish.until.isoformat(), "today": today.isoformat()}))
    if wish.until > LATEST_DAY:
        faults.append(Reason("until-out-of-range", {"until": wish.until.isoformat()}))
    return tuple(faults)


def weaker_than_default(wish: Wish, dataset: Dataset, masks: MaskRules | None = None) -> tuple[str, ...]:
    """The items whose wished mask shows more than the default mask of their grade and meaning, or cannot be compared with it."""
    weaker = []
    for term in wish.items:
        item = dataset.item(term.item)
        if item is not None and not stricter_or_equal(term.mask, default_mask(item, masks)):
            weaker.append(term.item)
    return tuple(weaker)


def faults_of_narrowing(agreed: Wish, asked: Wish, *, divisions: DivisionTree, today: date) -> tuple[Reason, ...]:
    """Every way in which what a reviewer agrees to goes beyond what was asked: a reviewer may only narrow."""
    faults: list[Reason] = []
    if agreed.dataset != asked.dataset:
        faults.append(Reason("narrowing-other-dataset", {"dataset": asked.dataset}))
    if agreed.purpose != asked.purpose:
        faults.append(Reason("narrowing-other-purpose", {"purpose": asked.purpose.code}))
    if agreed.mode is not asked.mode:
        faults.append(Reason("narrowing-other-mode", {"mode": asked.mode.value}))
    wished = {term.item: term.mask for term in asked.items}
    for term in agreed.items:
        if term.item not in wished:
            faults.append(Reason("narrowing-item-added", {"item": term.item}))
        elif not stricter_or_equal(term.mask, wished[term.item]):
            faults.append(Reason("narrowing-mask-weaker", {"item": term.item, "mask": term.mask.kind.value}))
    if asked.rows is not None and not _rows_within(agreed.rows, asked.rows, divisions, today):
        faults.append(Reason("narrowing-rows-wider", {"division": asked.rows.division}))
    if agreed.until > asked.until:
        faults.append(Reason("narrowing-until-later", {"until": asked.until.isoformat()}))
    return tuple(faults)


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
