"""What happens when an office takes the place of another, or divisions change: everything moves with a trace, nothing is widened.

A grant is an agreement between two offices. When one of them is succeeded the agreement ends and the same one begins with the
successor: same terms, same pseudonyms, another hash, both in the ledger. Where the successor itself was refused, it does not begin."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol

from huitong.catalog.canonical import canonical_hash, plain
from huitong.catalog.divisions import Divisions
from huitong.catalog.ports import DivisionStore
from huitong.catalog.search import index_of
from huitong.catalog.succession import DivisionChange, apply_changes, closed
from huitong.errors import Conflict, InputInvalid, NotFound, Reason, Refused
from huitong.ledger.literals import Literal
from huitong.model.catalog import Dataset
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Division, Office, Role
from huitong.model.policy import Grant, GrantEvent, GrantEventKind, GrantState
from huitong.model.sharing import Request, RequestEventKind
from huitong.sharing.deadline import local_day
from huitong.sharing.ports import (
    CatalogStore,
    Clock,
    EntryLog,
    PartyStore,
    PolicyEpoch,
    SharingStore,
    Side,
    Transactions,
)
from huitong.sharing.terms import canonical_terms, told_terms

ATTEMPTS = 3
"""How often the catalogue is looked through without holding it, before it is held meanwhile."""
ALL = 1_000_000
PAGE = 500


class SuccessionStore(SharingStore, Protocol):
    """Requests and grants, of which open requests can pass to another office."""

    def move_requests(self, office: str, successor: str) -> Sequence[str]:
        """Open requests that the office made or has to answer become the successor's; their ids."""
        ...


@dataclass(frozen=True)
class Succession:
    """What passed from one office to another."""

    office: Office
    """The office as it is now: closed, with its successor."""
    successor: Office
    datasets: tuple[str, ...]
    """Entries that name the successor now where they named the office: as managing or collecting office, or as one that may know."""
    grants: tuple[tuple[str, str], ...]
    """Each grant that ended, and the one that took its place."""
    not_moved: tuple[tuple[str, Reason], ...]
    """Grants that ended and were not moved, since that would have given the successor what it was refused."""
    requests: tuple[str, ...]
    """Open requests that the successor now has to answer, or has made."""
    posts: tuple[tuple[str, str], ...]
    """Each post that ended, and the one in the successor."""
    inferiors: tuple[str, ...]
    """Offices whose superior it was."""


@dataclass(frozen=True)
class GrantToLookAt:
    """A grant whose rows name a division that has changed, and why an officer should look at it."""

    grant: Grant
    reason: Reason


@dataclass(frozen=True)
class DivisionsChanged:
    """What a file of changes did, or would do."""

    changes: int
    ended: tuple[str, ...]
    begun: tuple[str, ...]
    renamed: tuple[str, ...]
    offices: tuple[str, ...]
    """Offices of a division that ended: each is to be succeeded by one of a division in force, or entered under one."""
    grants_to_look_at: tuple[GrantToLookAt, ...]
    """Of datasets that the office of the person may know of."""


