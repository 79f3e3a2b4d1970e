"""How high a wish stands: grades of what would leave, what they ask for, and whether it may be asked for at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from huitong.catalog.publish import refuse_unless_officer
from huitong.errors import InputInvalid, Reason, Refused
from huitong.model.catalog import Dataset, Openness, Sharing
from huitong.model.party import Actor, Role
from huitong.model.policy import GrantState
from huitong.model.sharing import RequestKind, Wish
from huitong.policy.grading import (
    BelowDefault,
    EffectiveGrade,
    effective_grade,
    grade_of_terms,
    grants_below,
    mode_fault,
    sources_of,
)
from huitong.sharing.deadline import local_day
from huitong.sharing.parts import SharingParts
from huitong.sharing.wishes import faults_of_wish, reasons_for_weaker, told_terms, weaker_than_default


def shared_as(dataset: Dataset, kind: RequestKind) -> Sharing:
    """By which manner of sharing a request of that kind is answered: its sharing type between offices, its openness for the public."""
    if kind is RequestKind.SHARING:
        return dataset.sharing
    opened = {Openness.OPEN: Sharing.UNCONDITIONAL, Openness.CONDITIONAL: Sharing.CONDITIONAL, Openness.NOT_OPEN: Sharing.NOT_SHARED}
    return opened[dataset.openness]


@dataclass(frozen=True, kw_only=True)
class Judging(SharingParts):
    """Questions about grades, and the checks of a wish."""

    def effective_grade(self, dataset: Dataset) -> EffectiveGrade:
        """The grade of the dataset as a whole, by its items, their lineage, what they are together, and its current snapshot. Its
        reasons may name sources that not everybody may know of."""
        rows = self._persons_at_most(dataset)
        return effective_grade(dataset, sources=self._sources([dataset]), rows=rows, scheme=self.grading)

    def grade_of_wish(self, wish: Wish, dataset: Dataset, *, office: str) -> EffectiveGrade:
        """The grade of what the wish would let leave to the office, behind its masks: what reviewers and modes go by. What the office
        holds of the dataset already counts towards combinations: asking part by part is asking for the whole."""
        now = self.clock()
        standing = [
            term
            for grant in self.sharing.grants_of_office(office, [dataset.id])
            if grant.state is not GrantState.REVOKED and now < grant.terms.valid_until
            for term in told_terms(grant.terms)
        ]
        return grade_of_terms(
            dataset,
            told_terms(wish),
            held=standing,
            sources=self._sources([dataset]),
            rows=self._persons_at_most(dataset),
            scheme=self.grading,
        )

    def reviewers_of_wish(self, wish: Wish, *, office: str) -> int:
        """How many different reviewers must agree to the wish of the office; 0 if it is granted, or refused, by rule."""
        dataset = self._dataset(wish.dataset)
        grade = self.grading.at(self.grade_of_wish(wish, dataset, office=office).grade)
        manner = shared_as(dataset, wish.kind)
        by_rule = manner is Sharing.NOT_SHARED or (manner is Sharing.UNCONDITIONAL and grade.at_once)
        return 0 if by_rule else grade.reviewers

    def grants_below(self, dataset_id: str, *, by: Actor) -> tuple[BelowDefault, ...]:
        """The standing grants over the dataset that show more of an item than its default mask of today, e.g. since its grade was
        raised: for a data officer or reviewer of the managing office to look at. None is changed.

        Raises NotFound `dataset-unknown`; Refused `role-missing`, `dataset-of-other-office`."""
        dataset = self._known_dataset(dataset_id, by)
        if by.office != dataset.provider or not by.has(Role.REVIEWER):
            refuse_unless_officer(by, dataset.provider, dataset.id)
        now = self.clock()
        grants = self.sharing.grants_of_dataset(dataset.id, (GrantState.PREPARING, GrantState.ACTIVE))
        return grants_below(dataset, [grant for grant in grants if now < grant.terms.valid_until], scheme=self.grading)

    def _persons_at_most(self, dataset: Dataset) -> int | None:
        """Rows of the current snapshot, where a scale of the scheme could be about it."""
        meanings = {item.meaning for item in dataset.items}
        if not any(scale.meanings & meanings for scale in self.grading.scales):
            return None
        snapshot = self.catalog.current_snapshot(dataset.id)
        return snapshot.rows if snapshot is not None else None

    def _sources(self, datasets: Sequence[Dataset]) -> Mapping[str, Dataset]:
        """The entries that these were derived from, and theirs; one question for each step of lineage."""
        found: dict[str, Dataset] = {}
        wanted = {name for dataset in datasets for name in sources_of(dataset)}
        while wanted:
            step = self.catalog.datasets(sorted(wanted))
            found.update(step)
            wanted = {name for dataset in step.values() for name in sources_of(dataset)} - found.keys()
        return found

    def _refusals_of_grade(self, wish: Wish, dataset: Dataset, grade: EffectiveGrade) -> list[Reason]:
        fault = mode_fault(grade, wish.mode, dataset.id, scheme=self.grading)
        return [fault] if fault is not None else []

    def _below_floor(self, wish: Wish, dataset: Dataset) -> tuple[Reason, ...]:
        weaker = weaker_than_default(wish, dataset, self.grading.masks)
        return reasons_for_weaker(weaker, "mask-below-floor", dataset, self.grading.masks)

    def _check_wish(self, wish: Wish, *, by: Actor) -> tuple[Dataset, EffectiveGrade]:
        """The entry and the grade of what would leave. Raises what `submit` raises for the wish of this actor."""
        today = local_day(self.clock(), self.time_zone)
        dataset = self._known_dataset(wish.dataset, by)
        self._refuse_if_closed(by, today)
        if faults := faults_of_wish(wish, dataset, divisions=self.divisions, today=today, limits=self.term_limits):
            raise InputInvalid(*faults)
        if wish.subjects is not None and (self.lists is None or not self.lists.contained(wish.subjects, wish.subjects)):
            raise InputInvalid.because("subjects-gone", dataset=dataset.id, item=wish.subjects.item)
        grade = self.grade_of_wish(wish, dataset, office=by.office)
        refusals = self._refusals_of_grade(wish, dataset, grade) + self._refusals_of_masks(wish, dataset)
        if refusals and shared_as(dataset, wish.kind) is not Sharing.NOT_SHARED:
            raise Refused(*refusals)
        return dataset, grade

    def _refusals_of_masks(self, wish: Wish, dataset: Dataset) -> list[Reason]:
        """What is shared without condition, and what is opened to the public, leaves through its default masks at least."""
        by_rule = wish.kind is RequestKind.OPENING or shared_as(dataset, wish.kind) is Sharing.UNCONDITIONAL
        return list(self._below_floor(wish, dataset)) if by_rule else []
