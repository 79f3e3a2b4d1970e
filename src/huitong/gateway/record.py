"""Records by key: the rules and masks of a verified plan in Python, over rows that a copy holds by key.

A call of the record door is planned, authorised, recorded and counted as any use (`Gateway.read`); only its rows come from a copy by key
instead of an engine. Here is the Python twin of what `rewrite` makes in SQL: which rows a grant shows (`row_judge`, beside
`rewrite.row_rules`) and how their items leave (`shown_items`, beside `rewrite.subquery`). A property test holds both pairs equal.

A key is read in the form in which the grant shows it: a clear item by its value, a pseudonym by its token, and by nothing else. What is
done for a key that nobody may see, or that does not exist, is what is done for one that is shown."""

import hashlib
import hmac
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa

from huitong.errors import InputInvalid, Reason, Refused, Unavailable
from huitong.gateway.plan import DatasetPlan, Plan
from huitong.gateway.rewrite.physical import LIST_COLUMNS
from huitong.masks import masked_type, needs_token, python_mask
from huitong.masks.pseudonym import read_token
from huitong.model.catalog import Dataset, Item, ItemType
from huitong.model.policy import Comparator, Comparison, Mask, MaskKind
from huitong.model.pseudonym import KeyEpoch
from huitong.model.records import Compared, CopyName, Key, Verified, key_items, rows_copy, tokens_copy
from huitong.sharing.comparing import value_in_form

Row = Sequence[Any]
"""The values of a row in the order of the entry: text, numbers, truth values; days and microseconds since 1970."""
Judge = Callable[[Row], bool]

ARROW_TYPES: Mapping[ItemType, pa.DataType] = {
    ItemType.TEXT: pa.string(),
    ItemType.INTEGER: pa.int64(),
    ItemType.DECIMAL: pa.float64(),
    ItemType.BOOLEAN: pa.bool_(),
    ItemType.DATE: pa.date32(),
    ItemType.INSTANT: pa.timestamp("us", tz="UTC"),
}
VERIFIED = pa.schema([("key", pa.int64()), ("answer", pa.string()), ("seal", pa.string())])
"""What a verification gives: the place of each key in the call, the answer, and a random text, the same in every row. Without that,
whoever sees the hash of the answer in the ledger could find the answer by trying all three."""
_DAY = date(1970, 1, 1)
_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
_KEYABLE = frozenset({ItemType.TEXT, ItemType.INTEGER, ItemType.BOOLEAN, ItemType.DATE, ItemType.INSTANT})
"""Types that can be part of a key; decimals are not exact."""


class KeyedRows(Protocol):
    """Copies by key (`huitong.delivery.keyed`)."""

    def holds(self, copy: CopyName, /) -> bool:
        """Whether that copy is there, whole."""
        ...

    def fetch(self, copy: CopyName, keys: Sequence[bytes], /) -> Sequence[Sequence[bytes]]:
        """The rows of each key, in the order of the keys."""
        ...


class TokenMaker(Protocol):
    """Makes the tokens that a side table holds (`huitong.lake.side_tables.SideTables`)."""

    def epoch(self, linkage_group: str, /) -> KeyEpoch:
        """The key epoch in force."""
        ...

    def token_of(self, epoch: KeyEpoch, /) -> Callable[[str], int]:
        """The token of an identifier in that epoch."""
        ...


class Lists(Protocol):
    """Reads lists of subjects (`huitong.lake.keyed_rows.KeptLists`)."""

    def members(self, files: Collection[str], /) -> frozenset[str]:
        """The identifiers in these files of a plan."""
        ...


# --- values ---------------------------------------------------------------------------------------------------------------


