"""Grouped commits: entries of uses that come at the same time are written in one durable transaction.

The first caller that finds nobody writing leads: it writes its own entry and all that wait, in its own thread and over its own connection,
and hands the lead to the first of those that came meanwhile. So there is no thread that could die and no second connection, and a lone
caller commits at once, as it would without all this. In a busy process the leader waits a moment for as many as came last time.

Whoever is told of an entry is told after the commit. An entry inside somebody's transaction stays in it.
"""

import logging
import os
import threading
import time
import tomllib
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

from huitong.errors import Conflict, HuitongError, InputInvalid, Unavailable
from huitong.model.ledger import EntryKind, Promise, UseOfEntry

_LOG = logging.getLogger("huitong.ledger")


class GroupStore(Protocol):
    """What grouping asks of the database."""

    def in_transaction(self) -> bool:
        """Whether the calling thread has a transaction open, which its entries belong to."""

    def atomic(self) -> AbstractContextManager[None]:
        """A transaction that is durable when it ends. Raises Conflict or InputInvalid if it is what one entry says that cannot be kept."""

    def add_all(self, promises: Sequence[Promise], uses: Sequence[tuple[UseOfEntry, Promise]]) -> None:
        """Keep pending entries in this order, and to which use they belong; inside a transaction."""


class Signer(Protocol):
    """What signs entries (`huitong.ledger.log.Ledger`)."""

    def promised(self, entries: Sequence[tuple[EntryKind, Mapping[str, Any]]]) -> list[Promise | HuitongError]:
        """Each entry signed, all of one instant, or why that one cannot be."""


@dataclass(frozen=True)
class GroupLimits:
    """When a group is written, with the meaning given in `limits.toml`."""

    wait_milliseconds: float
    quiet_milliseconds: float
    entries: int

    def __post_init__(self) -> None:
        if self.wait_milliseconds < 0 or self.quiet_milliseconds <= 0 or self.entries < 1:
            raise ValueError("a group has at least one entry, and no wait is less than nothing")


def group_limits() -> GroupLimits:
    """The numbers that ship with Huitong."""
    said = tomllib.loads(files("huitong.ledger").joinpath("limits.toml").read_text("utf-8"))["grouping"]
    return GroupLimits(**said)


class _Member:
    """An entry that waits to be written, and its caller."""

    __slots__ = ("answer", "body", "kind", "leads", "query", "use", "wake")

    def __init__(self, kind: EntryKind, body: Mapping[str, Any], use: UseOfEntry | None) -> None:
        self.kind, self.body, self.use = kind, body, use
        self.query = str(body.get("query", ""))
        self.answer: Promise | HuitongError | None = None
        self.leads = False
        self.wake = threading.Lock()
        self.wake.acquire()


