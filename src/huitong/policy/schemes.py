"""Grading schemes as data: what a grade is called and what it selects, read from TOML and checked.

A scheme ships in `grading_schemes/`; an instance may have its own file, alone or on the `base` of one that ships. What is wrong
with a file is told all at once, by the field; a higher grade never asks for less than a lower one."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from huitong.errors import InputInvalid, NotFound, Reason
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.codes import is_dataset_name, is_item_name
from huitong.model.policy import Mask, MaskKind
from huitong.model.text import BilingualText
from huitong.policy.default_masks import MaskRule, MaskRules, highest_first, shipped_rules, stricter_or_equal

DEFAULT_SCHEME = "gb-t-43697"
OWN_SCHEME = "own"
"""The setting that names the file `grading.toml` of the instance."""
MODES = ("rows", "aggregate-only", "noised")
"""The kinds of answer that a grade can allow; those of `model.policy.Mode` among them can be asked for."""
WHOLE = "*"
"""In a lowering: the dataset as a whole, where its items do not name the items they were made of."""
PERSONS_OF_A_LOWERING = 2
LONGEST_KEPT_DAYS = 36_525
LONGEST_CODE = 40
Value = TypeVar("Value")
_TYPES = tuple(kind.value for kind in ItemType)


@dataclass(frozen=True)
class StorageRule:
    """How snapshots of a grade are kept and where they may be read."""

    sandbox_level: int
    """The sandbox level that an engine process must have reached to read them (`huitong doctor` shows it)."""
    keep_days: int
    """Days for which a superseded snapshot is kept, unless its entry says so itself."""
    reject_rows_kept: bool
    """Whether the text of rejected rows may be kept for the officer; else only line numbers and reasons."""
    barrier: bool = False
    """Whether the engine may look at raw values only to mask them, before anything else that a statement says: costs a little."""


@dataclass(frozen=True)
class SchemeGrade:
    """One grade of a scheme."""

    code: str
    rank: Grade
    title: BilingualText
    meaning: BilingualText
    reviewers: int
    """How many different reviewers of the providing office must agree, where people review."""
    at_once: bool
    """Whether what is shared without condition may be granted by rule; else people review it too."""
    modes: frozenset[str]
    """Kinds of answer in which it may leave; none: it never leaves."""
    storage: StorageRule
    masked_as: Grade | None = None
    """What it counts as once it leaves through its default mask or a stricter one; None: as itself."""


class LoweringManner(StrEnum):
    """How derived data came to need less protection than what they were made of (GB/T 43697-2024 annex I)."""

    AGGREGATED = "aggregated"
    DE_IDENTIFIED = "de-identified"
    SAMPLED = "sampled"


@dataclass(frozen=True)
class Lowering:
    """Two people's word that a derived item may be graded below its sources, and why."""

    dataset: str
    item: str
    """Item name, or `*` for a dataset whose items do not name theirs."""
    grade: Grade
    """The least that it must still have."""
    manner: LoweringManner
    basis: str
    agreed_by: tuple[str, ...]
    agreed_on: date


@dataclass(frozen=True)
class Combination:
    """Meanings that together have a higher grade than each alone."""

    id: str
    all_of: tuple[frozenset[str], ...]
    grade: Grade
    source: str


@dataclass(frozen=True)
class Scale:
    """Above so many persons the whole has at least that grade."""

    persons: int
    meanings: frozenset[str]
    grade: Grade
    source: str


@dataclass(frozen=True)
class GradingScheme:
    """A scheme in force. Grades by rising rank; the last stands at rank 6, so that every rank has its grade."""

    id: str
    title: BilingualText
    source: str
    check_against_text: bool
    """Whether it was written without the text of its standard at hand: not to be relied on before somebody has compared."""
    grades: tuple[SchemeGrade, ...]
    floors: Mapping[str, Grade]
    """The lowest rank of an item, by its meaning."""
    foreign: Mapping[str, Mapping[str, Grade]]
    """Codes of other schemes: scheme -> code -> rank."""
    masks: MaskRules
    combinations: tuple[Combination, ...]
    scales: tuple[Scale, ...]
    lowerings: tuple[Lowering, ...] = ()

    def at(self, rank: Grade) -> SchemeGrade:
        """The grade that stands at a rank: the first at or above it (take the higher)."""
        return next(grade for grade in self.grades if grade.rank >= rank)

    def rank_of(self, code: str, *, scheme: str | None = None) -> Grade:
        """The rank of a grade's code, of this scheme or of another that it knows. Raises NotFound `grade-unknown`."""
        codes = {grade.code: grade.rank for grade in self.grades}
        if scheme is not None and scheme != self.id:
            codes = dict(self.foreign.get(scheme, {}))
        if code not in codes:
            raise NotFound.because("grade-unknown", grade=code, scheme=scheme or self.id, grades=", ".join(codes) or "-")
        return codes[code]

    def default_mask(self, item: Item) -> Mask:
        """The mask with which an item leaves unless another is agreed."""
        return self.masks.mask(item)


