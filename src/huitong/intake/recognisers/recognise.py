"""What an item may be, from a sample of its values and its name: suggestions with the evidence for each, the surest first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from huitong.errors import Reason
from huitong.intake.recognisers import kernels, words
from huitong.intake.recognisers.kernels import Flags, Texts
from huitong.intake.recognisers.rules import Evidence, Rule, rules

SAMPLE = 100_000
"""Values of an item that are looked at, at most."""
_LONGEST = 400
"""Characters of a value that are looked at: longer ones are texts, of which only the beginning counts."""


@dataclass(frozen=True)
class Recognition:
    """What some values of an item were taken for."""

    meaning: str
    recognised: int
    """Of the values looked at."""
    sampled: int
    """Values looked at, without missing ones."""
    why: Reason
    """The evidence: checksum, list or shape, and whether the item's name hints at it as well."""

    @property
    def share(self) -> float:
        """Share of the values looked at, 0 to 1."""
        return self.recognised / self.sampled if self.sampled else 0.0


def recognise(
    values: pa.Array | pa.ChunkedArray, *, name: str, titles: Sequence[str] = (), seed: int = 0
) -> tuple[Recognition, ...]:
    """Every meaning that enough of the values bear, the surest first; empty for plain items and for items without values.

    `values` are texts; more than 100,000 present ones are sampled by the seed. `name` and `titles` are the item's: they lower the share
    that is asked for where they speak of a meaning, and they alone never decide."""
    sample = _sample(values, seed)
    total = len(sample)
    if not total:
        return ()
    counted = pc.value_counts(sample)
    different = counted.field("values")
    item = _Item(different, counted.field("counts").to_numpy(), (name, *titles))
    found = [made for rule in rules().values() if (made := _judge(rule, item, total)) is not None]
    named = {one.meaning for one in found}
    kept = [one for one in found if not named.intersection(rules()[one.meaning].wider_than)]
    order = list(Evidence)
    return tuple(sorted(kept, key=lambda one: (order.index(rules()[one.meaning].evidence), -one.share)))


def _sample(values: pa.Array | pa.ChunkedArray, seed: int) -> pa.StringArray:
    """At most `SAMPLE` present values, trimmed."""
    flat = pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) and values.num_chunks else values
    flat = pa.array([], pa.string()) if isinstance(flat, pa.ChunkedArray) else flat.cast(pa.string())
    flat = flat.drop_null()
    if len(flat) > SAMPLE:
        chosen = np.random.default_rng(seed).choice(len(flat), SAMPLE, replace=False)
        flat = flat.take(pa.array(np.sort(chosen)))
    flat = pc.utf8_trim_whitespace(flat)
    flat = flat.filter(pc.not_equal(flat, ""))
    if len(flat) and int(pc.max(pc.binary_length(flat)).as_py()) > _LONGEST:
        flat = pc.utf8_slice_codeunits(flat, 0, _LONGEST)
    return flat


class _Item:
    """The different values of an item with their counts; what several recognisers need is made once, and only when asked for."""

    def __init__(self, values: pa.StringArray, counts: npt.NDArray[np.int64], names: tuple[str, ...]) -> None:
        self.values = values
        self.counts = counts
        self.names = names
        self._codes: pa.StringArray | None = None
        self._texts: Texts | None = None

    @property
    def codes(self) -> pa.StringArray:
        """The values as codes: see `kernels.tidy`."""
        if self._codes is None:
            self._codes = kernels.tidy(self.values)
        return self._codes

    @property
    def texts(self) -> Texts:
        """The bytes of `codes`."""
        if self._texts is None:
            self._texts = Texts(self.codes)
        return self._texts

    def rows(self, flags: Flags) -> int:
        """How many values, repeated ones counted, are flagged."""
        return int(self.counts[flags].sum())


def _judge(rule: Rule, item: _Item, total: int) -> Recognition | None:
    hinted = rule.hinted_by(*item.names)
    if rule.hint_needed and not hinted:
        return None
    needed = (rule.share_hinted if hinted else rule.share) * total
    recognised = _RECOGNISERS.get(rule.meaning, _by_shape)(rule, item, hinted, needed)
    if recognised < max(needed, 1):
        return None
    code = f"recognised-by-{rule.evidence.value}" + ("-and-name" if hinted else "")
    why = Reason(code, {"meaning": rule.meaning, "recognised": recognised, "sampled": total})
    return Recognition(rule.meaning, recognised, total, why)


def _by_shape(rule: Rule, item: _Item, _hinted: bool, _needed: float) -> int:
    found = pc.match_substring_regex(item.values, f"\\A(?:{rule.valid})\\z")
    return item.rows(found.to_numpy(zero_copy_only=False))


def _resident_id(_rule: Rule, item: _Item, _hinted: bool, _needed: float) -> int:
    new, old = kernels.resident_ids(item.texts)
    return item.rows(new | old)


def _division(_rule: Rule, item: _Item, _hinted: bool, needed: float) -> int:
    in_city, in_county = kernels.divisions(item.texts)
    # where not even half stands in a county that ever was, digits merely happen to begin like a city
    return item.rows(in_city) if item.rows(in_county) >= needed / 2 else 0


def _person_name(_rule: Rule, item: _Item, hinted: bool, _needed: float) -> int:
    names, common, dotted = words.person_names(item.values)
    recognised = item.rows(names)
    plain = recognised - item.rows(dotted)
    different = int(names.sum())
    if not hinted:
        # a list of kinds repeats few words; persons differ, and most bear one of the common surnames
        if different < 30 or different < recognised / 200:
            return 0
        if item.rows(common) < 0.5 * plain:
            return 0
    return recognised


def _plate(rule: Rule, item: _Item, _hinted: bool, _needed: float) -> int:
    plain = pc.replace_substring_regex(item.codes, _DOT_OF_PLATE, "")
    return item.rows(pc.match_substring_regex(plain, f"\\A(?:{rule.valid})\\z").to_numpy(zero_copy_only=False))


_DOT_OF_PLATE = "[·•.]"
_RECOGNISERS: Mapping[str, Callable[[Rule, _Item, bool, float], int]] = {
    "resident-id": _resident_id,
    "credit-code": lambda _rule, item, _hinted, _needed: item.rows(kernels.credit_codes(item.texts)),
    "organisation-code": lambda _rule, item, _hinted, _needed: item.rows(kernels.organisation_codes(item.texts)),
    "vehicle-number": lambda _rule, item, _hinted, _needed: item.rows(kernels.vehicle_numbers(item.texts)),
    "bank-card": lambda _rule, item, _hinted, _needed: item.rows(kernels.bank_cards(item.texts)),
    "division-code": _division,
    "person-name": _person_name,
    "address": lambda _rule, item, _hinted, _needed: item.rows(words.addresses(item.values)),
    "plate-number": _plate,
}