def packed(row: Sequence[Any]) -> bytes:
    """A row as a copy holds it."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()


_unpacked: Callable[[str], list[Any]] = json.JSONDecoder().decode
"""The row of the text of its bytes."""


def packed_key(parts: Sequence[Any]) -> bytes | None:
    """The values of the key items as a copy is looked up by; None if one of them is missing."""
    if len(parts) == 1:
        return None if parts[0] is None else _part_of_key(parts[0])
    if any(part is None for part in parts):
        return None
    return b"".join(len(one).to_bytes(4, "big") + one for one in map(_part_of_key, parts))


def _part_of_key(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else str(int(value)).encode()


def plain_value(kind: ItemType, text: str) -> Any:
    """A text in the form of a type as the plain value of a row. Raises ValueError if it has no such form."""
    formed = value_in_form(text, kind)
    if formed is None:
        raise ValueError
    if kind is ItemType.TEXT:
        return formed
    if kind is ItemType.INTEGER:
        return int(formed)
    if kind is ItemType.DECIMAL:
        return float(formed)
    if kind is ItemType.BOOLEAN:
        return formed == "true"
    if kind is ItemType.DATE:
        return (date.fromisoformat(formed) - _DAY).days
    return (datetime.fromisoformat(formed) - _INSTANT) // timedelta(microseconds=1)


def _rich_value(kind: ItemType, value: Any) -> Any:
    """A plain value as masks take it; missing where Python knows no such day or instant."""
    try:
        if kind is ItemType.DATE:
            return _DAY + timedelta(days=value)
        if kind is ItemType.INSTANT:
            return _INSTANT + timedelta(microseconds=value)
    except OverflowError:
        return None
    return value


def _ordered(value: Any) -> Any:
    """A value as the engine orders it: not-a-number is equal to itself and above all others."""
    return (1, 0.0) if value != value else (0, value)


# --- which rows -----------------------------------------------------------------------------------------------------------


def row_judge(part: DatasetPlan, members: Callable[[], frozenset[str]]) -> Judge:
    """Whether the grant shows a row: the Python twin of `rewrite.row_rules.row_rule`. A value that is missing passes no rule but
    `missing`. Every rule is asked of every row: how long it takes tells nothing about which one failed.

    Raises Refused `row-rule-unfit`, `division-without-codes` as its twin does."""
    places = {item.name.lower(): number for number, item in enumerate(part.described.items)}
    rules: list[Judge] = []
    terms = part.grant.terms
    if terms.rows is not None:
        item = _item_of_rule(part, terms.rows.item, text=True)
        if not part.codes:
            raise Refused.because("division-without-codes", grant=part.grant.id, division=terms.rows.division)
        rules.append(_held_in(places[item.name.lower()], part.codes))
    for one in terms.condition:
        item = _item_of_rule(part, one.item)
        rules.append(_comparison(part, places[item.name.lower()], item, one))
    if terms.subjects is not None:
        item = _item_of_rule(part, terms.subjects.item, text=True)
        rules.append(_held_in(places[item.name.lower()], members()))
    return lambda row: all([rule(row) for rule in rules])  # noqa: C419 - a generator would stop at the first that fails


def _item_of_rule(part: DatasetPlan, name: str, *, text: bool = False) -> Item:
    item = part.described.item(name)
    if item is None or (text and item.type is not ItemType.TEXT):
        raise Refused.because("row-rule-unfit", grant=part.grant.id, dataset=part.dataset, item=name)
    return item


def _held_in(place: int, values: frozenset[str]) -> Judge:
    return lambda row: row[place] in values


def _comparison(part: DatasetPlan, place: int, item: Item, one: Comparison) -> Judge:
    if one.comparator is Comparator.MISSING:
        return lambda row: row[place] is None
    if one.comparator is Comparator.KNOWN:
        return lambda row: row[place] is not None
    if any(value_in_form(value, item.type) != value for value in one.values):
        raise Refused.because("row-rule-unfit", grant=part.grant.id, dataset=part.dataset, item=item.name)
    values = [_ordered(plain_value(item.type, value)) for value in one.values]
    if one.comparator in (Comparator.IN, Comparator.NOT_IN):
        listed, wanted = frozenset(values), one.comparator is Comparator.IN
        return lambda row: row[place] is not None and (_ordered(row[place]) in listed) is wanted
    (bound,) = values
    if one.comparator is Comparator.AT_LEAST:
        return lambda row: row[place] is not None and _ordered(row[place]) >= bound
    if one.comparator is Comparator.MORE_THAN:
        return lambda row: row[place] is not None and _ordered(row[place]) > bound
    if one.comparator is Comparator.AT_MOST:
        return lambda row: row[place] is not None and _ordered(row[place]) <= bound
    return lambda row: row[place] is not None and _ordered(row[place]) < bound


# --- how items leave ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShownItem:
    """One item as the grant shows it."""

    item: Item
    mask: Mask
    place: int
    shows: Callable[[Any], Any]
    """The value that leaves of the plain one of a row."""

    type: ItemType
    """The type that the reader sees."""


def shown_items(part: DatasetPlan, names: Collection[str], token: Callable[[str], int]) -> tuple[ShownItem, ...]:
    """These items under the masks of the grant, in the order of `names`: the Python twin of `rewrite.subquery.governed_items`."""
    places = {item.name.lower(): number for number, item in enumerate(part.described.items)}
    masks = {term.item.lower(): term.mask for term in part.grant.terms.items}
    found = []
    for name in names:
        item, mask = part.described.item(name), masks.get(name.lower())
        if item is None or mask is None:
            raise Refused.because("rewrite-failed")
        found.append(ShownItem(item, mask, places[item.name.lower()], _shows(item, mask, token), masked_type(item, mask)))
    return tuple(found)


def _shows(item: Item, mask: Mask, token: Callable[[str], int]) -> Callable[[Any], Any]:
    if mask.kind is MaskKind.CLEAR:
        return lambda value: value  # days and instants leave as they are, also those that Python does not know
    masked = python_mask(item, mask, token=token)
    if item.type not in (ItemType.DATE, ItemType.INSTANT):
        return masked
    return lambda value: None if value is None else masked(_rich_value(item.type, value))


def as_table(shown: Sequence[ShownItem], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows of shown values with the types that a governed query gives."""
    schema = pa.schema([(one.item.name, ARROW_TYPES[one.type]) for one in shown])
    columns = [pa.array([row[number] for row in rows], field.type) for number, field in enumerate(schema)]
    return pa.table(columns, schema=schema)


