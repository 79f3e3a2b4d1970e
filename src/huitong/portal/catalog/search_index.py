"""The search index of the catalogue: how it lies in its tables, and how a process answers from it.

Facets, visibility and order are answered from columns that each process holds in memory, and words from postings that are read
for each query. Both are stamped with the same numbers of `SearchState`, read in the statement that reads the postings; a process
whose columns bear other numbers first reads what has changed. So an answer is made of one state of the database, the newest at the
moment of asking, whichever process changed it.

An entry that was put in lately is *fresh*: its words stand in its own row, and processes hold them. `fold` moves the words of
fresh entries into a *segment*: for each token one posting with the places of its entries and the weights there. A segment is never
changed; an entry that is put in again counts in the newest segment that has it; small and outworn segments are merged.
"""

import json
import secrets
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, TypeAlias

import numpy as np
from django.db import connections, transaction
from django.db.models import F
from numpy.typing import NDArray

from huitong.catalog.ports import Facet
from huitong.catalog.search import ordered_counts, values_of_entry
from huitong.catalog.tree import line_up
from huitong.model.catalog import Dataset, Visibility
from huitong.portal.accounts import models as parties
from huitong.portal.catalog.models import SearchEntry, SearchPosting, SearchSegment, SearchState

Numbers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

FRESH_AT_MOST = 1024
"""So many fresh entries are folded by whoever puts in the next; a worker folds before that."""
SEGMENT_AT_MOST = 4096
"""Entries of one segment, at most 65,536."""
SMALL_SEGMENT = 2048
SMALL_SEGMENTS_AT_MOST = 8
"""So many segments of fewer live entries than `SMALL_SEGMENT` are merged."""
TOKENS_KEPT = 24
"""Postings of so many common tokens that were asked for stay decoded in a process (at most 1.6 MB each over 100,000 entries)."""
COMMON_TOKEN = 4096
"""Entries from which a token is a common one."""
VIEWERS_KEPT = 64
"""What so many viewers may know of stays held, with the facets of their front page."""
ATTEMPTS = 8

SPARSE, DENSE, WIDE = b"\x01", b"\x02", b"\x03"
SINGLE = (Facet.FAMILY, Facet.GRADE, Facet.SHARING, Facet.OPENNESS, Facet.CYCLE)
"""Facets of which an entry has one value, that stands in its row."""
ROW = ("doc", "dataset_id", "fresh", "words", "provider", "collector", "visibility", "known_to", "meanings")
ROW_OF_FACET = ("family", "grade", "sharing", "openness", "cycle")


@dataclass(frozen=True)
class Stamp:
    """The numbers of `SearchState`: two equal ones mean that nothing has changed between."""

    born: str = ""
    edition: int = 0
    folded: int = 0
    parties: int = 0


# ---- writing


def put_entries(entries: Iterable[tuple[Dataset, Mapping[str, int]]], using: str) -> None:
    """Put entries into the index with the tokens they are found by, or replace them; inside the caller's transaction."""
    given = {dataset.id: (dataset, index) for dataset, index in entries}
    state = _next_state(using, "edition")
    rows = SearchEntry.objects.using(using)
    known: dict[str, int] = {}
    for ids in _parts(list(given)):
        known.update(rows.filter(dataset__in=ids).values_list("dataset_id", "doc"))
    doc = state.next_doc
    made = []
    for dataset, index in given.values():
        if dataset.id not in known:
            known[dataset.id], doc = doc, doc + 1
        made.append(_entry_row(known[dataset.id], dataset, index, state.edition))
    columns = [column.name for column in SearchEntry._meta.concrete_fields if column.name not in ("doc", "dataset")]
    rows.bulk_create(made, update_conflicts=True, unique_fields=["doc"], update_fields=columns, batch_size=500)
    fresh = state.fresh + len(made)
    SearchState.objects.using(using).filter(id=1).update(next_doc=doc, fresh=fresh)
    if fresh >= FRESH_AT_MOST:
        _fold_fresh(using)


def parties_changed(using: str) -> None:
    """Offices or divisions were changed: levels and divisions are read anew at the next search."""
    _next_state(using, "parties")


def fold(using: str, *, at_least: int = 1) -> int:
    """Move the words of fresh entries into segments if there are so many of them, and merge segments; how many were moved.

    Postings are made ready outside of transactions; one is open only while they are written, a fraction of a second each."""
    moved = _fold_fresh(using) if _state(using).fresh >= at_least else 0
    while _merge_some(using):
        pass
    return moved


