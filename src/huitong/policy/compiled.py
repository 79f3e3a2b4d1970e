"""Decisions made ready: the same answers as `policy.decide.decide`, for doors that decide many times a second.

`Rights` holds grants of offices in the form in which a yes is one look-up and three comparisons: by office, purpose and dataset, each
grant with the items that it carries and the interval in which it does. Which grants carry a use, and which of them is the widest, is
asked of the rules of `decide` themselves, once; whatever is not a plain yes goes to `decide` for its reasons. A property test holds
both equal.

`Decider` keeps rights for one process, office by office and dataset by dataset as they are used, until the policy epoch moves."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from sys import intern
from typing import Any, Protocol

from huitong.model.catalog import Dataset
from huitong.model.party import Actor, Role
from huitong.model.policy import Decision, Grant
from huitong.policy.decide import MASKED, _faults, _left_aside, _masked, _width, decide, fault_of_purpose
from huitong.policy.schemes import GradingScheme
from huitong.policy.schemes import scheme as shipped_scheme

PARTS_OF_A_PROCESS = 20_000
"""Pairs of office and dataset whose grants a process keeps ready; beyond that it begins anew."""

_NO_ITEM: frozenset[str] = frozenset()
_ANALYST = Role.ANALYST
_NEVER = datetime.max.replace(tzinfo=UTC)
_ALWAYS = datetime.min.replace(tzinfo=UTC)


class OfficeGrants(Protocol):
    """Finds the grants of one office, fit for deciding a use."""

    def grants_of_office(self, office: str, datasets: Collection[str], /) -> Sequence[Grant]:
        """Grants of the using office for these datasets, in every state."""


def evidence_of(grant: Grant) -> Mapping[str, Any]:
    """What the ledger's intent says of a grant that carries a use."""
    return {"grant": grant.id, "version": grant.version, "terms_hash": grant.terms_hash, "dataset": grant.dataset}


class Carried:
    """A yes: the grant that carries a use, and what the ledger's intent says of it."""

    __slots__ = ("begins", "decision", "ends", "evidence", "grant", "items", "others")

    def __init__(self, grant: Grant, items: frozenset[str], begins: datetime, ends: datetime) -> None:
        self.items = items
        """What it carries, in small letters and as the items are spelt in the catalogue and in the grant."""
        self.begins = begins
        self.ends = ends
        self.grant = grant
        self.evidence = evidence_of(grant)
        self.decision = Decision(grants={grant.dataset: grant}, reasons=())
        self.others: _Several | None = None
        """Set where several grants may carry the use, or one that had not begun yet; this one has then always ended, and the look-up
        goes on to those."""


class _Several(Carried):
    """Several grants of one office for one purpose over one dataset, or one that had not begun when it was made ready."""

    __slots__ = ("every", "small")

    def __init__(self, every: Sequence[Carried]) -> None:
        super().__init__(every[0].grant, _NO_ITEM, _NEVER, _ALWAYS)
        self.others = self
        widths = sorted(((_width(one.grant, _NO_ITEM), one) for one in every), key=lambda pair: pair[0])
        self.every = [(one, _masked(one.grant), width[:MASKED], one.grant.terms.cuts_rows) for width, one in widths]
        """The widest first, were no item masked: with the masked items, what comes before their number in the width, and whether rows are
        cut."""
        self.small = frozenset(item for one in every for item in one.items if item == item.lower())

    def widest(self, items: frozenset[str], at: datetime) -> Carried | None:
        """The one that is taken; None if none carries the use, or if more than that must be said of it."""
        if not items <= self.small:
            items = _small(items)
        best: Carried | None = None
        least, cuts_rows = 0, False
        before: tuple[Any, ...] = ()
        for one, masked, wide, cuts in self.every:
            if best is not None and (wide != before or not least):
                break  # whoever comes now is narrower
            if one.begins <= at < one.ends and items <= one.items:
                number = 0 if masked.isdisjoint(items) else len(items & masked)
                if best is None or number < least:
                    best, least, before, cuts_rows = one, number, wide, cuts
        if best is None or not cuts_rows:
            return best
        valid = [one.grant for one, *_ in self.every if one.begins <= at < one.ends and items <= one.items]
        return None if _left_aside(best.grant, valid) else best