# --- keys -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyPart:
    """One item of the key, and whether it is called by its token."""

    item: Item
    by_token: bool


def key_parts(part: DatasetPlan, *, sandbox_level_at_most: int) -> tuple[KeyPart, ...]:
    """How records are called for under the plan's grant.

    Raises Refused `record-key-undeclared`, `record-key-unfit`, `item-not-granted` of a key item, `record-key-masked`,
    `record-grade-sandbox`; all that is found."""
    about: dict[str, str | int] = {"dataset": part.dataset, "provider": part.described.provider}
    grant = part.grant
    found, faults = [], []
    if part.sandbox_level > sandbox_level_at_most:
        faults.append(Reason("record-grade-sandbox", {**about, "level": part.sandbox_level}))
    if not key_items(part.described):
        faults.append(Reason("record-key-undeclared", about))
    masks = {term.item.lower(): term.mask for term in grant.terms.items}
    for item in key_items(part.described):
        mask = masks.get(item.name.lower())
        of_item = {**about, "grant": grant.id, "item": item.name}
        if item.type not in _KEYABLE:
            faults.append(Reason("record-key-unfit", {**about, "item": item.name, "type": item.type.value}))
        elif mask is None:
            faults.append(Reason("item-not-granted", {**of_item, "purpose": grant.terms.purpose.code}))
        elif mask.kind is MaskKind.CLEAR or needs_token(mask):
            found.append(KeyPart(item, needs_token(mask)))
        else:
            faults.append(Reason("record-key-masked", {**of_item, "mask": mask.kind.value}))
    if faults:
        raise Refused(*faults)
    return tuple(found)


def read_keys(parts: Sequence[KeyPart], keys: Sequence[Key], *, characters: int) -> list[tuple[Any, ...]]:
    """The keys of a call as plain values and tokens, in their order. Raises InputInvalid `record-key-values`, `record-key-form` with the
    place of the first that cannot be read; never the key itself."""
    return [_read_key(parts, key, place, characters) for place, key in enumerate(keys, start=1)]


def _read_key(parts: Sequence[KeyPart], key: Key, place: int, characters: int) -> tuple[Any, ...]:
    if len(key) != len(parts):
        names = ", ".join(part.item.name for part in parts)
        raise InputInvalid.because("record-key-values", position=place, values=len(key), wanted=len(parts), items=names)
    read = []
    for part, text in zip(parts, key, strict=True):
        try:
            if len(text) > characters:
                raise ValueError
            read.append(read_token(text) if part.by_token else plain_value(part.item.type, text))
        except (ValueError, InputInvalid):
            form = "pseudonym" if part.by_token else part.item.type.value
            raise InputInvalid.because("record-key-form", position=place, item=part.item.name, form=form) from None
    return tuple(read)


# --- one call -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadyCall:
    """What is the same in every call under one plan: worked out once."""

    parts: tuple[KeyPart, ...]
    shown: tuple[ShownItem, ...]
    rows: CopyName
    tokens: tuple[CopyName | None, ...]
    """Of each part of the key: the copy that leads from its tokens to values; None where it is called by its value."""
    judge: Judge | None
    """None: a list of subjects decides too, which is looked at in each call."""


class ReadyCalls:
    """The calls made ready of one process; the plan's stand-in is a random text that no other plan has."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, ReadyCall] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: Hashable, make: Callable[[], ReadyCall]) -> ReadyCall:
        """The one of that key, made if it is not there."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        found = make()
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found


