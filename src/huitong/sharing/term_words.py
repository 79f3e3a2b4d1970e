"""Terms in words, for a person who signs: masks, comparisons, quotas, instants, in either language (`words/*/document.toml`)."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from huitong.errors import Reason
from huitong.model.catalog import Dataset
from huitong.model.policy import Comparator, Comparison, Mask, MaskKind, Mode, Quota, Terms, epsilon_text
from huitong.words import render


def said(key: str, language: str, **parameters: str | int) -> str:
    """The words of `document-{key}`."""
    return render(Reason(f"document-{key}", parameters), language)


def in_chinese(language: str) -> bool:
    """Whether a tag means Chinese."""
    return language.lower().startswith("zh")


def listed(parts: Iterable[str], language: str) -> str:
    """Several things, with the comma of the language between them."""
    return ("、" if in_chinese(language) else ", ").join(parts)


def named(name: str, title: str, language: str) -> str:
    """A name with its title behind it, in the brackets of the language."""
    return f"{name}（{title}）" if in_chinese(language) else f"{name} ({title})"


def padded(text: str, language: str) -> str:
    """A text to stand between Chinese characters: with a space on each side where it is not Chinese itself."""
    if not in_chinese(language) or not text:
        return text
    return " " * text[0].isascii() + text + " " * text[-1].isascii()


def day_words(day: date, language: str) -> str:
    """A day as the language writes it: `2026-12-01`, `2026年12月1日`."""
    return said("day", language, **_parts(day, language))


def instant_words(instant: datetime, time_zone: str, language: str) -> str:
    """An instant to the minute, by the wall clock of the instance."""
    local = instant.astimezone(ZoneInfo(time_zone))
    return said("instant", language, **_parts(local, language), time=f"{local:%H:%M}", zone=time_zone)


def _parts(day: date, language: str) -> dict[str, str]:
    wide = "" if in_chinese(language) else "02d"
    return {"year": f"{day:%Y}", "month": f"{day.month:{wide}}", "day": f"{day.day:{wide}}"}


def mask_words(mask: Mask, language: str) -> str:
    """How an item leaves."""
    parameters = dict(mask.parameters)
    if mask.kind is MaskKind.PARTIAL and set(parameters) == {"first", "last"}:
        return said("mask-partial", language, **parameters)
    if mask.kind is MaskKind.GENERALISE and set(parameters) == {"step"}:
        return said("mask-generalise-step", language, **parameters)
    if mask.kind is MaskKind.GENERALISE and set(parameters) == {"to"} and parameters["to"] in GENERALISED:
        return said(f"mask-generalise-{parameters['to']}", language)
    if parameters or mask.kind in (MaskKind.PARTIAL, MaskKind.GENERALISE):
        return said("mask-other", language, mask=mask.kind.value, parameters=", ".join(f"{k}={v}" for k, v in sorted(parameters.items())))
    return said(f"mask-{mask.kind.value}", language)


GENERALISED = ("year", "month", "city", "county", "township", "birth-year")
"""To what `generalise` can make a value coarser, by name."""


def items_of(dataset: Dataset, language: str) -> Mapping[str, str]:
    """The items of a dataset with their titles: `name (title)`."""
    return {item.name: named(item.name, item.title.in_language(language), language) for item in dataset.items}


def comparison_words(one: Comparison, dataset: Dataset, language: str) -> str:
    """One comparison, e.g. `amount (Amount) is at least 3000`."""
    item = padded(items_of(dataset, language).get(one.item, one.item), language).lstrip()
    if one.comparator in (Comparator.KNOWN, Comparator.MISSING):
        return said(f"comparison-{one.comparator.value}", language, item=item)
    return said(f"comparison-{one.comparator.value}", language, item=item, values=padded(listed(one.values, language), language)).strip()


def mode_words(terms: Terms, language: str) -> str:
    """What kind of answers there are."""
    if terms.mode is Mode.AGGREGATE_ONLY:
        return said("mode-aggregate-only", language, k=terms.k or 0)
    if terms.noised is not None:
        noised = terms.noised
        bounds = [said("noised-bound", language, item=one.item, lower=one.lower, upper=one.upper) for one in noised.bounds]
        return said(
            "mode-noised",
            language,
            epsilon=epsilon_text(noised.epsilon),
            together=epsilon_text(noised.together),
            rows=noised.rows_per_entity,
            bounds=said("noised-bounds", language, listed=listed(bounds, language)) if bounds else "",
        )
    return said("mode-rows", language)


def quota_words(quota: Quota | None, language: str) -> str:
    """How much may be used."""
    if quota is None:
        return said("quota-none", language)
    limits = {"rows": quota.rows, "queries": quota.queries, "calls": quota.calls}
    told = [said(f"quota-{name}", language, count=f"{limit:,}") for name, limit in limits.items() if limit is not None]
    return said(f"quota-per-{quota.period.value}", language, limits=listed(told, language))
