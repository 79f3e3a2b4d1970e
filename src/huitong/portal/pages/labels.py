"""Names of the fixed choices and short sentences about masks, in the reader's language."""

from collections.abc import Mapping
from enum import Enum

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext, ngettext
from django.utils.translation import gettext_lazy as _

from huitong.catalog.ports import Facet
from huitong.model.catalog import (
    Dataset,
    Grade,
    ItemType,
    Openness,
    ResourceFormat,
    Sharing,
    SharingManner,
    UpdateCycle,
    Visibility,
)
from huitong.model.party import DivisionLevel, Role
from huitong.model.policy import Mask, MaskKind
from huitong.portal.doors import doors
from huitong.portal.pages.acting import title_of
from huitong.sharing.availability import AvailabilityKind

LABELS: Mapping[type[Enum], Mapping[Enum, str | Promise]] = {
    Sharing: {
        Sharing.UNCONDITIONAL: _("Shared unconditionally"),
        Sharing.CONDITIONAL: _("Shared conditionally"),
        Sharing.NOT_SHARED: _("Not shared"),
    },
    Openness: {
        Openness.OPEN: _("Open to the public"),
        Openness.CONDITIONAL: _("Open on conditions"),
        Openness.NOT_OPEN: _("Not open to the public"),
    },
    UpdateCycle: {
        UpdateCycle.REAL_TIME: _("Updated in real time"),
        UpdateCycle.DAILY: _("Updated daily"),
        UpdateCycle.WEEKLY: _("Updated weekly"),
        UpdateCycle.MONTHLY: _("Updated monthly"),
        UpdateCycle.QUARTERLY: _("Updated quarterly"),
        UpdateCycle.YEARLY: _("Updated yearly"),
        UpdateCycle.IRREGULAR: _("Updated irregularly"),
        UpdateCycle.ONCE: _("Collected once"),
    },
    DivisionLevel: {
        DivisionLevel.PROVINCE: _("Province"),
        DivisionLevel.CITY: _("City"),
        DivisionLevel.COUNTY: _("County"),
        DivisionLevel.TOWNSHIP: _("Township"),
        DivisionLevel.VILLAGE: _("Village"),
    },
    ResourceFormat: {
        ResourceFormat.DATABASE: _("Database"),
        ResourceFormat.SPREADSHEET: _("Spreadsheet"),
        ResourceFormat.TEXT: _("Text files"),
        ResourceFormat.DOCUMENT: _("Documents"),
        ResourceFormat.IMAGE: _("Images"),
        ResourceFormat.MEDIA: _("Sound and video"),
        ResourceFormat.GEOGRAPHIC: _("Geographic data"),
        ResourceFormat.SERVICE: _("Service"),
    },
    SharingManner: {
        SharingManner.QUERY: _("Governed query"),
        SharingManner.INTERFACE: _("Interface"),
        SharingManner.FILE: _("File"),
    },
    Visibility: {
        Visibility.EVERYONE: _("Everyone"),
        Visibility.OFFICES: _("Signed-in offices"),
        Visibility.NAMED: _("Named offices"),
    },
    ItemType: {
        ItemType.TEXT: _("Text"),
        ItemType.INTEGER: _("Whole number"),
        ItemType.DECIMAL: _("Decimal number"),
        ItemType.BOOLEAN: _("Yes or no"),
        ItemType.DATE: _("Date"),
        ItemType.INSTANT: _("Instant"),
    },
    AvailabilityKind: {
        AvailabilityKind.GRANTED: _("Your office may use it now"),
        AvailabilityKind.PREPARING: _("Your office's grant is being prepared"),
        AvailabilityKind.UNDER_REVIEW: _("Your office has asked"),
        AvailabilityKind.AT_ONCE: _("Your office can have it at once"),
        AvailabilityKind.NEEDS_APPROVAL: _("Needs approval"),
        AvailabilityKind.NOT_SHARED: _("Your office cannot have it"),
        AvailabilityKind.REFUSED: _("A rule stands against it"),
    },
    Role: {
        Role.ANALYST: _("Analyst"),
        Role.DATA_OFFICER: _("Data officer"),
        Role.REVIEWER: _("Reviewer"),
        Role.REGULATOR: _("Regulator"),
        Role.OPERATOR: _("Operator"),
    },
}
"""By kind first: two kinds may use the same value, e.g. `conditional`."""