@dataclass(kw_only=True)
class RecordCall:
    """One call of the record door, from its plan on: what `Gateway.read` asks of whoever gives the rows."""

    keys: Sequence[Key]
    rows: KeyedRows
    tokens: TokenMaker
    lists: Lists
    hash_key: bytes
    key_characters: int
    sandbox_level_at_most: int
    items: Sequence[str] | None = None
    """Items that leave, in their order; None: all that are granted."""
    compared: Sequence[Compared] | None = None
    """Of a verification: what is asked. Nothing but its answer leaves then."""
    is_on: Callable[[str], bool] = lambda _dataset: True
    """Whether the managing office has switched the door on for that dataset."""
    ready: ReadyCalls = field(default_factory=ReadyCalls)
    _epoch: KeyEpoch | None = None

    def prepare(self, plan: Plan) -> Mapping[str, Any]:
        """Everything that can be said against the call before it is recorded; what its intent says of it. Keys and compared values stand
        there as keyed hashes alone, each key by itself: who holds the key can find who called for whom.

        Raises Refused; InputInvalid for keys and values that cannot be read; Unavailable `record-store-behind`."""
        (part,) = plan.datasets
        if not self.is_on(part.dataset):
            raise Refused.because("record-door-off", dataset=part.dataset, provider=part.described.provider)
        ready = self._ready(plan)
        keys = read_keys(ready.parts, self.keys, characters=self.key_characters)
        about: dict[str, Any] = {"keys": sorted({key_hash(self.hash_key, part.described, ready.parts, key) for key in keys})}
        if self.compared is not None:
            wanted = self._wanted(ready.shown)
            said = [[one.item.name, str(value)] for one, value in zip(ready.shown, wanted, strict=True)]
            about["compared"] = _hashed(self.hash_key, b"compared", part.dataset, *(text for pair in sorted(said) for text in pair))
        if not all(self.rows.holds(copy) for copy in (ready.rows, *ready.tokens) if copy is not None):
            raise Unavailable.because("record-store-behind", dataset=part.dataset)
        return about

    def table(self, plan: Plan) -> pa.Table:
        """The rows that leave, or the answers of a verification. Of a key that is shown, of one whose rows lie outside what is granted and
        of one that does not exist the same is done: fetched, judged, masked."""
        (part,) = plan.datasets
        ready = self._ready(plan)
        keys = read_keys(ready.parts, self.keys, characters=self.key_characters)
        judge = ready.judge or row_judge(part, lambda: self._members(plan))
        blank: list[Any] = [None] * len(part.described.items)
        fetched = self.rows.fetch(ready.rows, self._looked_up(ready, keys))
        if self.compared is not None:
            return self._answers(ready.shown, judge, fetched, blank)
        shows = [(one.shows, one.place) for one in ready.shown]
        seen: set[tuple[Any, ...]] = set()
        leaving: list[list[Any]] = []
        for key, held in zip(keys, fetched, strict=True):
            again = key in seen
            seen.add(key)
            for row in [_unpacked(one.decode()) for one in held] or [blank]:
                visible = judge(row) and held and not again
                masked = [show(row[place]) for show, place in shows]
                if visible:
                    leaving.append(masked)
        return as_table(ready.shown, leaving)

    def _answers(self, shown: Sequence[ShownItem], judge: Judge, fetched: Sequence[Sequence[bytes]], blank: list[Any]) -> pa.Table:
        wanted = self._wanted(shown)
        answers = []
        for held in fetched:
            found = []
            for row in [_unpacked(one.decode()) for one in held] or [blank]:
                visible = judge(row)
                said = _verified([one.shows(row[one.place]) for one in shown], wanted)
                if visible and held:
                    found.append(said)
            answers.append(_together(found).value)
        seal = secrets.token_hex(32)
        return pa.table([list(range(1, len(answers) + 1)), answers, [seal] * len(answers)], schema=VERIFIED)

    def _ready(self, plan: Plan) -> ReadyCall:
        """Raises as `key_parts` and `row_judge` do."""
        (part,) = plan.datasets
        if self._epoch is None:  # read once, so that the key and every item are of the same epoch
            self._epoch = self.tokens.epoch(part.grant.terms.linkage_group)
        named = tuple(one.item for one in self.compared) if self.compared is not None else None if self.items is None else tuple(self.items)
        epoch = self._epoch
        return self.ready.of((plan.stand_in, named, epoch.tokens, self.sandbox_level_at_most), lambda: self._make_ready(part, named, epoch))

    def _make_ready(self, part: DatasetPlan, named: Sequence[str] | None, epoch: KeyEpoch) -> ReadyCall:
        parts = key_parts(part, sandbox_level_at_most=self.sandbox_level_at_most)
        if named is None:
            granted = {term.item.lower() for term in part.grant.terms.items}
            named = [item.name for item in part.described.items if item.name.lower() in granted]
        tokens = tuple(tokens_copy(part.described, part.snapshot, epoch, one.item.name) if one.by_token else None for one in parts)
        listed = part.grant.terms.subjects is not None
        return ReadyCall(
            parts=parts,
            shown=shown_items(part, named, self.tokens.token_of(epoch)),
            rows=rows_copy(part.described, part.snapshot),
            tokens=tokens,
            judge=None if listed else row_judge(part, frozenset),
        )

    def _wanted(self, shown: Sequence[ShownItem]) -> list[Any]:
        """The compared values as they would leave. Raises InputInvalid `record-value-form`, which does not repeat the value."""
        assert self.compared is not None
        wanted = []
        for one, asked in zip(shown, self.compared, strict=True):
            try:
                if len(asked.value) > self.key_characters:
                    raise ValueError
                read = read_token(asked.value) if needs_token(one.mask) else plain_value(one.type, asked.value)
                wanted.append(_ordered(read))
            except (ValueError, InputInvalid):
                form = "pseudonym" if needs_token(one.mask) else one.type.value
                raise InputInvalid.because("record-value-form", item=one.item.name, form=form) from None
        return wanted

    def _members(self, plan: Plan) -> frozenset[str]:
        (part,) = plan.datasets
        read = tuple(file.path for file in part.read.files)
        (listed,) = (table for table in plan.tables if table.columns == LIST_COLUMNS and table.files != read)
        return self.lists.members(listed.files)

    def _looked_up(self, ready: ReadyCall, keys: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """What the copy of the rows is looked up by: values for tokens, and for a token of nobody a key that no row has."""
        columns: list[list[bytes | None]] = []
        for number, copy in enumerate(ready.tokens):
            values = [_part_of_key(key[number]) for key in keys]
            if copy is None:
                columns.append(list(values))
            else:
                columns.append([held[0] if held else None for held in self.rows.fetch(copy, values)])
        looked_up = []
        for key in zip(*columns, strict=True):
            known = [value for value in key if value is not None]
            if len(known) < len(key):
                looked_up.append(b"\xff" + secrets.token_bytes(16))  # no text in UTF-8 begins so, and no length of a part
            elif len(known) == 1:
                looked_up.append(known[0])
            else:
                looked_up.append(b"".join(len(value).to_bytes(4, "big") + value for value in known))
        return looked_up


def _verified(values: Sequence[Any], wanted: Sequence[Any]) -> Verified:
    """All conditions of one row: no as soon as one is known not to hold, unknown where a value is missing."""
    said = [None if value is None else _ordered(_plain(value)) == one for value, one in zip(values, wanted, strict=True)]
    if False in said:
        return Verified.NO
    return Verified.UNKNOWN if None in said else Verified.YES


def _plain(value: Any) -> Any:
    if isinstance(value, date):  # a masked day: the first of its month
        return (value - _DAY).days
    return value


def _together(found: Sequence[Verified]) -> Verified:
    """Of the visible rows of a key: yes if one says so, no if all do; unknown else, and where there is none."""
    if Verified.YES in found:
        return Verified.YES
    return Verified.NO if found and all(one is Verified.NO for one in found) else Verified.UNKNOWN


# --- the record -----------------------------------------------------------------------------------------------------------


def key_hash(hash_key: bytes, dataset: Dataset, parts: Sequence[KeyPart], key: Sequence[Any]) -> str:
    """What the ledger says of a key: HMAC-SHA-256 over the dataset, its key items and what was called for, each value or token. Whoever
    holds the key of the instance finds the calls for a person by computing it for the value, and for the token of each linkage group."""
    said: list[str] = []
    for part, value in zip(parts, key, strict=True):
        said += (part.item.name, "pseudonym" if part.by_token else "clear", str(value))
    return _hashed(hash_key, b"key", dataset.id, *said)


def _hashed(hash_key: bytes, domain: bytes, *parts: str) -> str:
    derived = hmac.digest(hash_key, b"huitong/records/1", hashlib.sha256)
    framed = b"".join(len(one).to_bytes(4, "big") + one for one in (domain, *(part.encode("utf-8", "surrogatepass") for part in parts)))
    return hmac.digest(derived, framed, hashlib.sha256).hex()
