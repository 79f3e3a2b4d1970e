"""Names of the fixed choices and short sentences about masks, in the reader's language."""

from collections.abc import Mapping
from enum import Enum

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from huitong.model.catalog import Grade, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.party import Role
from huitong.model.policy import Mask, MaskKind
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
    Grade: {
        Grade.PUBLIC: _("Grade 1: public"),
        Grade.INTERNAL: _("Grade 2: internal"),
        Grade.SENSITIVE: _("Grade 3: sensitive"),
        Grade.HIGHLY_SENSITIVE: _("Grade 4: highly sensitive"),
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
    },
}

_GENERALISED: Mapping[str, str | Promise] = {
    "year": _("Year only"),
    "month": _("Month only"),
    "city": _("City only"),
    "county": _("County only"),
    "township": _("Township only"),
    "birth-year": _("Year of birth only"),
}


def label(choice: Enum) -> str:
    """The name of a choice."""
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
