"""The answer to "can I have it, how, by when", as a page tells it."""

from dataclasses import dataclass, field
from datetime import date

from django.utils import formats
from django.utils.translation import get_language, gettext, ngettext

from huitong.model.catalog import Dataset, Sharing
from huitong.model.party import Actor
from huitong.portal.api.language import sentence as sentence_of
from huitong.portal.doors import doors
from huitong.portal.pages.acting import title_of
from huitong.sharing.availability import AvailabilityKind
from huitong.sharing.deadline import answer_working_days


@dataclass
class Answer:
    """A headline, its colour, sentences, and facts as pairs of name and value."""

    colour: str
    headline: str
    sentences: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)


def answer_for_all(dataset: Dataset) -> Answer:
    """What holds for every office, told to someone who is not signed in."""
    provider = title_of(dataset.provider)
    if dataset.sharing is Sharing.UNCONDITIONAL:
        return Answer("green", gettext("Yes, at once, for any office that names a purpose and its legal basis."))
    if dataset.sharing is Sharing.NOT_SHARED:
        return Answer("red", gettext("No. It is not shared."), [_basis(dataset.sharing_basis)])
    return Answer(
        "amber",
        gettext("Yes, if %(office)s agrees.") % {"office": provider},
        [*_condition(dataset), _within(answer_working_days())],
    )


def answer_for_office(dataset: Dataset, actor: Actor) -> Answer:
    """What holds for the office of the actor, today."""
    found = doors().sharing.availability(dataset, actor=actor)
    provider, until, answer_by = title_of(dataset.provider), _day(found.until), _day(found.answer_by)
    numbers = ", ".join(found.grants)
    if found.kind is AvailabilityKind.GRANTED:
        facts = [(gettext("Grant"), numbers), (gettext("Last day of use"), until)]
        return Answer("green", gettext("Yes. Your office has a grant and can use it now."), [], facts)
    if found.kind is AvailabilityKind.PREPARING:
        sentence = gettext("The grant is made; its pseudonyms are being prepared. This takes minutes, not days.")
        return Answer("green", gettext("Yes, in a moment."), [sentence], [(gettext("Grant"), numbers)])
    if found.kind is AvailabilityKind.UNDER_REVIEW:
        facts = [(gettext("Request"), found.request or ""), (gettext("Answer due by"), answer_by)]
        headline = gettext("Your office has asked; %(office)s has yet to answer.") % {"office": provider}
        if found.endorsed:
            headline = gettext("Your office has asked; one of two reviewers of %(office)s has agreed.") % {"office": provider}
        return Answer("amber", headline, _provisional(found.provisional), facts)
    if found.kind is AvailabilityKind.REFUSED and actor.office == dataset.provider:
        return Answer("green", gettext("Your office manages it."), [sentence_of(found.reason(dataset), get_language() or "en")])
    if found.kind is AvailabilityKind.REFUSED:
        return Answer("red", gettext("No. A rule stands against it."), [sentence_of(found.reason(dataset), get_language() or "en")])
    if found.kind is AvailabilityKind.NOT_SHARED:
        return Answer("red", gettext("No. It is not shared."), [_basis(found.basis or "")])
    if found.kind is AvailabilityKind.AT_ONCE:
        sentence = gettext("Ask with a purpose and its legal basis; the grant is made by rule, with no one to wait for.")
        return Answer("green", gettext("Yes, at once."), [sentence])
    headline = gettext("Yes, if %(office)s agrees.") % {"office": provider}
    facts = [(gettext("If you ask today, answer due by"), answer_by)]
    sentences = [*_condition(dataset), _within(found.working_days or answer_working_days()), *_provisional(found.provisional)]
    if (found.reviewers or 1) > 1:
        two = gettext("All of it together needs %(reviewers)d reviewers, who must be different people; a part of it may need fewer.")
        sentences.append(two % {"reviewers": found.reviewers})
    return Answer("amber", headline, sentences, facts)


def _day(day: date | None) -> str:
    return formats.date_format(day, gettext("j F Y")) if day else ""


def _basis(basis: str) -> str:
    return gettext("Basis: %(basis)s") % {"basis": basis}


def _condition(dataset: Dataset) -> list[str]:
    if dataset.sharing_condition is None:
        return []
    return [gettext("Condition: %(condition)s") % {"condition": dataset.sharing_condition.in_language(get_language() or "en")}]


def _within(days: int) -> str:
    sentence = ngettext("The answer comes within %(days)d working day.", "The answer comes within %(days)d working days.", days)
    return sentence % {"days": days}


def _provisional(provisional: bool) -> list[str]:
    return [gettext("The holidays of that year are not announced yet, so the day may move.")] if provisional else []