@cache
def scheme_ids() -> tuple[str, ...]:
    """The schemes that ship with Huitong."""
    folder = files(__package__) / "grading_schemes"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


@cache
def scheme(scheme_id: str = DEFAULT_SCHEME) -> GradingScheme:
    """A scheme that ships with Huitong. Raises NotFound `grading-scheme-unknown`."""
    if scheme_id not in scheme_ids():
        raise NotFound.because("grading-scheme-unknown", scheme=scheme_id, schemes=", ".join((*scheme_ids(), OWN_SCHEME)))
    return read_scheme((files(__package__) / "grading_schemes" / f"{scheme_id}.toml").read_text("utf-8"), file=f"{scheme_id}.toml")


def load_scheme(path: Path) -> GradingScheme:
    """The instance's own scheme. Raises NotFound `grading-file-missing`, InputInvalid with everything that is wrong with it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound.because("grading-file-missing", file=path.name) from None
    except UnicodeDecodeError:
        raise InputInvalid.because("grading-not-toml", file=path.name) from None
    return read_scheme(text, file=path.name)


def scheme_in_force(setting: str, own: Path) -> GradingScheme:
    """The scheme that the setting names: one that ships, or `own` for the file at `own`."""
    return load_scheme(own) if setting == OWN_SCHEME else scheme(setting)


@cache
def _shipped_combinations() -> tuple[tuple[Combination, ...], tuple[Scale, ...]]:
    read = _Reader("combinations.toml")
    written = tomllib.loads((files(__package__) / "combinations.toml").read_text("utf-8"))
    found = read.combinations(written, ()), read.scales(written, ())
    read.end()
    return found


def read_scheme(text: str, *, file: str = "grading.toml") -> GradingScheme:
    """A scheme from TOML. Raises InputInvalid with everything that is wrong, each by its field; `file` is named in it."""
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise InputInvalid.because("grading-not-toml", file=file) from None
    read = _Reader(file)
    base: GradingScheme | None = None
    if "base" in written:
        if written["base"] in scheme_ids():
            base = scheme(written["base"])
        else:
            read.wrong("base", " | ".join(scheme_ids()))
    read.only(written, "", _FIELDS)
    combinations, scales = (base.combinations, base.scales) if base else _shipped_combinations()
    found = GradingScheme(
        id=read.name(written, "id", base.id if base else None),
        title=read.both(written, "title", base.title if base else None),
        source=read.line(written, "source", base.source if base else None),
        check_against_text=read.flag(written, "check_against_text", base.check_against_text if base else False),
        grades=read.grades(written, base),
        floors={**(base.floors if base else {}), **read.ranks(written.get("floor", {}), "floor")},
        foreign={**(base.foreign if base else {}), **read.foreign(written.get("foreign", {}))},
        masks=read.masks(written.get("mask", []), base.masks if base else shipped_rules()),
        combinations=read.combinations(written, combinations),
        scales=read.scales(written, scales),
        lowerings=read.lowerings(written.get("lowering", [])),
    )
    read.end()
    return found


_FIELDS = frozenset((
    "base", "id", "title", "source", "check_against_text", "grade", "floor", "foreign", "mask", "combination", "scale", "lowering",
))  # fmt: skip
_GRADE_FIELDS = frozenset((
    "code", "rank", "title", "meaning", "reviewers", "at_once", "modes", "sandbox_level", "keep_days", "reject_rows_kept", "barrier",
    "masked_as",
))  # fmt: skip
_NO_TEXT = BilingualText(zh="-", en="-")
_PARAMETERS: Mapping[MaskKind, frozenset[frozenset[str]]] = {
    MaskKind.CLEAR: frozenset((frozenset(),)),
    MaskKind.HIDE: frozenset((frozenset(),)),
    MaskKind.PSEUDONYM: frozenset((frozenset(),)),
    MaskKind.PARTIAL: frozenset((frozenset(("first", "last")),)),
    MaskKind.GENERALISE: frozenset((frozenset(("to",)), frozenset(("step",)))),
}


class _Reader:
    """Takes values out of what TOML gave and remembers everything that is wrong; `end` raises it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Reason] = []

    def end(self) -> None:
        """Raise what was found."""
        if self.faults:
            raise InputInvalid(*dict.fromkeys(self.faults))

    def wrong(self, where: str, wanted: str) -> None:
        """A field that cannot be what it is; `wanted` is written so that both languages can read it."""
        self.faults.append(Reason("grading-field-invalid", {"file": self.file, "field": where, "wanted": wanted}))

    def missing(self, where: str) -> None:
        """A field that must be there."""
        self.faults.append(Reason("grading-field-missing", {"file": self.file, "field": where}))

    def only(self, written: Mapping[str, Any], where: str, known: Iterable[str]) -> None:
        """Nothing beside these."""
        for name in sorted(set(written) - set(known)):
            self.faults.append(Reason("grading-field-unknown", {"file": self.file, "field": f"{where}{name}"}))

    def take(
        self, written: Mapping[str, Any], name: str, where: str, fit: Callable[[Any], Value | None], wanted: str,
        spare: Value | None, none: Value,
    ) -> Value:
        """The field if it fits; the spare one where it is not stated; `none`, and a fault, otherwise."""
        if name not in written:
            if spare is None:
                self.missing(f"{where}{name}")
            return none if spare is None else spare
        found = fit(written[name])
        if found is None:
            self.wrong(f"{where}{name}", wanted)
            return none
        return found

    def line(self, written: Mapping[str, Any], name: str, spare: str | None = None, where: str = "") -> str:
        """Words."""
        return self.take(written, name, where, lambda v: v.strip() if isinstance(v, str) and v.strip() else None, "\"…\"", spare, "-")

    def name(self, written: Mapping[str, Any], name: str, spare: str | None = None, where: str = "") -> str:
        """A code: small letters, digits, hyphens."""

        def fit(value: Any) -> str | None:
            plain = isinstance(value, str) and value.replace("-", "a").isalnum() and value.isascii() and value == value.lower()
            return value if plain and len(value) <= LONGEST_CODE else None

        return self.take(written, name, where, fit, "a-z 0-9 -", spare, "-")

    def both(
        self, written: Mapping[str, Any], name: str, spare: BilingualText | None = None, where: str = ""
    ) -> BilingualText:
        """The two languages, Chinese first."""

        def fit(value: Any) -> BilingualText | None:
            if isinstance(value, list) and len(value) == 2 and all(isinstance(one, str) and one.strip() for one in value):
                return BilingualText(zh=value[0], en=value[1])
            return None

        return self.take(written, name, where, fit, '["中文", "English"]', spare, _NO_TEXT)

    def flag(self, written: Mapping[str, Any], name: str, spare: bool | None = None, where: str = "") -> bool:
        """Yes or no."""
        return self.take(written, name, where, lambda v: v if isinstance(v, bool) else None, "true | false", spare, False)

    def number(self, written: Mapping[str, Any], name: str, least: int, most: int, where: str = "") -> int:
        """A whole number within limits."""

        def fit(value: Any) -> int | None:
            return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None

        return self.take(written, name, where, fit, f"{least} … {most}", None, least)

    def rank(self, written: Mapping[str, Any], name: str, where: str = "", spare: Grade | None = None) -> Grade:
        """A rank of the ladder."""
        return self.take(written, name, where, _rank, "1 … 6", spare, Grade.CORE)

    def strings(self, written: Mapping[str, Any], name: str, where: str, choices: Iterable[str] | None = None) -> frozenset[str]:
        """A list of words, of these choices if there are any."""

        def fit(value: Any) -> frozenset[str] | None:
            if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
                return None
            return frozenset(value) if choices is None or set(value) <= set(choices) else None

        wanted = '["…"]' if choices is None else "[" + ", ".join(choices) + "]"
        return self.take(written, name, where, fit, wanted, None, frozenset())

    def tables(self, value: Any, where: str) -> list[dict[str, Any]]:
        """A list of tables: `[[where]]`."""
        if isinstance(value, list) and all(isinstance(one, dict) for one in value):
            return value
        self.wrong(where, f"[[{where}]]")
        return []

    def ranks(self, value: Any, where: str) -> dict[str, Grade]:
        """Names with a rank each."""
        if not isinstance(value, dict):
            self.wrong(where, f"[{where}]")
            return {}
        return {name: self.rank(value, name, f"{where}.") for name in value}

    def foreign(self, value: Any) -> dict[str, dict[str, Grade]]:
        """Codes of other schemes."""
        if not isinstance(value, dict):
            self.wrong("foreign", "[foreign.…]")
            return {}
        return {name: self.ranks(codes, f"foreign.{name}") for name, codes in value.items()}

    def grades(self, written: Mapping[str, Any], base: GradingScheme | None) -> tuple[SchemeGrade, ...]:
        """The grades, by rising rank; none that asks for less than one below it."""
        if "grade" not in written and base is not None:
            return base.grades
        found = []
        for number, one in enumerate(self.tables(written.get("grade", []), "grade"), start=1):
            where = f"grade {number}."
            self.only(one, where, _GRADE_FIELDS)
            found.append(
                SchemeGrade(
                    code=self.name(one, "code", where=where),
                    rank=self.rank(one, "rank", where),
                    title=self.both(one, "title", where=where),
                    meaning=self.both(one, "meaning", where=where),
                    reviewers=self.number(one, "reviewers", 1, 2, where),
                    at_once=self.flag(one, "at_once", where=where),
                    modes=self.strings(one, "modes", where, MODES),
                    storage=StorageRule(
                        sandbox_level=self.number(one, "sandbox_level", 1, 2, where),
                        keep_days=self.number(one, "keep_days", 0, LONGEST_KEPT_DAYS, where),
                        reject_rows_kept=self.flag(one, "reject_rows_kept", where=where),
                        barrier=self.flag(one, "barrier", spare=False, where=where),
                    ),
                    masked_as=self.rank(one, "masked_as", where) if "masked_as" in one else None,
                )
            )
        grades = sorted(found, key=lambda grade: grade.rank)
        if not grades or grades[-1].rank is not Grade.CORE:
            self.faults.append(Reason("grading-ladder-short", {"file": self.file}))
        if not self.faults:
            self._rising(grades)
        return tuple(grades)

    def _rising(self, grades: list[SchemeGrade]) -> None:
        for lower, higher in pairwise(grades):
            if lower.rank is higher.rank or lower.code == higher.code:
                self.faults.append(Reason("grading-grade-twice", {"file": self.file, "grade": higher.code, "rank": int(higher.rank)}))
            lax = {
                "reviewers": higher.reviewers < lower.reviewers,
                "at_once": higher.at_once and not lower.at_once,
                "modes": not higher.modes <= lower.modes,
                "sandbox_level": higher.storage.sandbox_level < lower.storage.sandbox_level,
                "keep_days": higher.storage.keep_days > lower.storage.keep_days,
                "reject_rows_kept": higher.storage.reject_rows_kept and not lower.storage.reject_rows_kept,
                "barrier": lower.storage.barrier and not higher.storage.barrier,
                "masked_as": higher.masked_as is not None and higher.masked_as < (lower.masked_as or lower.rank),
            }
            for name in (name for name, laxer in lax.items() if laxer):
                about: dict[str, str | int] = {"file": self.file, "grade": higher.code, "lower": lower.code, "field": name}
                self.faults.append(Reason("grading-not-rising", about))
        for grade in grades:
            if grade.masked_as is not None and grade.masked_as > grade.rank:
                self.wrong(f"{grade.code}.masked_as", f"1 … {int(grade.rank)}")

    def masks(self, value: Any, base: MaskRules) -> MaskRules:
        """Default masks: what is stated for a meaning (or a type) takes the place of all that ships for it."""
        meaning: dict[str, list[MaskRule]] = {}
        plain: dict[str, list[MaskRule]] = {}
        for number, one in enumerate(self.tables(value, "mask"), start=1):
            where = f"mask {number}."
            self.only(one, where, ("meaning", "type", "grade", "mask", "parameters"))
            if ("meaning" in one) == ("type" in one):
                self.wrong(where.rstrip("."), "meaning | type")
                continue
            place = meaning if "meaning" in one else plain
            name = self.line(one, "meaning" if "meaning" in one else "type", where=where)
            if place is plain and name not in base.plain and name not in _TYPES:
                self.wrong(f"{where}type", " | ".join(_TYPES))
            kind = self.take(one, "mask", where, _mask_kind, " | ".join(kind.value for kind in MaskKind), None, MaskKind.HIDE)
            parameters = one.get("parameters", {})
            if not isinstance(parameters, dict) or frozenset(parameters) not in _PARAMETERS[kind]:
                self.wrong(f"{where}parameters", " | ".join("{" + ", ".join(sorted(names)) + "}" for names in _PARAMETERS[kind]))
                parameters = {}
            place.setdefault(name, []).append(MaskRule(self.rank(one, "grade", where), Mask(kind, parameters)))
        for name, rules in [*meaning.items(), *plain.items()]:
            for higher, lower in pairwise(highest_first(rules)):
                if not stricter_or_equal(higher.mask, lower.mask):
                    about: dict[str, str | int] = {"file": self.file, "grade": int(higher.grade), "lower": int(lower.grade)}
                    self.faults.append(Reason("grading-not-rising", {**about, "field": f"mask {name}"}))
        return MaskRules(
            meaning={**base.meaning, **{name: highest_first(rules) for name, rules in meaning.items()}},
            plain={**base.plain, **{name: highest_first(rules) for name, rules in plain.items()}},
            every=base.every,
        )

    def combinations(self, written: Mapping[str, Any], more: tuple[Combination, ...]) -> tuple[Combination, ...]:
        """Meanings that are more together; added to those that hold anyhow."""
        found = []
        for number, one in enumerate(self.tables(written.get("combination", []), "combination"), start=1):
            where = f"combination {number}."
            self.only(one, where, ("id", "all_of", "grade", "source"))
            parts = one.get("all_of")
            fits = isinstance(parts, list) and parts and all(
                isinstance(part, list) and part and all(isinstance(name, str) and name for name in part) for part in parts
            )
            if not fits:
                self.wrong(f"{where}all_of", '[["…"], ["…"]]')
            found.append(
                Combination(
                    id=self.name(one, "id", where=where),
                    all_of=tuple(frozenset(part) for part in parts) if fits and isinstance(parts, list) else (),
                    grade=self.rank(one, "grade", where),
                    source=self.line(one, "source", where=where),
                )
            )
        return (*more, *found)

    def scales(self, written: Mapping[str, Any], more: tuple[Scale, ...]) -> tuple[Scale, ...]:
        """What numbers of persons do; added to those that hold anyhow."""
        found = []
        for number, one in enumerate(self.tables(written.get("scale", []), "scale"), start=1):
            where = f"scale {number}."
            self.only(one, where, ("persons", "meanings", "grade", "source"))
            found.append(
                Scale(
                    persons=self.number(one, "persons", 1, 10**10, where),
                    meanings=self.strings(one, "meanings", where),
                    grade=self.rank(one, "grade", where),
                    source=self.line(one, "source", where=where),
                )
            )
        return (*more, *found)

    def lowerings(self, value: Any) -> tuple[Lowering, ...]:
        """Words of two different people each."""
        found = []
        for number, one in enumerate(self.tables(value, "lowering"), start=1):
            where = f"lowering {number}."
            self.only(one, where, ("dataset", "item", "grade", "manner", "basis", "agreed_by", "agreed_on"))
            dataset = self.take(one, "dataset", where, lambda v: v if isinstance(v, str) and is_dataset_name(v) else None, "a.b", None, "-")
            item = self.take(
                one, "item", where, lambda v: v if isinstance(v, str) and (v == WHOLE or is_item_name(v)) else None, "… | *", None, "-"
            )
            persons = self.strings(one, "agreed_by", where)
            if len({person.strip().casefold() for person in persons} - {""}) != PERSONS_OF_A_LOWERING:
                self.wrong(f"{where}agreed_by", '["A", "B"]')
            found.append(
                Lowering(
                    dataset=dataset,
                    item=item,
                    grade=self.rank(one, "grade", where),
                    manner=self.take(
                        one, "manner", where, _manner, " | ".join(LoweringManner), None, LoweringManner.AGGREGATED
                    ),
                    basis=self.line(one, "basis", where=where),
                    agreed_by=tuple(sorted(persons)),
                    agreed_on=self.take(one, "agreed_on", where, _day, "2026-01-31", None, date.min),
                )
            )
        places = [(one.dataset, one.item.lower()) for one in found]
        for dataset, item in dict.fromkeys(place for place in places if places.count(place) > 1):
            self.faults.append(Reason("grading-lowering-twice", {"file": self.file, "dataset": dataset, "item": item}))
        return tuple(found)


def _rank(value: Any) -> Grade | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return Grade(value) if whole and value in Grade.__members__.values() else None


def _mask_kind(value: Any) -> MaskKind | None:
    return MaskKind(value) if isinstance(value, str) and value in set(MaskKind) else None


def _manner(value: Any) -> LoweringManner | None:
    return LoweringManner(value) if isinstance(value, str) and value in set(LoweringManner) else None


def _day(value: Any) -> date | None:
    return value if isinstance(value, date) and not isinstance(value, datetime) else None