def _fold_fresh(using: str) -> int:
    rows = SearchEntry.objects.using(using)
    seen = _state(using)
    words = dict(rows.filter(fresh=True, edition__lte=seen.edition).values_list("doc", "words"))
    made = [_segment_of({doc: words[doc] for doc in docs}) for docs in _parts(sorted(words), SEGMENT_AT_MOST)]
    with transaction.atomic(using=using):
        if not words or not _still_folded_as(seen, using):
            return 0
        for docs, postings in made:
            _add_segment(docs, postings, using)
        for part in _parts(sorted(words)):
            # one that was put in again meanwhile stays fresh; what the segment has of it counts no more
            rows.filter(doc__in=part, edition__lte=seen.edition).update(fresh=False, words="")
        _folded(using)
    return len(words)


def _segment_of(words: Mapping[int, str]) -> tuple[Numbers, dict[bytes, bytes]]:
    """Entries in the order of their places, and the postings of their tokens."""
    postings: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for slot, text in enumerate(words.values()):
        for token, weight in json.loads(text).items():
            slots, weights = postings[token]
            slots.append(slot)
            weights.append(weight)
    encoded = {
        _bytes_of(token): _encode(np.array(slots, np.int64), np.array(weights, np.int64), len(words))
        for token, (slots, weights) in postings.items()
    }
    return np.array(list(words), np.int64), encoded


def _state(using: str) -> SearchState:
    return SearchState.objects.using(using).filter(id=1).first() or SearchState()


def _still_folded_as(seen: SearchState, using: str) -> bool:
    """Whether nobody else has folded or merged since; from now to the end of the transaction nobody does."""
    state = SearchState.objects.using(using).select_for_update().filter(id=1).first()
    return state is not None and state.folded == seen.folded


def _folded(using: str) -> None:
    fresh = SearchEntry.objects.using(using).filter(fresh=True).count()
    SearchState.objects.using(using).filter(id=1).update(folded=F("folded") + 1, fresh=fresh)


def _entry_row(doc: int, dataset: Dataset, index: Mapping[str, int], edition: int) -> SearchEntry:
    values = values_of_entry(dataset)
    return SearchEntry(
        doc=doc,
        dataset_id=dataset.id,
        edition=edition,
        fresh=True,
        words=json.dumps(dict(index), ensure_ascii=True),
        provider=dataset.provider,
        collector=dataset.collector,
        visibility=dataset.visibility.value,
        known_to=json.dumps(sorted(dataset.known_to)),
        meanings=json.dumps(values[Facet.MEANING]),
        **{name: values[facet][0] for name, facet in zip(ROW_OF_FACET, SINGLE, strict=True)},
    )


def _next_state(using: str, number: str) -> SearchState:
    """One more in a number; its row is locked until the transaction ends, so what is put in becomes visible in that order."""
    rows = SearchState.objects.using(using).filter(id=1)
    more = {number: F(number) + 1}
    if not rows.update(**more):
        rows.bulk_create([SearchState(id=1, born=secrets.token_hex(16))], ignore_conflicts=True)
        rows.update(**more)
    return rows.get()


def _add_segment(docs: Numbers, postings: Mapping[bytes, bytes], using: str) -> None:
    segment = SearchSegment.objects.using(using).create(docs=docs.astype("<u4").tobytes())
    SearchPosting.objects.using(using).bulk_create(
        (SearchPosting(token=token, segment_id=segment.id, places=places) for token, places in sorted(postings.items())),
        batch_size=2000,
    )


def _merge_some(using: str) -> bool:
    """Make one segment of some small ones if there are many, or anew one of which more than half has moved on; whether it did."""
    seen = _state(using)
    segments = _segments({}, using)
    last = max((int(docs.max()) for docs in segments.values()), default=-1)
    newest = np.full(last + 1, -1, np.int64)
    for number, docs in segments.items():
        newest[docs] = number
    fresh = np.array(SearchEntry.objects.using(using).filter(fresh=True).values_list("doc", flat=True), np.int64)
    newest[fresh[fresh <= last]] = -1
    live = {number: newest[docs] == number for number, docs in segments.items()}
    size = {number: int(flags.sum()) for number, flags in live.items()}
    worn = {number for number in segments if 2 * size[number] < len(segments[number])}
    small = [number for number in segments if size[number] < SMALL_SEGMENT]
    group: list[int] = []
    for number in sorted(worn.union(small if len(small) >= SMALL_SEGMENTS_AT_MOST else ())):
        if sum(size[one] for one in (*group, number)) <= SEGMENT_AT_MOST:
            group.append(number)
    if len(group) < 2 and not worn.intersection(group):
        return False
    docs, postings = _merged({number: (segments[number], live[number]) for number in group}, using)
    with transaction.atomic(using=using):
        if not _still_folded_as(seen, using):
            return False
        SearchSegment.objects.using(using).filter(id__in=group).delete()
        if len(docs):
            _add_segment(docs, postings, using)
        _folded(using)
    return True


