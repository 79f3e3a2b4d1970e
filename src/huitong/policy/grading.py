"""Grades: what they are called, what each asks for, and how the grade of a whole follows from its parts.

Items carry a rank (`Grade`, 1 to 6). A *scheme* (data: `grading_schemes/*.toml`, or the instance's own file) says which grade of
which standard stands at a rank and what it selects: default masks, how many reviewers, modes, storage. The *effective* grade of a
dataset, or of what is asked for together, is the highest of: its items; the least that their meanings allow; the sources they were
derived from, unless two people have agreed to a lowering; what meanings make together (`combinations.toml`); the scale in persons.

Pure: same arguments, same answer. Every rise says why, as reasons that can be shown."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from huitong.errors import Reason
from huitong.model.catalog import Dataset, Grade, Item
from huitong.model.policy import Grant, ItemTerm, Mask, MaskKind, Mode
from huitong.policy.default_masks import stricter_or_equal
from huitong.policy.schemes import (
    DEFAULT_SCHEME,
    MODES,
    OWN_SCHEME,
    WHOLE,
    Combination,
    GradingScheme,
    Lowering,
    LoweringManner,
    Scale,
    SchemeGrade,
    StorageRule,
    load_scheme,
    read_scheme,
    scheme,
    scheme_ids,
    scheme_in_force,
)

__all__ = [
    "DEFAULT_SCHEME",
    "MODES",
    "OWN_SCHEME",
    "WHOLE",
    "BelowDefault",
    "Combination",
    "EffectiveGrade",
    "GradingScheme",
    "Lowering",
    "LoweringManner",
    "Scale",
    "SchemeGrade",
    "StorageRule",
    "effective_grade",
    "floor_faults",
    "floor_of_meaning",
    "grade_of_items",
    "grade_of_terms",
    "grants_below",
    "item_grades",
    "load_scheme",
    "mode_fault",
    "read_scheme",
    "reviewers_needed",
    "scheme",
    "scheme_ids",
    "scheme_in_force",
    "sources_of",
    "storage_rule",
]


@dataclass(frozen=True)
class EffectiveGrade:
    """The grade of a whole, and everything that brings it there (never empty)."""

    grade: Grade
    because: tuple[Reason, ...]


# What a grade selects


def storage_rule(grade: Grade, *, scheme: GradingScheme | None = None) -> StorageRule:
    """How snapshots of that grade are kept."""
    return _scheme(scheme).at(grade).storage


def floor_of_meaning(meaning: str | None, *, scheme: GradingScheme | None = None) -> Grade:
    """The lowest grade with which an item of that meaning may be published."""
    return _scheme(scheme).floors.get(meaning or "", Grade.PUBLIC)


def reviewers_needed(grade: Grade, *, scheme: GradingScheme | None = None) -> int:
    """How many different reviewers must agree before it leaves."""
    return _scheme(scheme).at(grade).reviewers


def mode_fault(
    effective: EffectiveGrade, mode: Mode, dataset: str, *, scheme: GradingScheme | None = None
) -> Reason | None:
    """Why something of that grade may not leave in that mode; None if it may."""
    grade = _scheme(scheme).at(effective.grade)
    if not grade.modes:
        return Reason("grade-lets-nothing-leave", {"dataset": dataset, "grade": grade.code, "rank": int(effective.grade)})
    if mode.value not in grade.modes:
        modes = ", ".join(one for one in MODES if one in grade.modes)
        return Reason("mode-not-allowed", {"dataset": dataset, "grade": grade.code, "mode": mode.value, "modes": modes})
    return None


# The grade of a whole


def effective_grade(
    dataset: Dataset,
    *,
    sources: Mapping[str, Dataset] | None = None,
    rows: int | None = None,
    persons: int | None = None,
    scheme: GradingScheme | None = None,
) -> EffectiveGrade:
    """The grade of the dataset as a whole.

    `sources` holds the datasets it was derived from, and theirs, as far as they are in the catalogue. `rows` counts the rows of the
    current snapshot and stands for the persons in it, as their upper bound, unless `persons` is counted."""
    return _Judge(_scheme(scheme), dataset, sources or {}).whole(persons if persons is not None else rows)


def grade_of_items(
    dataset: Dataset,
    items: Collection[str],
    *,
    sources: Mapping[str, Dataset] | None = None,
    rows: int | None = None,
    persons: int | None = None,
    scheme: GradingScheme | None = None,
) -> EffectiveGrade:
    """The grade of these items together, each as it lies in the dataset; names in any letter case, unknown ones do not count."""
    wanted = {name.lower() for name in items}
    chosen = [item for item in dataset.items if item.name.lower() in wanted]
    together = [(item, Mask(MaskKind.CLEAR)) for item in chosen]
    return _Judge(_scheme(scheme), dataset, sources or {}).together(together, persons if persons is not None else rows)


def item_grades(
    dataset: Dataset, *, sources: Mapping[str, Dataset] | None = None, scheme: GradingScheme | None = None
) -> dict[str, Grade]:
    """The effective grade of each item by its name: its own, that of its meaning, those of its sources."""
    judge = _Judge(_scheme(scheme), dataset, sources or {})
    return {item.name: judge.grade_of(item) for item in dataset.items}


def grade_of_terms(
    dataset: Dataset,
    terms: Iterable[ItemTerm],
    *,
    held: Iterable[ItemTerm] = (),
    sources: Mapping[str, Dataset] | None = None,
    rows: int | None = None,
    persons: int | None = None,
    scheme: GradingScheme | None = None,
) -> EffectiveGrade:
    """The grade of what leaves: items with their masks. What is hidden does not leave; what leaves through its default mask or a
    stricter one counts as what the scheme says of it (`masked_as`).

    `held` are terms that the same office holds already: a combination that is completed by asking for its parts one after the other
    counts as if they were asked for together; what they are by themselves does not count again."""

    def leaving(asked: Iterable[ItemTerm]) -> list[tuple[Item, Mask]]:
        return [(item, term.mask) for term in asked if (item := dataset.item(term.item)) and term.mask.kind is not MaskKind.HIDE]

    judge = _Judge(_scheme(scheme), dataset, sources or {})
    return judge.together(leaving(terms), persons if persons is not None else rows, leaving(held))


def floor_faults(
    dataset: Dataset, sources: Mapping[str, Dataset], *, scheme: GradingScheme | None = None
) -> tuple[Reason, ...]:
    """Every way in which the grades of an entry lie below what its meanings and its sources ask for. `sources` as above; a source
    that is not in it is not judged (that it exists is the catalogue's own check)."""
    return _Judge(_scheme(scheme), dataset, sources).faults()


def sources_of(dataset: Dataset) -> tuple[str, ...]:
    """Ids of the datasets that it, or one of its items, was made of."""
    named = (*dataset.derived_from, *(source.partition("#")[0] for item in dataset.items for source in item.derived_from))
    return tuple(dict.fromkeys(one for one in named if one != dataset.id))


@dataclass(frozen=True)
class BelowDefault:
    """A grant that shows more of an item than a request would get by default today."""

    grant: str
    using_office: str
    item: str
    mask: Mask
    default: Mask


def grants_below(
    dataset: Dataset, grants: Iterable[Grant], *, scheme: GradingScheme | None = None
) -> tuple[BelowDefault, ...]:
    """For an officer who raised a grade: where standing grants show more than the default of today. Nothing is changed by it."""
    below = []
    masks = _scheme(scheme).masks
    for grant in grants:
        for term in grant.terms.items if grant.dataset == dataset.id else ():
            item = dataset.item(term.item)
            if item is not None and not stricter_or_equal(term.mask, default := masks.mask(item)):
                below.append(BelowDefault(grant.id, grant.using_office, item.name, term.mask, default))
    return tuple(below)


def _scheme(given: GradingScheme | None) -> GradingScheme:
    return given if given is not None else scheme(DEFAULT_SCHEME)


_Part = tuple[str, str]
"""An item of a dataset, or (with `*`) the dataset as a whole."""


class _Judge:
    """One judgement: the scheme, the dataset that is judged and the sources at hand.

    Grades flow along lineage as a fixed point over the parts that can be reached: they only rise and there are six of them, so
    circles and deep chains end."""

    def __init__(self, scheme: GradingScheme, dataset: Dataset, sources: Mapping[str, Dataset]) -> None:
        self.scheme = scheme
        self.dataset = dataset
        self._datasets = {**sources, dataset.id: dataset}
        self._lowered = {(one.dataset, one.item.lower()): one for one in scheme.lowerings}
        self._grades: dict[_Part, Grade] = {}

    def whole(self, persons: int | None) -> EffectiveGrade:
        """All items of the dataset, and the sources that its items are silent about."""
        together = self.together([(item, Mask(MaskKind.CLEAR)) for item in self.dataset.items], persons)
        found = [(together.grade, reason) for reason in together.because]
        for name, grade in self._silent(self.dataset):
            found.append(self._from_source(WHOLE, name, grade, "grade-by-source-dataset"))
        return EffectiveGrade(*_highest(found))

    def together(
        self, leaving: Sequence[tuple[Item, Mask]], persons: int | None, held: Sequence[tuple[Item, Mask]] = ()
    ) -> EffectiveGrade:
        """What these items, each behind its mask, are together, and with those held already."""
        if not leaving:
            return EffectiveGrade(Grade.PUBLIC, (Reason("grade-nothing-leaves", {"dataset": self.dataset.id}),))
        found: list[tuple[Grade, Reason]] = []
        for item, mask in leaving:
            grade, because = self._item(item)
            if self._is_masked(item, mask) and (counted := self._masked(grade)) < grade:
                about: dict[str, str | int] = {"item": item.name, "grade": int(counted), "mask": mask.kind.value}
                found.append((counted, Reason("grade-behind-mask", about)))
            else:
                found.extend((grade, reason) for reason in because)
        before = {combination.id: grade for combination, _, grade in self._made_by(held)}
        for combination, items, grade in self._made_by([*leaving, *held]):
            if grade > before.get(combination.id, 0):
                about = {"dataset": self.dataset.id, "items": ", ".join(items), "grade": int(grade), "basis": combination.source}
                found.append((grade, Reason("grade-by-combination", about)))
        meanings = {item.meaning for item, _ in leaving}
        for scale in self.scheme.scales:
            if persons is not None and persons > scale.persons and scale.meanings & meanings:
                about = {"dataset": self.dataset.id, "persons": scale.persons, "grade": int(scale.grade), "basis": scale.source}
                found.append((scale.grade, Reason("grade-by-scale", about)))
        return EffectiveGrade(*_highest(found))

    def grade_of(self, item: Item) -> Grade:
        """The effective grade of one item."""
        return self._item(item)[0]

    def faults(self) -> tuple[Reason, ...]:
        """What `floor_faults` tells."""
        dataset = self.dataset
        faults = []
        for item in dataset.items:
            floor = floor_of_meaning(item.meaning, scheme=self.scheme)
            if item.grade < floor:
                about: dict[str, str | int] = {"item": item.name, "grade": int(item.grade), "lowest": int(floor)}
                faults.append(Reason("grade-too-low", {**about, "meaning": item.meaning or ""}))
            for name in item.derived_from:
                source, _, part = name.partition("#")
                if source in self._datasets and self._datasets[source].item(part) is None:
                    faults.append(Reason("grade-source-item-unknown", {"item": item.name, "source": name}))
            for name, grade in self._sources(dataset, item):
                lowest = self._capped(dataset.id, item.name, grade)
                if item.grade < lowest:
                    about = {"item": item.name, "grade": int(item.grade), "source": name, "lowest": int(lowest)}
                    faults.append(Reason("grade-below-source", about))
        for name, grade in self._silent(dataset):
            lowest = self._capped(dataset.id, WHOLE, grade)
            if dataset.grade < lowest:
                about = {"dataset": dataset.id, "grade": int(dataset.grade), "source": name, "lowest": int(lowest)}
                faults.append(Reason("grade-below-source-dataset", about))
        return tuple(dict.fromkeys(faults))

    # Reasons of one item

    def _item(self, item: Item) -> tuple[Grade, tuple[Reason, ...]]:
        """The effective grade of one item: its own, that of its meaning, those of its sources."""
        found = [(item.grade, Reason("grade-by-item", {"item": item.name, "grade": int(item.grade)}))]
        floor = floor_of_meaning(item.meaning, scheme=self.scheme)
        if floor > item.grade:
            about: dict[str, str | int] = {"item": item.name, "meaning": item.meaning or "", "grade": int(floor)}
            found.append((floor, Reason("grade-by-meaning", about)))
        for name, grade in self._sources(self.dataset, item):
            found.append(self._from_source(item.name, name, grade, "grade-by-source"))
        return _highest(found)

    def _from_source(self, item: str, source: str, grade: Grade, code: str) -> tuple[Grade, Reason]:
        about: dict[str, str | int] = {"item": item, "dataset": self.dataset.id, "source": source}
        lowering = self._lowered.get((self.dataset.id, item.lower()))
        if lowering is not None and lowering.grade < grade:
            return lowering.grade, Reason("grade-lowered", {**about, "grade": int(lowering.grade), "basis": lowering.basis})
        return grade, Reason(code, {**about, "grade": int(grade)})

    def _is_masked(self, item: Item, mask: Mask) -> bool:
        """Whether it leaves through its default mask or a stricter one, and that is not clear."""
        default = self.scheme.masks.mask(replace(item, grade=self._item(item)[0]))
        return mask.kind is not MaskKind.CLEAR and stricter_or_equal(mask, default)

    def _made_by(self, leaving: Sequence[tuple[Item, Mask]]) -> Iterator[tuple[Combination, list[str], Grade]]:
        """The combinations that these make, and their grade: that of masked data only if every part leaves masked."""
        bare = {item.name for item, mask in leaving if not self._is_masked(item, mask)}
        for combination, items in self._combinations([item for item, _ in leaving]):
            yield combination, items, combination.grade if bare & set(items) else self._masked(combination.grade)

    def _masked(self, grade: Grade) -> Grade:
        masked = self.scheme.at(grade).masked_as
        return grade if masked is None else min(grade, masked)

    def _combinations(self, items: Sequence[Item]) -> Iterator[tuple[Combination, list[str]]]:
        """The combinations that these items make, with the items of each."""
        for combination in self.scheme.combinations:
            parts = [[item.name for item in items if item.meaning in part] for part in combination.all_of]
            if all(parts):
                yield combination, list(dict.fromkeys(name for part in parts for name in part))

    # Lineage

    def _sources(self, dataset: Dataset, item: Item) -> Iterator[tuple[str, Grade]]:
        """The items that it was made of, as far as they are known, with their effective grades."""
        for name in item.derived_from:
            part = self._part(name)
            if part is not None and part != (dataset.id, item.name):
                yield name, self._grade(part)

    def _silent(self, dataset: Dataset) -> Iterator[tuple[str, Grade]]:
        """The sources of a dataset some of whose items do not say what they were made of: they count as made of everything."""
        for name in self._silent_sources(dataset):
            yield name, self._grade((name, WHOLE))

    def _silent_sources(self, dataset: Dataset) -> tuple[str, ...]:
        if all(item.derived_from for item in dataset.items):
            return ()
        return tuple(name for name in sources_of(dataset) if name in self._datasets)

    def _part(self, name: str) -> _Part | None:
        dataset_id, _, item_name = name.partition("#")
        dataset = self._datasets.get(dataset_id)
        item = dataset.item(item_name) if dataset is not None else None
        return (dataset_id, item.name) if item is not None else None

    def _capped(self, dataset_id: str, item: str, grade: Grade) -> Grade:
        lowering = self._lowered.get((dataset_id, item.lower()))
        return grade if lowering is None else min(grade, lowering.grade)

    def _below(self, part: _Part) -> list[_Part]:
        """The parts that its grade follows from."""
        dataset = self._datasets[part[0]]
        if part[1] == WHOLE:
            return [(dataset.id, item.name) for item in dataset.items] + [(one, WHOLE) for one in self._silent_sources(dataset)]
        item = dataset.item(part[1])
        return [found for name in (item.derived_from if item else ()) if (found := self._part(name)) is not None]

    def _own(self, part: _Part) -> Grade:
        """What it has without lineage."""
        dataset = self._datasets[part[0]]
        item = dataset.item(part[1]) if part[1] != WHOLE else None
        if item is not None:
            return max(item.grade, floor_of_meaning(item.meaning, scheme=self.scheme))
        return max((one.grade for one, _ in self._combinations(dataset.items)), default=Grade.PUBLIC)

    def _grade(self, part: _Part) -> Grade:
        if part in self._grades:
            return self._grades[part]
        below: dict[_Part, list[_Part]] = {}
        waiting = [part]
        while waiting:
            one = waiting.pop()
            if one not in below:
                below[one] = self._below(one)
                waiting.extend(below[one])
        grades = {one: self._own(one) for one in below}
        rising = True
        while rising:
            rising = False
            for one in reversed(below):
                for source in below[one]:
                    # Only what comes from another dataset, or another item, can be lowered; a whole is never below its own items
                    inside = one[1] == WHOLE and source[0] == one[0]
                    grade = grades[source] if inside else self._capped(one[0], one[1], grades[source])
                    if grade > grades[one]:
                        grades[one], rising = grade, True
        self._grades.update(grades)
        return grades[part]


def _highest(found: Iterable[tuple[Grade, Reason]]) -> tuple[Grade, tuple[Reason, ...]]:
    """The highest grade and the reasons that reach it."""
    listed = list(found)
    highest = max(grade for grade, _ in listed)
    return highest, tuple(dict.fromkeys(reason for grade, reason in listed if grade == highest))