class Rights:
    """Grants of offices over datasets, made ready for deciding."""

    __slots__ = ("_datasets", "_grants", "_lock", "_ready", "_same", "_scheme", "_since")

    def __init__(self, *, scheme: GradingScheme | None = None) -> None:
        """None yet; `Rights.of` and `Decider.rights` make them. `scheme` is the grading scheme in force (None: the shipped one)."""
        self._scheme = scheme or shipped_scheme()
        self._datasets: dict[str, Dataset] = {}
        self._grants: dict[tuple[str, str], tuple[Grant, ...]] = {}
        self._ready: dict[tuple[str, str, str], Carried] = {}
        self._same: dict[Any, Any] = {}
        self._lock = threading.Lock()
        self._since = _ALWAYS  # from here on each single grant that is ready has begun, so that this is not asked one by one

    @classmethod
    def of(
        cls, grants: Iterable[Grant], datasets: Mapping[str, Dataset], *, scheme: GradingScheme | None = None
    ) -> "Rights":
        """Of grants of any office and state, over these datasets."""
        held: defaultdict[tuple[str, str], list[Grant]] = defaultdict(list)
        for grant in grants:
            held[grant.using_office, grant.dataset].append(grant)
        rights = cls(scheme=scheme)
        rights._datasets.update(datasets)
        for (office, name), found in held.items():
            if name in datasets:
                rights.hold(office, datasets[name], found)
        return rights

    def hold(self, office: str, dataset: Dataset, grants: Sequence[Grant]) -> None:
        """Take in all that the office holds over the dataset, once."""
        self._datasets[dataset.id] = dataset
        self._grants[office, dataset.id] = tuple(grants)

    def __len__(self) -> int:
        return len(self._grants)

    def dataset(self, name: str) -> Dataset | None:
        """The dataset as it was when its grants were made ready; None if it was not."""
        return self._datasets.get(name)

    def grants(self, office: str, dataset: str) -> tuple[Grant, ...] | None:
        """All grants of the office over the dataset; None if nothing was taken in for them."""
        return self._grants.get((office, dataset))

    def only(self, office: str, grant: str) -> "Rights":
        """What the office may do under that grant of its own alone."""
        narrowed = Rights(scheme=self._scheme)
        narrowed._datasets = self._datasets
        for (holder, name), grants in self._grants.items():
            if holder == office:
                narrowed._grants[holder, name] = tuple(one for one in grants if one.id == grant)
        return narrowed

    def granted(self, office: str, datasets: Iterable[str]) -> frozenset[str]:
        """Those of these datasets over which the office holds a grant, whatever its state."""
        return frozenset(name for name in datasets if self._grants.get((office, name)))

    def first_choice(self, *, actor: Actor, purpose: str, datasets: Iterable[str], at: datetime) -> Mapping[str, Grant]:
        """Dataset by dataset the grant that carries a use that names no item, where there is one."""
        found: dict[str, Grant] = {}
        for name in datasets:
            found.update(self.decide(actor=actor, purpose=purpose, uses={name: _NO_ITEM}, at=at).grants)
        return found

    def carried(self, actor: Actor, purpose: str, dataset: str, items: frozenset[str], at: datetime) -> Carried | None:
        """The grant that carries this use, if it is a plain yes: one grant, nothing to be noticed. Otherwise ask `decide`."""
        one = self._ready.get((actor.office, purpose, dataset))
        if one is None:
            one = self._make_ready(actor, purpose, dataset, at)
            if one is None:
                return None
        if _ANALYST not in actor.roles:  # `fault_of_actor`, without its words
            return None
        if at < one.ends and items <= one.items and at >= self._since:
            return one
        if one.others is not None:
            return one.others.widest(items, at)
        return one if at < one.ends and _small(items) <= one.items and at >= self._since else None

    def decide(self, *, actor: Actor, purpose: str, uses: Mapping[str, frozenset[str]], at: datetime) -> Decision:
        """What `policy.decide.decide` says with the grants of the actor's office and these datasets: same grants, same reasons,
        same notices."""
        found: dict[str, Grant] = {}
        for name in sorted(uses):
            one = self.carried(actor, purpose, name, uses[name], at)
            if one is None:
                return self._decide(actor, purpose, uses, at)
            if len(uses) == 1:
                return one.decision
            found[name] = one.grant
        return Decision(grants=found, reasons=()) if found else self._decide(actor, purpose, uses, at)

    def _decide(self, actor: Actor, purpose: str, uses: Mapping[str, frozenset[str]], at: datetime) -> Decision:
        return decide(
            actor=actor,
            purpose=purpose,
            uses=uses,
            datasets={name: self._datasets[name] for name in uses if name in self._datasets},
            grants=[grant for name in uses for grant in self._grants.get((actor.office, name), ())],
            at=at,
            scheme=self._scheme,
        )

    def _make_ready(self, actor: Actor, purpose: str, name: str, at: datetime) -> Carried | None:
        """The first time that an office, purpose and dataset are asked together. Only what carries something is kept."""
        grants = self._grants.get((actor.office, name))
        if not grants or fault_of_purpose(purpose) is not None:
            return None
        dataset = self._datasets[name]
        every = [one for grant in grants if (one := self._candidate(grant, dataset, actor, purpose)) is not None]
        if not every:
            return None
        ready = every[0]
        if len(every) > 1 or at < ready.begins:
            ready = _Several(every)
        else:
            with self._lock:
                self._since = max(self._since, ready.begins)  # before it can be found
        self._ready[intern(actor.office), intern(purpose), intern(name)] = ready
        return ready

    def _candidate(self, grant: Grant, dataset: Dataset, actor: Actor, purpose: str) -> Carried | None:
        """The grant with all that it carries while it is valid; None if it never carries anything for this office and purpose.

        Faults of several items together are those of each, because no grade lets leave what a lower one keeps."""

        def carries(items: frozenset[str]) -> bool:
            return not _faults(grant, dataset, items, actor, purpose, grant.terms.valid_from, self._scheme)

        if not carries(_NO_ITEM):
            return None
        granted = frozenset([term.item for term in grant.terms.items])
        if not carries(granted):
            granted = frozenset([item for item in granted if carries(frozenset((item,)))])
        small = _small(granted)
        spelt = frozenset([item.name for item in dataset.items if item.name.lower() in small])
        # Most grants over a dataset carry the same items, and many end on the same day: what is equal is held once.
        same = self._same.setdefault
        begins, ends = grant.terms.valid_from, grant.terms.valid_until
        items = granted | small | spelt
        return Carried(grant, same(items, items), same(begins, begins), same(ends, ends))


