"""What an entry must hold before it may stand in the catalogue: rules that look at entries alone, each fault with its reason."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache

from license_expression import get_spdx_licensing

from huitong.errors import Reason
from huitong.model.catalog import Dataset, Grade, Openness, Sharing, Visibility
from huitong.model.party import Office

CLASSIFICATION = re.compile(r"[1-3]-?\d{2}-?\d{3}[\d-]*/\d+", re.ASCII)
"""The guide of 2017: class (1 basic, 2 thematic, 3 of an office), item of 2 digits, entry of 3, sub-entry of any length, `/`,
serial. Hyphens may stand between the parts."""
DIVISION_CODE = re.compile(r"\d{12}", re.ASCII)

Floors = Callable[[Dataset, Mapping[str, Dataset]], tuple[Reason, ...]]
"""What the grading scheme finds wrong with the grades of an entry, given the entries that it was made of, by id."""


def no_floors(dataset: Dataset, sources: Mapping[str, Dataset]) -> tuple[Reason, ...]:  # noqa: ARG001 - a `Floors`
    """No grading scheme: every grade is taken as it is stated."""
    return ()


@cache
def is_spdx_licence(text: str) -> bool:
    """Whether the text is one licence, or an expression of several, of the SPDX list."""
    try:
        errors: list[str] = get_spdx_licensing().validate(text, strict=True).errors
    except Exception:  # whatever the parser stumbles over is not an expression
        return False
    return bool(text.strip()) and not errors


def offices_of(dataset: Dataset) -> tuple[str, ...]:
    """Every office that an entry names, each once: managing, collecting, collecting an item, and those that may know of it."""
    collectors = [item.collector for item in dataset.items if item.collector is not None]
    return tuple(dict.fromkeys((dataset.provider, dataset.collector, *collectors, *dataset.known_to)))


def sources_of(dataset: Dataset) -> tuple[str, ...]:
    """Every dataset that an entry says it was made of, whole or by an item, each once; itself left out."""
    named = (*dataset.derived_from, *(source.partition("#")[0] for item in dataset.items for source in item.derived_from))
    return tuple(name for name in dict.fromkeys(named) if name != dataset.id)


def faults_of_entry(
    dataset: Dataset,
    offices: Mapping[str, Office | None],
    *,
    sources: Mapping[str, Dataset] | None = None,
    floors: Floors = no_floors,
    today: date | None = None,
) -> tuple[Reason, ...]:
    """Everything that keeps an entry from being published.

    `offices` holds the offices it names, None where there is none; `sources` the entries it was made of, as far as the
    publishing office may know of them; `today` tells offices that are no more, if given."""
    sources = sources or {}
    return tuple(
        dict.fromkeys(
            (
                *_offices(dataset, offices, today),
                *_codes(dataset),
                *floors(dataset, sources),
                *_openness(dataset),
                *_visibility(dataset),
                *_lineage(dataset, sources),
            )
        )
    )


def _offices(dataset: Dataset, offices: Mapping[str, Office | None], today: date | None) -> list[Reason]:
    faults = [Reason("office-unknown", {"office": office}) for office in offices_of(dataset) if offices.get(office) is None]
    for name in dict.fromkeys((dataset.provider, dataset.collector)):
        office = offices.get(name)
        if office is not None and today is not None and office.valid_to is not None and office.valid_to <= today:
            day, successor = office.valid_to.isoformat(), office.successor or "-"
            faults.append(Reason("office-ended", {"office": name, "day": day, "successor": successor}))
    return faults


def _codes(dataset: Dataset) -> list[Reason]:
    faults = []
    if CLASSIFICATION.fullmatch(dataset.classification) is None:
        faults.append(Reason("classification-invalid", {"dataset": dataset.id, "code": dataset.classification}))
    for code in dataset.related:
        if CLASSIFICATION.fullmatch(code) is None or code == dataset.classification:
            faults.append(Reason("related-code-invalid", {"dataset": dataset.id, "code": code}))
    if dataset.spatial is not None and DIVISION_CODE.fullmatch(dataset.spatial) is None:
        faults.append(Reason("spatial-invalid", {"dataset": dataset.id, "code": dataset.spatial}))
    names = [name.lower() for name in dataset.primary_key]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            faults.append(Reason("primary-key-item-twice", {"dataset": dataset.id, "item": name}))
    return faults


def _openness(dataset: Dataset) -> list[Reason]:
    faults = []
    if dataset.openness is Openness.OPEN:
        if dataset.sharing is not Sharing.UNCONDITIONAL:
            faults.append(Reason("open-but-not-shared", {"dataset": dataset.id, "sharing": dataset.sharing.value}))
        for item in dataset.items:
            if item.grade > Grade.PUBLIC:
                faults.append(Reason("open-but-graded", {"item": item.name, "grade": item.grade}))
    elif dataset.openness is Openness.CONDITIONAL:
        if dataset.sharing is Sharing.NOT_SHARED:
            faults.append(Reason("open-but-not-shared", {"dataset": dataset.id, "sharing": dataset.sharing.value}))
        if dataset.openness_condition is None:
            faults.append(Reason("openness-condition-missing", {"dataset": dataset.id}))
    if dataset.licence is not None:
        if dataset.openness is Openness.NOT_OPEN:
            faults.append(Reason("licence-but-not-open", {"dataset": dataset.id, "licence": dataset.licence}))
        if not is_spdx_licence(dataset.licence):
            faults.append(Reason("licence-unknown", {"dataset": dataset.id, "licence": dataset.licence}))
    return faults


def _visibility(dataset: Dataset) -> list[Reason]:
    faults = []
    if dataset.visibility is not Visibility.EVERYONE and dataset.openness is not Openness.NOT_OPEN:
        parameters = {"dataset": dataset.id, "openness": dataset.openness.value, "visibility": dataset.visibility.value}
        faults.append(Reason("open-but-hidden", parameters))
    if dataset.visibility is Visibility.NAMED and dataset.sharing is Sharing.UNCONDITIONAL:
        faults.append(Reason("unconditional-but-hidden", {"dataset": dataset.id}))
    return faults


def _lineage(dataset: Dataset, sources: Mapping[str, Dataset]) -> list[Reason]:
    faults = []
    for name in sources_of(dataset):
        if name not in sources:
            faults.append(Reason("lineage-source-unknown", {"dataset": dataset.id, "source": name}))
    for item in dataset.items:
        for reference in item.derived_from:
            name, _, made_of = reference.partition("#")
            source = dataset if name == dataset.id else sources.get(name)
            if source is not None and (source.item(made_of) is None or (source is dataset and source.item(made_of) == item)):
                faults.append(Reason("lineage-item-unknown", {"item": item.name, "source": reference}))
    return faults


def faults_of_change(
    old: Dataset, new: Dataset, *, has_snapshot: bool, allow_changes: frozenset[str] = frozenset()
) -> tuple[Reason, ...]:
    """Why an entry may not take the place of another of the same id: grants and snapshots still speak of the old one's items.

    `allow_changes` names items that may go or change their type all the same, because a person said so."""
    faults = []
    if has_snapshot:
        for item in old.items:
            successor = next((candidate for candidate in new.items if candidate.name == item.name), None)
            if item.name in allow_changes:
                continue
            if successor is None:
                faults.append(Reason("item-of-snapshot-gone", {"dataset": old.id, "item": item.name}))
            elif successor.type is not item.type:
                faults.append(
                    Reason("item-of-snapshot-retyped", {"dataset": old.id, "item": item.name, "type": item.type.value})
                )
        if new.division_item != old.division_item:
            faults.append(Reason("division-item-changed", {"dataset": old.id, "item": old.division_item or "-"}))
    return tuple(faults)