def _merged(segments: Mapping[int, tuple[Numbers, Flags]], using: str) -> tuple[Numbers, dict[bytes, bytes]]:
    """What is live in these segments, as one."""
    docs = np.sort(np.concatenate([docs[live] for docs, live in segments.values()]))
    parts: defaultdict[bytes, list[tuple[Numbers, Numbers]]] = defaultdict(list)
    rows = SearchPosting.objects.using(using).filter(segment__in=list(segments))
    for token, number, places in rows.values_list("token", "segment_id", "places").iterator(5000):
        own, live = segments[number]
        slots, weights = decode(bytes(places))
        kept = live[slots]
        if kept.any():
            parts[bytes(token)].append((np.searchsorted(docs, own[slots[kept]]), weights[kept]))
    encoded = {}
    for token, found in parts.items():
        slots, weights = np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])
        order = np.argsort(slots)
        encoded[token] = _encode(slots[order], weights[order], len(docs))
    return docs, encoded


def _encode(slots: Numbers, weights: Numbers, size: int) -> bytes:
    """Places of a token in a segment: three bytes for each, or one byte for each entry of the segment where it is common."""
    if weights.min() < 0 or weights.max() > 255:
        return WIDE + slots.astype("<u2").tobytes() + weights.astype("<i8").tobytes()
    if 3 * len(slots) <= size or not weights.all():
        return SPARSE + slots.astype("<u2").tobytes() + weights.astype("u1").tobytes()
    dense = np.zeros(size, "u1")
    dense[slots] = weights
    return DENSE + dense.tobytes()


def decode(places: bytes) -> tuple[Numbers, Numbers]:
    """Slots in the segment, and the weights there."""
    kind, body = places[:1], memoryview(places)[1:]
    if kind == DENSE:
        dense = np.frombuffer(body, "u1")
        slots = np.flatnonzero(dense)
        return slots, dense[slots].astype(np.int64)
    count = len(body) // (3 if kind == SPARSE else 10)
    slots = np.frombuffer(body, "<u2", count).astype(np.int64)
    return slots, np.frombuffer(body, "u1" if kind == SPARSE else "<i8", count, 2 * count).astype(np.int64)


def _bytes_of(token: str) -> bytes:
    """Tokens are compared as bytes, on every database alike; half a character is found nowhere but does no harm."""
    return token.encode("utf-8", "surrogatepass")


def _parts(values: list[Any], size: int = 500) -> Iterable[list[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))


# ---- reading