COLOURS: Mapping[type[Enum], Mapping[Enum, str]] = {
    Sharing: {
        Sharing.UNCONDITIONAL: "green",
        Sharing.CONDITIONAL: "amber",
        Sharing.NOT_SHARED: "red",
    },
    Grade: {
        Grade.PUBLIC: "green",
        Grade.INTERNAL: "blue",
        Grade.SENSITIVE: "amber",
        Grade.HIGHLY_SENSITIVE: "red",
        Grade.IMPORTANT: "red",
        Grade.CORE: "red",
    },
}

FACETS: Mapping[Facet, str | Promise] = {
    Facet.SHARING: _("Sharing type"),
    Facet.GRADE: _("Grade"),
    Facet.LEVEL: _("Level of the office"),
    Facet.FAMILY: _("Kind of catalogue"),
    Facet.CYCLE: _("Update cycle"),
    Facet.OFFICE: _("Managing office"),
    Facet.DIVISION: _("Division of the office"),
    Facet.OPENNESS: _("Openness to the public"),
    Facet.MEANING: _("Meaning of an item"),
}
FAMILIES: Mapping[str, str | Promise] = {"1": _("Basic"), "2": _("Thematic"), "3": _("Departmental")}
"""The three families of the national guide, by the first digit of the classification code."""
_CHOICES: Mapping[Facet, type[Enum]] = {
    Facet.SHARING: Sharing,
    Facet.LEVEL: DivisionLevel,
    Facet.CYCLE: UpdateCycle,
    Facet.OPENNESS: Openness,
}


def is_value(facet: Facet, value: str) -> bool:
    """Whether a facet can have this value at all; what an address invents narrows nothing."""
    if facet is Facet.GRADE:
        return value in {str(int(one)) for one in Grade}
    if facet is Facet.FAMILY:
        return value in FAMILIES
    kind = _CHOICES.get(facet)
    return kind is None or value in {str(one.value) for one in kind}


def facet_title(facet: Facet) -> str:
    """What a facet is called."""
    return str(FACETS[facet])


def facet_value(facet: Facet, value: str) -> str:
    """What a value of a facet is called; the value itself if it is none."""
    if not is_value(facet, value):
        return value
    if facet is Facet.GRADE:
        return label(Grade(int(value)))
    if facet is Facet.FAMILY:
        return str(FAMILIES[value])
    if facet is Facet.OFFICE:
        return title_of(value)
    return label(_CHOICES[facet](value)) if facet in _CHOICES else value


def family_of(dataset: Dataset) -> str:
    """The family of the national guide that the entry's code names."""
    return facet_value(Facet.FAMILY, dataset.classification[:1])


_GENERALISED: Mapping[str, str | Promise] = {
    "year": _("Year only"),
    "month": _("Month only"),
    "city": _("City only"),
    "county": _("County only"),
    "township": _("Township only"),
    "birth-year": _("Year of birth only"),
}


def label(choice: Enum) -> str:
    """The name of a choice; a grade is called what the scheme in force calls it, with its rank where several are called the same."""
    if isinstance(choice, Grade):
        scheme = doors().grading
        entry = scheme.at(choice)
        title = entry.title.in_language(get_language() or "en")
        if sum(scheme.at(one) is entry for one in Grade) == 1:
            return title
        return gettext("%(title)s, rank %(rank)d") % {"rank": int(choice), "title": title}
    return str(LABELS[type(choice)][choice])


def colour(choice: Enum) -> str:
    """The colour that repeats what the name says."""
    return COLOURS[type(choice)][choice]


def mask_words(mask: Mask) -> str:
    """How an item leaves under a mask, e.g. "First 3 and last 4 characters"."""
    parameters = mask.parameters
    if mask.kind is MaskKind.PARTIAL:
        first, last = int(parameters.get("first", 0)), int(parameters.get("last", 0))
        if first and last:
            return gettext("First %(first)d and last %(last)d characters") % {"first": first, "last": last}
        if last:
            return ngettext("Last character", "Last %(last)d characters", last) % {"last": last}
        return ngettext("First character", "First %(first)d characters", first) % {"first": first}
    if mask.kind is MaskKind.GENERALISE:
        if "step" in parameters:
            return gettext("In steps of %(step)s") % {"step": parameters["step"]}
        return str(_GENERALISED.get(str(parameters.get("to")), gettext("Coarser value")))
    return {
        MaskKind.CLEAR: gettext("As it is"),
        MaskKind.HIDE: gettext("Hidden"),
        MaskKind.PSEUDONYM: gettext("Pseudonym"),
    }[mask.kind]