class GroupedEntries:
    """Writes entries of uses for all threads of a process."""

    def __init__(
        self, store: GroupStore, signer: Signer, *, limits: GroupLimits | None = None, timer: Callable[[], float] = time.monotonic
    ) -> None:
        """`timer` tells how long a group has been waited for, in seconds."""
        self._store = store
        self._signer = signer
        self._limits = limits or group_limits()
        self._timer = timer
        self._begin_anew()
        _GROUPS.add(self)

    def append(self, *, kind: EntryKind, body: Mapping[str, Any], use: UseOfEntry | None = None) -> Promise:
        """Write one entry, and to which use it belongs: inside the caller's transaction if there is one, else durably, together with
        those of others.

        Raises as `Ledger.append` does, for this entry alone; Unavailable `ledger-not-writable` if the database cannot write."""
        member = _Member(kind, body, use)
        if self._store.in_transaction():
            self._write_into([member])
        else:
            self._stand_in_line(member)
        if isinstance(member.answer, Promise):
            return member.answer
        assert member.answer is not None
        raise member.answer

    def _begin_anew(self) -> None:
        """Nobody waits. Also what a forked child begins with: those who waited are threads of its parent."""
        self._mutex = threading.Lock()
        self._enough = threading.Condition(self._mutex)
        self._waiting: list[_Member] = []
        self._led = False
        self._last = 1
        """Entries of the last group."""
        self._wanted: int | None = None
        """The leader wants to be told when so many wait."""

    # --- standing in line

    def _stand_in_line(self, member: _Member) -> None:
        try:
            with self._mutex:
                self._waiting.append(member)
                member.leads, self._led = not self._led, True
                if self._wanted is not None and len(self._waiting) >= self._wanted:
                    self._enough.notify()
            if not member.leads:
                member.wake.acquire()
            if member.leads:
                self._lead(member)
        except BaseException:  # its caller was interrupted: what is not being written yet never will be, and the lead goes on
            self._end_of(member)
            raise

    def _lead(self, member: _Member) -> None:
        group: list[_Member] = []
        try:
            self._gather(group)
            self._write(group)
        finally:
            for one in group:
                if one.answer is None:  # the leader's thread was interrupted: nobody knows what became of the commit
                    one.answer = Unavailable.because("ledger-not-writable", query=one.query)
            self._end_of(member)
            for one in group:
                if one is not member:
                    one.wake.release()

    def _end_of(self, member: _Member) -> None:
        """It waits no more, nor do those who have their answers; who led hands on the lead."""
        with self._mutex:
            self._waiting = [one for one in self._waiting if one is not member and one.answer is None]
            if member.leads:
                member.leads = False
                self._hand_on()

    def _hand_on(self) -> None:
        """The first that waits leads the next group; the caller holds the mutex."""
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].wake.release()
        else:
            self._led = False

    def _gather(self, group: list[_Member]) -> None:
        """Put the entries of this group into the list, that of the leader first."""
        most = self._limits.entries
        with self._mutex:
            if self._last > 1:
                self._wanted = min(self._last, most)
                until = self._timer() + self._limits.wait_milliseconds / 1000
                while (came := len(self._waiting)) < self._wanted and (left := until - self._timer()) > 0:
                    self._enough.wait(min(left, self._limits.quiet_milliseconds / 1000))
                    if len(self._waiting) == came:
                        break
                self._wanted = None
            group += self._waiting[:most]
            del self._waiting[:most]
            self._last = len(group)

    # --- writing

    def _write(self, group: Sequence[_Member]) -> None:
        """Each gets its answer. Where the group fails because of what one says, each is written alone: the others are not to suffer."""
        try:
            with self._store.atomic():
                answers = self._kept(group)
        except (Conflict, InputInvalid) as fault:
            if len(group) > 1:
                for one in group:
                    self._write([one])
                return
            answers = [fault]
        except HuitongError as fault:
            answers = [type(fault)(*fault.reasons) for _ in group]
        except Exception as error:
            _LOG.error("%d entries could not be written: %s", len(group), type(error).__name__)
            answers = [Unavailable.because("ledger-not-writable", query=one.query) for one in group]
        for one, answer in zip(group, answers, strict=True):
            one.answer = answer

    def _write_into(self, group: Sequence[_Member]) -> None:
        """The same inside the caller's transaction, which an error undoes."""
        for one, answer in zip(group, self._kept(group), strict=True):
            one.answer = answer

    def _kept(self, group: Sequence[_Member]) -> list[Promise | HuitongError]:
        answers = self._signer.promised([(one.kind, one.body) for one in group])
        written = [(one, answer) for one, answer in zip(group, answers, strict=True) if isinstance(answer, Promise)]
        if written:
            uses = [(one.use, promise) for one, promise in written if one.use is not None]
            self._store.add_all([promise for _, promise in written], uses)
        return answers


_GROUPS: "weakref.WeakSet[GroupedEntries]" = weakref.WeakSet()


def _begin_anew_after_fork() -> None:
    for group in list(_GROUPS):
        group._begin_anew()


os.register_at_fork(after_in_child=_begin_anew_after_fork)