class Codes:
    """Texts as small numbers, in the order in which they were met. Only grows, so numbers given out stay right."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def number(self, value: str) -> int:
        """Its number; the next one if it is new."""
        found = self._numbers.get(value)
        if found is None:
            with self._lock:
                found = self._numbers.get(value)
                if found is None:
                    self.values.append(value)
                    found = self._numbers[value] = len(self.values) - 1
        return found

    def flags(self, wanted: Collection[str]) -> Flags:
        """For every number whether its text is wanted."""
        flags = np.zeros(len(self.values), np.bool_)
        flags[[number for number in map(self._numbers.get, wanted) if number is not None and number < len(flags)]] = True
        return flags


@dataclass(frozen=True)
class Segments:
    """Which entry stands at which place of the postings."""

    base: Mapping[int, int]
    """Segment -> its first address."""
    docs: Mapping[int, Numbers]
    doc_at: Numbers
    """Address -> entry; one beyond the last for what has moved on."""


@dataclass(frozen=True)
class Columns:
    """What a process knows of all entries at one state. Never changed: a newer state is another object."""

    stamp: Stamp
    ids: list[str]
    """Entry number -> dataset."""
    in_order: Numbers
    """Entry numbers in the order of their ids."""
    sorted_ids: list[str]
    rank: Numbers
    """Entry number -> its place in that order."""
    codes: Mapping[Facet, Codes]
    """Values of `SINGLE` and OFFICE; of MEANING the combinations in which they stand, as they lie in the row."""
    columns: Mapping[Facet, Numbers]
    """Entry number -> number of its value, of the same facets."""
    collector: Numbers
    """Numbers of OFFICE."""
    visibility: NDArray[np.int8]
    known_to: Mapping[int, frozenset[str]]
    fresh: Mapping[int, Mapping[str, int]]
    """Entry number -> its words, of those in no segment."""
    segments: Segments
    offices: Mapping[str, tuple[str, tuple[str, ...]]]
    """Office -> its level, and its division with all above it."""
    viewers: dict[str | None, Flags] = field(default_factory=dict)
    front_pages: dict[tuple[str | None, Facet], dict[str, int]] = field(default_factory=dict)
    """Viewer and facet -> the counts of all entries that the viewer may know of."""
    grouped: dict[Facet, "Groups"] = field(default_factory=dict)
    common: dict[bytes, tuple[Numbers, Numbers]] = field(default_factory=dict)
    """Decoded postings of common tokens: addresses and weights."""

    def known(self, viewer: str | None) -> Flags:
        """For every entry whether the viewer may know of it: as `Dataset.is_known_to`."""
        flags = self.viewers.get(viewer)
        if flags is None:
            flags = self.visibility == VISIBILITIES.index(Visibility.EVERYONE)
            if viewer is not None:
                flags |= self.visibility == VISIBILITIES.index(Visibility.OFFICES)
                office = self.codes[Facet.OFFICE].flags([viewer])
                flags |= office[self.columns[Facet.OFFICE]] | office[self.collector]
                flags[[doc for doc, offices in self.known_to.items() if viewer in offices]] = True
            if len(self.viewers) >= VIEWERS_KEPT:
                self.viewers.clear()
            self.viewers[viewer] = flags
        return flags

    def narrowed(self, facet: Facet, wanted: Collection[str]) -> Flags:
        """For every entry whether it has one of the values."""
        groups = self.groups(facet)
        numbers = np.zeros(len(self.codes[groups.column].values), np.bool_)
        taken = set(wanted)
        numbers[groups.numbers[np.array([value in taken for value in groups.values], np.bool_)[groups.members]]] = True
        found: Flags = numbers[self.columns[groups.column]]
        return found

    def counts(self, facet: Facet, of_column: Callable[[Facet], Numbers]) -> dict[str, int]:
        """How many entries there are under each value, from how many there are under each number of a column."""
        groups = self.groups(facet)
        counted = of_column(groups.column)
        known = groups.numbers < len(counted)
        members, numbers = groups.members[known], groups.numbers[known]
        sums = np.bincount(members, weights=counted[numbers], minlength=len(groups.values)).astype(np.int64)
        return ordered_counts(dict(zip(groups.values, sums.tolist(), strict=True)))

    def groups(self, facet: Facet) -> "Groups":
        """How the values of a facet follow from a column."""
        found = self.grouped.get(facet)
        if found is None:
            column = Facet.OFFICE if facet in (Facet.LEVEL, Facet.DIVISION) else facet
            values = Codes()
            members: list[int] = []
            numbers: list[int] = []
            for number, text in enumerate(list(self.codes[column].values)):
                for value in self._values(facet, text):
                    members.append(values.number(value))
                    numbers.append(number)
            found = Groups(column, values.values, np.array(members, np.int64), np.array(numbers, np.int64))
            self.grouped[facet] = found
        return found

    def _values(self, facet: Facet, text: str) -> tuple[str, ...]:
        if facet in (Facet.LEVEL, Facet.DIVISION):
            level, line = self.offices.get(text, ("", ()))
            return line if facet is Facet.DIVISION else (level,) if level else ()
        return _texts(text) if facet is Facet.MEANING else (text,)


@dataclass(frozen=True)
class Groups:
    """Values of a facet, and which numbers of a column belong to each: `members` and `numbers` are pairs of the two."""

    column: Facet
    values: list[str]
    members: Numbers
    numbers: Numbers


VISIBILITIES = list(Visibility)

_held: dict[str, Columns] = {}
"""Columns of each database, as of the newest state that this process has seen outside of transactions."""
_refreshing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@dataclass(frozen=True)
class Found:
    """What a search comes to."""

    page: list[str]
    """Datasets of the page, best first."""
    total: int
    facets: Mapping[Facet, Mapping[str, int]]


def find(
    tokens: Sequence[str],
    *,
    viewer: str | None,
    narrowing: Mapping[Facet, Collection[str]],
    facets: Collection[Facet],
    limit: int,
    offset: int,
    using: str,
) -> Found:
    """The search of the port, answered from one state of the database."""
    wanted = sorted({_bytes_of(token) for token in tokens})
    for attempt in range(ATTEMPTS):
        last = attempt + 1 == ATTEMPTS
        columns = _held.get(using)
        stamp, postings = _read(wanted, columns, using)
        if columns is None or columns.stamp != stamp:
            if last or connections[using].in_atomic_block:
                columns, postings = _read_alone(wanted, columns, using)
            else:
                _refresh(using)
                continue
        return _answer(columns, wanted, postings, viewer, narrowing, facets, limit, offset)
    raise AssertionError("the last attempt always answers")


def _answer(
    columns: Columns,
    tokens: Sequence[bytes],
    postings: Mapping[bytes, tuple[Numbers, Numbers]],
    viewer: str | None,
    narrowing: Mapping[Facet, Collection[str]],
    facets: Collection[Facet],
    limit: int,
    offset: int,
) -> Found:
    count = len(columns.ids)
    base = columns.known(viewer)
    score: Numbers | None = None
    if tokens:
        score = np.zeros(count + 1, np.int64)
        held = np.zeros(count + 1, np.int16)
        for token in tokens:
            docs, weights = postings[token]
            score[docs] += weights
            held[docs] += 1
            text = token.decode("utf-8", "surrogatepass")
            for doc, words in columns.fresh.items():
                if text in words:
                    score[doc] += words[text]
                    held[doc] += 1
        base = base & (held[:count] == len(tokens))
    outside = {facet: columns.narrowed(facet, values) for facet, values in narrowing.items()}
    flags = _all(base, outside.values())
    docs = np.flatnonzero(flags)
    counted: dict[Facet, Mapping[str, int]] = {}
    shared = _counter(columns, docs)
    for facet in facets:
        if facet in outside:
            others = _all(base, (one for narrowed, one in outside.items() if narrowed is not facet))
            counted[facet] = columns.counts(facet, _counter(columns, np.flatnonzero(others)))
        elif tokens or outside:
            counted[facet] = columns.counts(facet, shared)
        else:
            front = columns.front_pages.get((viewer, facet))
            if front is None:
                if len(columns.front_pages) >= VIEWERS_KEPT * len(Facet):
                    columns.front_pages.clear()
                front = columns.front_pages[viewer, facet] = columns.counts(facet, shared)
            counted[facet] = dict(front)
    end = min(offset + limit, len(docs))
    if offset >= end:
        page: list[int] = []
    elif score is None:
        page = columns.in_order[flags[columns.in_order]][offset:end].tolist()
    else:
        # one number for both orders: by falling score, then by rising place among the ids
        order = columns.rank[docs] - score[docs] * (count + 1)
        if end < len(docs):
            near = np.argpartition(order, end - 1)[:end]
            page = docs[near[np.argsort(order[near])]][offset:end].tolist()
        else:
            page = docs[np.argsort(order)][offset:end].tolist()
    return Found(page=[columns.ids[doc] for doc in page], total=len(docs), facets=counted)


def _counter(columns: Columns, docs: Numbers) -> Callable[[Facet], Numbers]:
    """How many of these entries there are under each number of a column, counted once."""
    everything = len(docs) == len(columns.ids)

    @cache
    def count(column: Facet) -> Numbers:
        numbers = columns.columns[column]
        return np.bincount(numbers if everything else numbers[docs], minlength=len(columns.codes[column].values))

    return count


def _all(base: Flags, others: Iterable[Flags]) -> Flags:
    for other in others:
        base = base & other
    return base


Decoded: TypeAlias = dict[bytes, tuple[Numbers, Numbers]]


def _read(wanted: Sequence[bytes], columns: Columns | None, using: str) -> tuple[Stamp, Decoded]:
    """In one statement the numbers of the state and the postings of the tokens, but for those that are held decoded.

    Postings are worth something only if the columns bear the same numbers."""
    held = {} if columns is None else {token: found for token in wanted if (found := columns.common.get(token)) is not None}
    missing = [token for token in wanted if token not in held]
    marks = ", ".join(["%s"] * len(missing)) or "NULL"
    statement = (
        "SELECT s.born, s.edition, s.folded, s.parties, p.token, p.segment_id, p.places FROM catalog_searchstate s"  # noqa: S608
        f" LEFT JOIN catalog_searchposting p ON p.token IN ({marks})"
    )
    with connections[using].cursor() as cursor:
        cursor.execute(statement, missing)
        rows = cursor.fetchall()
    if not rows:  # nothing was ever put in
        return Stamp(), dict.fromkeys(wanted, _NOWHERE)
    stamp = Stamp(*rows[0][:4])
    if columns is None or columns.stamp != stamp:
        return stamp, {}
    parts: defaultdict[bytes, list[tuple[int, Any]]] = defaultdict(list)
    for *_, token, segment, places in rows:
        if token is not None:
            parts[bytes(token)].append((segment, places))
    for token in missing:
        held[token] = _addresses_of(columns.segments, parts[token])
        if len(held[token][0]) >= COMMON_TOKEN:
            if len(columns.common) >= TOKENS_KEPT:
                columns.common.clear()
            columns.common[token] = held[token]
    return stamp, {token: (columns.segments.doc_at[addresses], weights) for token, (addresses, weights) in held.items()}


_NOWHERE = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def _addresses_of(segments: Segments, postings: Sequence[tuple[int, Any]]) -> tuple[Numbers, Numbers]:
    """Addresses and weights of a token."""
    if not postings:
        return _NOWHERE
    decoded = [(segments.base[segment], *decode(bytes(places))) for segment, places in postings]
    addresses = np.concatenate([base + slots for base, slots, _ in decoded])
    return addresses, np.concatenate([weights for _, _, weights in decoded])


def _read_alone(wanted: Sequence[bytes], columns: Columns | None, using: str) -> tuple[Columns, Decoded]:
    """In a transaction that holds others off: for one that sees its own changes, or when others change without a pause.

    What it sees may yet be undone, so it is not held."""
    with transaction.atomic(using=using):
        SearchState.objects.using(using).select_for_update().filter(id=1).first()
        stamp, _ = _read([], None, using)
        columns = _newer(columns, stamp, using)
        return columns, _read(wanted, columns, using)[1]


def _refresh(using: str) -> None:
    """Hold the columns of the present state, read once however many threads ask.

    The stamp is read again by whoever holds the lock: the one that brought a thread here may be older than what is held by now."""
    with _refreshing[using]:
        stamp, _ = _read([], None, using)
        columns = _held.get(using)
        if columns is None or columns.stamp != stamp:
            _held[using] = _newer(columns, stamp, using)


def forget() -> None:
    """Hold nothing any more: the next search reads all columns anew, as the first one of a process does."""
    _held.clear()


def _newer(old: Columns | None, stamp: Stamp, using: str) -> Columns:
    """The columns at a state: only what has changed since is read. The stamp was read before, so that a change that comes between
    shows in the next one."""
    if old is None or old.stamp.born != stamp.born or old.stamp.edition > stamp.edition or old.stamp.folded > stamp.folded:
        old = None
    since = -1 if old is None else old.stamp.edition
    changed: list[tuple[Any, ...]] = []
    if old is None or old.stamp.edition != stamp.edition:
        rows = SearchEntry.objects.using(using).filter(edition__gt=since)
        changed = list(rows.values_list(*ROW, *ROW_OF_FACET))
    offices = old.offices if old is not None and old.stamp.parties == stamp.parties else _offices(using)
    count = max((row[0] + 1 for row in changed), default=0)
    count = max(count, 0 if old is None else len(old.ids))
    ids = _longer_list(old.ids if old else [], count)
    codes = old.codes if old else {facet: Codes() for facet in (*SINGLE, Facet.OFFICE, Facet.MEANING)}
    columns = {facet: _longer(old.columns[facet] if old else None, count, np.int64) for facet in codes}
    collector = _longer(old.collector if old else None, count, np.int64)
    visibility = _longer(old.visibility if old else None, count, np.int8)
    known_to = dict(old.known_to) if old else {}
    fresh = dict(old.fresh) if old else {}
    segments = old.segments if old else Segments({}, {}, np.zeros(0, np.int64))
    folded = old is None or old.stamp.folded != stamp.folded
    if folded:
        segments = Segments({}, _segments(segments.docs, using), segments.doc_at)
        still = set(SearchEntry.objects.using(using).filter(fresh=True).values_list("doc", flat=True))
        fresh = {doc: words for doc, words in fresh.items() if doc in still}
    new: list[int] = []
    office_number = codes[Facet.OFFICE].number
    for doc, dataset, is_fresh, words, provider, collected_by, visible, offices_named, meanings, *singles in changed:
        if ids[doc] != dataset:
            ids[doc] = dataset
            new.append(doc)
        columns[Facet.OFFICE][doc] = office_number(provider)
        collector[doc] = office_number(collected_by)
        visibility[doc] = VISIBILITIES.index(Visibility(visible))
        for facet, value in zip(SINGLE, singles, strict=True):
            columns[facet][doc] = codes[facet].number(value)
        known_to.pop(doc, None)
        if visible == Visibility.NAMED.value:
            known_to[doc] = frozenset(_texts(offices_named))
        columns[Facet.MEANING][doc] = codes[Facet.MEANING].number(meanings)
        fresh.pop(doc, None)
        if is_fresh:
            fresh[doc] = json.loads(words)
    in_order, sorted_ids = _ordered(old, ids, new)
    rank = np.empty(count, np.int64)
    rank[in_order] = np.arange(count)
    return Columns(
        stamp=stamp,
        ids=ids,
        in_order=in_order,
        sorted_ids=sorted_ids,
        rank=rank,
        codes=codes,
        columns=columns,
        collector=collector,
        visibility=visibility,
        known_to=known_to,
        fresh=fresh,
        segments=_addresses(segments.docs, fresh, count) if folded or changed else segments,
        offices=offices,
        common={} if old is None or folded else old.common,
    )


def _longer(old: NDArray[Any] | None, count: int, kind: type[np.generic]) -> NDArray[Any]:
    """A copy with room for so many."""
    new = np.full(count, -1, kind)
    if old is not None:
        new[: len(old)] = old
    return new


def _longer_list(old: list[str], count: int) -> list[str]:
    return [*old, *([""] * (count - len(old)))]


def _ordered(old: Columns | None, ids: list[str], new: list[int]) -> tuple[Numbers, list[str]]:
    """Entry numbers in the order of their ids, and the ids so; a few new ones are put in between."""
    if old is None or len(new) > 200:
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return np.array(order, np.int64), [ids[doc] for doc in order]
    in_order, sorted_ids = old.in_order, list(old.sorted_ids)
    for doc in new:
        place = bisect_left(sorted_ids, ids[doc])
        sorted_ids.insert(place, ids[doc])
        in_order = np.insert(in_order, place, doc)
    return in_order, sorted_ids


def _segments(old: Mapping[int, Numbers], using: str) -> dict[int, Numbers]:
    """All segments with their entries; those that are known already are not read again."""
    rows = SearchSegment.objects.using(using)
    numbers = set(rows.values_list("id", flat=True))
    found = {number: docs for number, docs in old.items() if number in numbers}
    for number, docs in rows.filter(id__in=numbers - found.keys()).values_list("id", "docs"):
        found[number] = np.frombuffer(bytes(docs), "<u4").astype(np.int64)
    return dict(sorted(found.items()))


def _addresses(docs: Mapping[int, Numbers], fresh: Collection[int], count: int) -> Segments:
    """Where each entry counts: in no segment while it is fresh, else in the newest that has it."""
    newest = np.full(count + 1, -1, np.int64)
    for number, own in docs.items():
        newest[np.minimum(own, count)] = number
    newest[list(fresh)] = -1
    base, doc_at, start = {}, [np.zeros(0, np.int64)], 0
    for number, own in docs.items():
        base[number], start = start, start + len(own)
        known = np.minimum(own, count)
        doc_at.append(np.where(newest[known] == number, known, count))
    return Segments(base, docs, np.concatenate(doc_at))


def _offices(using: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    parents = dict(parties.Division.objects.using(using).values_list("code", "parent_id"))
    rows = parties.Office.objects.using(using).values_list("id", "level", "division_id")
    return {office: (level, tuple(dict.fromkeys(line_up(division, parents)))) for office, level, division in rows}


@lru_cache(maxsize=4096)
def _texts(value: str) -> tuple[str, ...]:
    return tuple(json.loads(value))