@dataclass(frozen=True, kw_only=True)
class SuccessionActions:
    """Offices and divisions that others take the place of. An operator acts, or a regulator for offices of its own area.

    Each change is one transaction, in which the policy epoch is bumped first: so it runs alone among the changes of rules."""

    catalog: CatalogStore
    parties: PartyStore
    sharing: SuccessionStore
    divisions: DivisionStore
    transactions: Transactions
    epoch: PolicyEpoch
    ledger: EntryLog
    clock: Clock
    time_zone: str

    # Offices

    def succeed_office(self, office: str, successor: str, *, on: date, words: str, by: Actor) -> Succession:
        """Close the office; whatever it has and whatever it agreed to is the successor's from now on.

        `on` is the day by law, today or before; `words` names the act on which it rests. Past uses, answered requests and ended
        grants stay under its name. All of it happens, or nothing.

        Raises Refused `change-not-allowed`, `succession-out-of-reach`; NotFound `office-unknown`; InputInvalid for what cannot
        be; Conflict `succession-office-closed` or `office-closed`."""
        self._refuse_unless_allowed(by)
        for attempt in range(1, ATTEMPTS + 1):
            epoch = self.epoch.current()
            named = self._entries_that_name(office) if attempt < ATTEMPTS else ()
            with self.transactions.atomic():
                if self.epoch.bump() != epoch + 1 and attempt < ATTEMPTS:
                    continue  # a rule changed while the catalogue was looked through
                old, new = self._parties_of_succession(office, successor, on=on, words=words, by=by)
                if attempt == ATTEMPTS:
                    named = self._entries_that_name(office)
                return self._succeed(old, new, named, on=on, words=words.strip(), by=by)
        raise AssertionError("the last attempt returns or raises")

    def _parties_of_succession(self, office: str, successor: str, *, on: date, words: str, by: Actor) -> tuple[Office, Office]:
        """The two offices, if the one can take the place of the other."""
        old, new = self.parties.office(office), self.parties.office(successor)
        if old is None or new is None:
            raise NotFound(*(Reason("office-unknown", {"office": one}) for one, found in ((office, old), (successor, new)) if not found))
        today = local_day(self.clock(), self.time_zone)
        self._refuse_out_of_reach((old, new), today=today, by=by)
        if old.valid_to is not None:
            since, taken_by = old.valid_to.isoformat(), old.successor or "-"
            raise Conflict.because("succession-office-closed", office=old.id, since=since, successor=taken_by)
        if new.valid_to is not None:
            raise Conflict(closed(new))
        faults = []
        if old.id == new.id:
            faults.append(Reason("succession-of-itself", {"office": old.id}))
        if on > today:
            faults.append(Reason("succession-day-ahead", {"on": on.isoformat(), "today": today.isoformat()}))
        if old.valid_from is not None and on <= old.valid_from:
            about = {"office": old.id, "since": old.valid_from.isoformat(), "on": on.isoformat()}
            faults.append(Reason("succession-before-office", about))
        if new.valid_from is not None and on < new.valid_from:
            about = {"office": new.id, "since": new.valid_from.isoformat(), "on": on.isoformat()}
            faults.append(Reason("succession-successor-later", about))
        if not words.strip():
            faults.append(Reason("succession-words-missing", {"office": old.id}))
        if faults:
            raise InputInvalid(*faults)
        return old, new

    def _succeed(self, old: Office, new: Office, named: Iterable[str], *, on: date, words: str, by: Actor) -> Succession:
        """Everything, inside the transaction."""
        now = self.clock()
        judge = self._judge_of(new.id)
        office = replace(old, valid_to=on, successor=new.id)
        self.parties.put_office(office)
        inferiors = self._move_inferiors(old, new)
        datasets = self._move_entries(old.id, new.id, named, by=by)
        because = f"{old.id} -> {new.id}, {on.isoformat()}: {words}"
        moved: list[tuple[str, str]] = []
        not_moved: list[tuple[str, Reason]] = []
        for grant in self._grants_in_force(old.id, now):
            against = judge(grant, old.id) if grant.using_office == old.id else None
            self._revoke(grant, because=because, succession=old.id, now=now, by=by)
            if against is not None:
                not_moved.append((grant.id, against))
            else:
                moved.append((grant.id, self._move(grant, old.id, new.id, on=on, now=now, by=by).id))
        requests = tuple(self.sharing.move_requests(old.id, new.id))
        posts = tuple((ended, begun) for ended, begun in self.parties.move_posts(old.id, new.id, at=now))
        body = {
            "succeeded": old.id,
            "successor": new.id,
            "on": on.isoformat(),
            "datasets": list(datasets),
            "grants": [list(pair) for pair in moved],
            "grants_not_moved": [[grant, reason.code] for grant, reason in not_moved],
            "requests": list(requests),
            "posts": len(posts),
            "inferiors": list(inferiors),
            "words": Literal(words),
        }
        self._write(EntryKind.OFFICE_SUCCEEDED, body, by=by)
        return Succession(
            office=office,
            successor=self.parties.office(new.id) or new,
            datasets=datasets,
            grants=tuple(moved),
            not_moved=tuple(not_moved),
            requests=requests,
            posts=posts,
            inferiors=inferiors,
        )

    def _entries_that_name(self, office: str) -> tuple[str, ...]:
        """Ids of all entries that name the office."""
        return tuple(dataset.id for dataset in self.catalog.every_dataset() if _names(dataset, office))

    def _move_entries(self, old: str, new: str, named: Iterable[str], *, by: Actor) -> tuple[str, ...]:
        """The successor stands in the entries where the office stood; each is in force again and in the ledger, as if published."""
        moved = []
        entries = self.catalog.datasets(list(named))
        for dataset_id in sorted(entries):
            before = entries[dataset_id]
            after = _renamed(before, old, new)
            offices = [self.parties.office(one) for one in dict.fromkeys((after.provider, after.collector))]
            self.catalog.put_dataset(after, index=index_of(after, [one for one in offices if one is not None]))
            body = {
                "dataset": after.id,
                "provider": after.provider,
                "collector": after.collector,
                "sharing": after.sharing.value,
                "visibility": after.visibility.value,
                "entry_hash": canonical_hash(after),
                "replaces": canonical_hash(before),
                "succession": old,
            }
            self._write(EntryKind.DATASET_PUBLISHED, body, by=by)
            moved.append(after.id)
        return tuple(moved)

    def _with_predecessors(self, office: str) -> Sequence[str]:
        """The office and all whose place it took, at first or second hand."""
        offices = self._offices()
        found = [office]
        for one in found:
            found += [former.id for former in offices if former.successor == one and former.id not in found]
        return found

    def _move_inferiors(self, old: Office, new: Office) -> tuple[str, ...]:
        """Offices below the closed one lie below its successor; the successor itself, if it lay below, below what was above both."""
        moved = []
        for office in self._offices():
            if office.superior == old.id and office.id != old.id:
                self.parties.put_office(replace(office, superior=old.superior if office.id == new.id else new.id))
                moved.append(office.id)
        return tuple(moved)

    def _offices(self) -> list[Office]:
        offices: list[Office] = []
        while True:
            page, count = self.parties.offices(limit=PAGE, offset=len(offices))
            offices += page
            if not page or len(offices) >= count:
                return offices

    # Grants

    def _grants_in_force(self, office: str, now: datetime) -> Sequence[Grant]:
        """Those that the office uses or has given and that are, or will be, of use; oldest first."""
        both = [*self.sharing.grants_of_office(office), *self.sharing.grants_by_provider(office)]
        open_ones = {grant.id: grant for grant in both if grant.state is not GrantState.REVOKED and now < grant.terms.valid_until}
        return sorted(open_ones.values(), key=lambda grant: (grant.granted_at, grant.id))

    def _judge_of(self, successor: str) -> Callable[[Grant, str], Reason | None]:
        """What speaks against moving a grant to the successor: the last word on its own asking for the same purpose was a no.

        A refusal or a revocation stands until the successor was granted something for the purpose since; and what was said to
        offices whose place it took before was said to it. A merger is no way round."""
        one_office = self._with_predecessors(successor)
        requests = [found for one in one_office for found in self.sharing.requests_for(one, side=Side.APPLICANT, limit=ALL)[0]]
        held = [grant for one in one_office for grant in self.sharing.grants_of_office(one)]

        def judge(grant: Grant, office: str) -> Reason | None:
            purpose = grant.terms.purpose.code
            about = {"grant": grant.id, "dataset": grant.dataset, "office": office, "successor": successor}
            own = [one for one in held if one.dataset == grant.dataset and one.terms.purpose.code == purpose]
            newest = max(own, key=lambda one: (one.granted_at, one.id), default=None)
            refusals = [
                (at, request)
                for request in requests
                if request.dataset == grant.dataset and request.wish.purpose.code == purpose and (at := _refused_at(request))
            ]
            if refusals:
                at, request = max(refusals, key=lambda pair: (pair[0], pair[1].id))
                if newest is None or newest.granted_at <= at:
                    return Reason("grant-not-moved-refused", {**about, "request": request.id})
            if newest is not None and newest.state is GrantState.REVOKED:
                return Reason("grant-not-moved-revoked", {**about, "revoked": newest.id})
            return None

        return judge

    def _revoke(self, grant: Grant, *, because: str, succession: str, now: datetime, by: Actor) -> None:
        revoked = replace(grant, state=GrantState.REVOKED, revoked_at=now, revoked_because=because)
        event = GrantEvent(GrantEventKind.MOVED, now, by.person, by.office, grant.version, because)
        self.sharing.change_grant(revoked, event, expected_state=grant.state)
        body = {
            "grant": grant.id,
            "version": grant.version,
            "terms_hash": grant.terms_hash,
            "dataset": grant.dataset,
            "provider": grant.provider,
            "using_office": grant.using_office,
            "side": "succession",
            "succession": succession,
        }
        self._write(EntryKind.GRANT_REVOKED, body, by=by)

    def _move(self, grant: Grant, old: str, new: str, *, on: date, now: datetime, by: Actor) -> Grant:
        """The same agreement with the successor in the place of the office."""
        provider = new if grant.provider == old else grant.provider
        using_office = new if grant.using_office == old else grant.using_office
        agreed = canonical_terms(
            grant.terms,
            dataset=grant.dataset,
            provider=provider,
            using_office=using_office,
            signed_by=grant.signed_by,
            version=grant.version,
        )
        number = self.sharing.next_number("grant")
        moved = replace(
            grant,
            id=f"G-{local_day(now, self.time_zone).year}-{number:06d}",
            provider=provider,
            using_office=using_office,
            terms_hash=canonical_hash(agreed),
            granted_at=now,
            moved_from=grant.id,
        )
        self.sharing.add_grant(moved)
        body = {
            "grant": moved.id,
            "moved_from": grant.id,
            "request": moved.request,
            **told_terms(agreed),
            "terms_hash": moved.terms_hash,
            "state": moved.state.value,
            "succession": old,
            "on": on.isoformat(),
        }
        self._write(EntryKind.GRANT_MOVED, body, by=by)
        return moved

    # Divisions

    def apply_division_changes(self, changes: Iterable[DivisionChange], *, by: Actor, dry_run: bool = False) -> DivisionsChanged:
        """Put the changes in force, all or none; or, as a trial, only tell what they would do.

        Raises Refused `change-not-allowed`; InputInvalid with every fault of the changes."""
        self._refuse_unless_allowed(by)
        listed = tuple(changes)
        with self.transactions.atomic():
            if not dry_run:
                self.epoch.bump()
            before = self._tree()
            outcome = apply_changes(before, listed)
            put = {division.code: division for division in outcome.put}
            after = Divisions((*(put.pop(one.code, one) for one in before.every()), *put.values()))
            ended = set(outcome.ended)
            taking = {successor for one in outcome.put if one.code in ended for successor in one.successors}
            touched = ended | {above.code for code in taking for above in after.line(code)}
            changed = DivisionsChanged(
                changes=len(listed),
                ended=outcome.ended,
                begun=outcome.begun,
                renamed=outcome.renamed,
                offices=tuple(one.id for one in self._offices() if one.division in ended and one.valid_to is None),
                grants_to_look_at=tuple(
                    found
                    for found in self._to_look_at(self._all_grants(), after, touched, until=date.max)
                    if self._may_know(found.grant.dataset, by)
                ),
            )
            if dry_run:
                return changed
            self.divisions.put_divisions(outcome.put)
            body = {
                "changes": len(listed),
                "changes_hash": canonical_hash([plain(change) for change in listed]),
                "days": sorted({change.day.isoformat() for change in listed}),
                "ended": len(outcome.ended),
                "begun": len(outcome.begun),
                "renamed": len(outcome.renamed),
            }
            self._write(EntryKind.DIVISIONS_CHANGED, body, by=by)
            return changed

    def grants_to_look_at(self, *, by: Actor) -> Sequence[GrantToLookAt]:
        """The grants in force of the actor's office, given or used, that are cut to a division which has ended or grown since."""
        own = {grant.id: grant for grant in (*self.sharing.grants_by_provider(by.office), *self.sharing.grants_of_office(by.office))}
        return self._to_look_at(own.values(), self._tree(), None, until=local_day(self.clock(), self.time_zone))

    def _all_grants(self) -> list[Grant]:
        states = (GrantState.ACTIVE, GrantState.PREPARING)
        return [grant for state in states for grant in self.sharing.grants_in_state(state, limit=ALL)]

    def _to_look_at(self, grants: Iterable[Grant], tree: Divisions, touched: set[str] | None, *, until: date) -> Sequence[GrantToLookAt]:
        now = self.clock()
        found = []
        for grant in grants:
            rows = grant.terms.rows
            if rows is None or grant.state is GrantState.REVOKED or grant.terms.valid_until <= now:
                continue
            division = tree.get(rows.division)
            if division is None or (touched is not None and division.code not in touched):
                continue
            reason = self._change_of(grant, division, tree, until)
            if reason is not None:
                found.append(GrantToLookAt(grant, reason))
        return found

    def _change_of(self, grant: Grant, division: Division, tree: Divisions, until: date) -> Reason | None:
        about = {"grant": grant.id, "dataset": grant.dataset, "division": division.code}
        agreed = agreed_on(grant, self.time_zone)
        if division.valid_to is not None and division.valid_to <= until:
            codes = tree.codes_under(division.code, until, agreed)
            followed = sum(successor.code in codes for successor in tree.successors(division.code, division.valid_to))
            return Reason("grant-division-ended", {**about, "on": division.valid_to.isoformat(), "followed": followed})
        grown = tree.grown(division.code, since=agreed, until=until)
        if grown is not None:
            return Reason("grant-division-grown", {**about, "on": grown.isoformat()})
        return None

    def _tree(self) -> Divisions:
        return Divisions(self.divisions.divisions())

    # Who may

    def _refuse_unless_allowed(self, by: Actor) -> None:
        if not by.has(Role.OPERATOR) and not by.has(Role.REGULATOR):
            raise Refused.because("change-not-allowed", post=by.post)

    def _refuse_out_of_reach(self, offices: Iterable[Office], *, today: date, by: Actor) -> None:
        if by.has(Role.OPERATOR):
            return
        reach = self._tree().codes_under(by.division, today)
        outside = [office for office in offices if office.division not in reach]
        if outside:
            raise Refused(*(Reason("succession-out-of-reach", {"office": one.id, "division": one.division}) for one in outside))

    def _may_know(self, dataset_id: str, by: Actor) -> bool:
        dataset = self.catalog.dataset(dataset_id)
        return dataset is not None and dataset.is_known_to(by.office)

    def _write(self, kind: EntryKind, body: dict[str, Any], *, by: Actor) -> None:
        self.ledger.append(kind=kind, body={**body, "actor": by.person, "office": by.office, "post": by.post})


def agreed_on(grant: Grant, time_zone: str) -> date:
    """The day on which the terms were agreed; a grant that was moved keeps the day of the one that it took the place of.

    It is what `Divisions.codes_under` takes as `agreed`: the rows are those of the area that the division had then."""
    return local_day(grant.terms.valid_from, time_zone)


def _names(dataset: Dataset, office: str) -> bool:
    """Whether the entry names the office anywhere."""
    return (
        office in (dataset.provider, dataset.collector)
        or office in dataset.known_to
        or any(item.collector == office for item in dataset.items)
    )


def _renamed(dataset: Dataset, old: str, new: str) -> Dataset:
    """The entry with one office in the place of another, wherever it is named."""

    def put(office: str) -> str:
        return new if office == old else office

    return replace(
        dataset,
        provider=put(dataset.provider),
        collector=put(dataset.collector),
        items=tuple(replace(item, collector=new) if item.collector == old else item for item in dataset.items),
        known_to=tuple(dict.fromkeys(put(office) for office in dataset.known_to)),
    )


def _refused_at(request: Request) -> datetime | None:
    """When it was refused; None if it was not."""
    last = request.events[-1]
    return last.at if last.kind is RequestEventKind.REFUSED else None