def _small(items: frozenset[str]) -> frozenset[str]:
    return frozenset([item.lower() for item in items])


class Decider:
    """Rights as they are used in one process, each office's and dataset's grants read once until the policy epoch moves.

    What is kept belongs to an epoch that was read before the grants were: it is never older than the request that uses it."""

    def __init__(self, grants: OfficeGrants, *, scheme: GradingScheme | None = None) -> None:
        """`grants` finds them; `scheme` is the grading scheme in force (None: the shipped one)."""
        self._grants = grants
        self._scheme = scheme
        self._lock = threading.Lock()
        self._kept: tuple[int, Rights] = (-1, Rights(scheme=scheme))

    def rights(self, office: str, datasets: Mapping[str, Dataset], *, epoch: int) -> Rights:
        """Rights that hold all grants of the office over these datasets; `epoch` is the policy epoch that the request has read.
        One statement reads the grants of all datasets that are not at hand."""
        kept = self._kept_of(epoch)
        if len(kept) > PARTS_OF_A_PROCESS or any(_changed(kept.dataset(dataset.id), dataset) for dataset in datasets.values()):
            kept = self._anew(epoch)
        missing = [name for name in datasets if kept.grants(office, name) is None]
        if missing:
            found: dict[str, list[Grant]] = {name: [] for name in missing}
            for grant in self._grants.grants_of_office(office, missing):
                found[grant.dataset].append(grant)
            for name, grants in found.items():
                kept.hold(office, datasets[name], grants)
        return kept

    def _kept_of(self, epoch: int) -> Rights:
        """What belongs to that epoch, and to no other."""
        with self._lock:
            if self._kept[0] != epoch:
                self._kept = (epoch, Rights(scheme=self._scheme))
            return self._kept[1]

    def _anew(self, epoch: int) -> Rights:
        with self._lock:
            self._kept = (epoch, Rights(scheme=self._scheme))
            return self._kept[1]


def _changed(kept: Dataset | None, dataset: Dataset) -> bool:
    """Whether an entry is another than the one that rights were made ready with, though the epoch has not moved."""
    return kept is not None and kept is not dataset and kept != dataset
