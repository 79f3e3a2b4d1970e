"""Uses that run now: who may see them, who may stop them.

A use says that it runs when its engine has worked for a second, and takes that back when it ends: one that is answered at once costs
no write. While it works it looks each second whether somebody cancelled it. All of it is in the database, so it does not matter which
process serves whom. A use whose process died is not seen any more, and is forgotten after `UNSEEN_SECONDS`.

Who may cancel a use: the person who began it, and a data officer of the office that uses, who answers for the office's uses. An
operator may not: the time limit and the places of an office keep the engine free, and what an office asks is none of an operator's
business."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from huitong.errors import NotFound, Refused
from huitong.model.party import Actor, Role

_LOG = logging.getLogger("huitong.gateway")
SEEN_AGAIN_SECONDS = 10.0
"""A use that runs says so anew after so long."""
UNSEEN_SECONDS = 35.0
"""One that has said nothing for so long runs no more, whatever became of it: three times the above, and what a busy database needs."""


@dataclass(frozen=True)
class RunningUse:
    """A use between its intent and its outcome; what it asks is not told."""

    query: str
    """Number of the use."""
    person: str
    post: str
    office: str
    purpose: str
    datasets: tuple[str, ...]
    door: str
    since: datetime
    """Of its intent."""
    cancelled_by: str | None = None
    """The person who wants it to stop."""


class RunningStore(Protocol):
    """Where the uses that run are written down."""

    def see(self, use: RunningUse, /, *, at: datetime, unseen_since: datetime) -> None:
        """It runs at this instant. What was not seen since `unseen_since` is forgotten; who cancelled it is not."""

    def cancelled_by(self, query: str, /) -> str | None:
        """Who wants it to stop."""

    def cancel(self, query: str, /, *, by: str) -> None:
        """That person wants it to stop, unless somebody did already."""

    def remove(self, query: str, /) -> None:
        """It has ended."""

    def running(self, office: str, /, *, seen_since: datetime) -> Sequence[RunningUse]:
        """The uses of an office that were seen at or after that instant, the longest running first."""


class Watched:
    """One use, from its intent to its outcome."""

    def __init__(self, store: RunningStore, clock: Callable[[], datetime], use: RunningUse) -> None:
        self._store = store
        self._clock = clock
        self._use = use
        self._seen: datetime | None = None

    def look(self) -> None:
        """It still runs. Raises Refused `query-cancelled` if somebody wants it to stop.

        That it could not be written down is no reason to stop it: it is tried again."""
        now = self._clock()
        if self._seen is None or now - self._seen >= timedelta(seconds=SEEN_AGAIN_SECONDS):
            try:
                self._store.see(self._use, at=now, unseen_since=now - timedelta(seconds=UNSEEN_SECONDS))
                self._seen = now
            except Exception as error:
                _LOG.warning("that query %s runs could not be written down: %s", self._use.query, type(error).__name__)
                return
        by = self._store.cancelled_by(self._use.query)
        if by is not None:
            raise Refused.because("query-cancelled", query=self._use.query, by=by)

    def close(self) -> None:
        """It has ended. What cannot be removed is not seen any more."""
        if self._seen is None:
            return
        try:
            self._store.remove(self._use.query)
        except Exception as error:
            _LOG.warning("that query %s has ended could not be written down: %s", self._use.query, type(error).__name__)


class RunningUses:
    """The uses of an instance that run now."""

    def __init__(self, store: RunningStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def watched(self, use: RunningUse) -> Watched:
        """The watch over a use that begins; nothing is written yet."""
        return Watched(self._store, self._clock, use)

    def running(self, *, by: Actor) -> Sequence[RunningUse]:
        """The uses of the actor's office that run now, the longest running first: for a data officer all, else one's own."""
        seen_since = self._clock() - timedelta(seconds=UNSEEN_SECONDS)
        found = self._store.running(by.office, seen_since=seen_since)
        return [use for use in found if by.has(Role.DATA_OFFICER) or use.person == by.person]

    def cancel(self, query: str, *, by: Actor) -> RunningUse:
        """Stop a use that `running` shows to the actor; it ends within a second or two. Who cancelled it first stays.

        Raises NotFound `query-not-running`, also for a use that the actor may not see."""
        if not any(use.query == query for use in self.running(by=by)):
            raise NotFound.because("query-not-running", query=query)
        self._store.cancel(query, by=by.person)
        for use in self.running(by=by):
            if use.query == query:
                return use
        raise NotFound.because("query-not-running", query=query)  # it ended meanwhile
