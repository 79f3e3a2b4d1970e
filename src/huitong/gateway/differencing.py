"""No two answers of totals may differ by a few entities: which questions an office was answered about a dataset, and which of them a new
one is compared with (the comparison itself is `huitong.gateway.rewrite.apart`).

Comparing takes the engine, so no lock is held meanwhile. Instead a question is *claimed* first: it counts as answered for all that are
claimed after it. Of two at the same moment the later one is compared with the earlier, so they cannot both pass; a claim of a use that
was killed goes on counting, which refuses more than needed and never less.

This audits pairs of questions, and a whole with its parts. It does not solve for combinations of three answers and more that overlap only
in part, which is not feasible in general (Chin and Ozsoyoglu 1982); rounding and noise stand behind it."""

import hashlib
import hmac
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files

from cryptography.exceptions import InvalidTag

from huitong.errors import Refused
from huitong.gateway.questions import KeptQuestion, Question, digest_of, document_of, kept_of, sealed, unsealed
from huitong.model.policy import Grant
from huitong.sharing.answered import AnsweredQuestion, QuestionStore
from huitong.sharing.ports import Transactions


@dataclass(frozen=True)
class Audit:
    """How far questions are compared."""

    comparisons: int
    """At most so many comparisons for one question; one that needs more is refused."""
    seconds: float
    """No further statement of comparisons begins after so long; a question that needs one is refused."""
    at_once: int
    """So many earlier questions are compared in one statement."""
    remembered_days: int
    """A question that was not answered again for so long is forgotten."""


@cache
def shipped_audit() -> Audit:
    """The numbers of `totals.toml`."""
    written = tomllib.loads((files("huitong.gateway") / "totals.toml").read_text("utf-8"))["differencing"]
    return Audit(int(written["comparisons"]), float(written["seconds"]), int(written["at_once"]), int(written["remembered_days"]))


def watch_key(secret: bytes) -> bytes:
    """The key of the questions, of a secret that serves other things too."""
    return hmac.digest(secret, b"huitong/answered-questions/1", hashlib.sha256)


def compared_items(new: Question, old: Question) -> Sequence[str | None]:
    """For what two questions are compared: all rows (None), and the rows that know an item which both sum or average."""
    return (None, *(name for name in new.values if name in old.values))


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The questions of one instance. `key` is secret and of this instance alone: conditions are sealed by it."""

    store: QuestionStore
    transactions: Transactions
    key: bytes
    audit: Audit
    timer: Callable[[], float]
    """Seconds since any beginning, e.g. `time.monotonic`."""

    @contextmanager
    def claimed(self, question: Question, /, *, query: str, grant: Grant, snapshot: int, at: datetime) -> Iterator[Iterable[KeptQuestion]]:
        """While the block compares the question with these and answers it, it counts as answered; then it is, unless the block failed.
        One that was answered already, of the same snapshot and under the same rules, is compared with none.

        Raises Refused `totals-history-full` if there are too many, `totals-history-slow` if comparing takes too long (while the block
        goes through them), `totals-not-comparable` if one cannot be read any more."""
        office, dataset = grant.using_office, grant.dataset
        document = document_of(question, grant.terms)
        claim = AnsweredQuestion(
            query=query,
            office=office,
            dataset=dataset,
            grant=grant.id,
            digest=digest_of(document, self.key),
            snapshot=snapshot,
            at=at,
            sealed=sealed(document, self.key, f"{office}\x1f{dataset}"),
        )
        with self.transactions.atomic():
            self.store.lock(office, dataset)
            held = self._remembered(office, dataset, at)
            if any(one.answered and (one.digest, one.snapshot) == (claim.digest, snapshot) for one in held):
                others: Sequence[KeptQuestion] | None = None
            else:
                others = self._others(claim, held, question, grant)
                self.store.put(claim)
        if others is None:
            yield ()
            return
        try:
            yield self._in_time(others, grant)
        except BaseException:
            with self.transactions.atomic():
                self.store.lock(office, dataset)
                self.store.remove(query)
            raise
        with self.transactions.atomic():
            self.store.lock(office, dataset)
            self.store.settle(query)

    def _in_time(self, others: Sequence[KeptQuestion], grant: Grant) -> Iterator[KeptQuestion]:
        """One after the other, as long as there is time."""
        end = self.timer() + self.audit.seconds
        for one in others:
            if self.timer() >= end:
                raise Refused.because("totals-history-slow", grant=grant.id, dataset=grant.dataset, seconds=round(self.audit.seconds))
            yield one

    def _remembered(self, office: str, dataset: str, at: datetime) -> Sequence[AnsweredQuestion]:
        held = self.store.of(office, dataset)
        oldest = at - timedelta(days=self.audit.remembered_days)
        for one in held:
            if one.at < oldest:
                self.store.remove(one.query)
        return [one for one in held if one.at >= oldest]

    def _others(
        self, claim: AnsweredQuestion, held: Sequence[AnsweredQuestion], question: Question, grant: Grant
    ) -> Sequence[KeptQuestion]:
        """Each other question once. One that was answered of an earlier snapshot is asked again of this one: it was compared with all of
        then, and now is with those of this snapshot. Else two that have come close since would shut each other out for good."""
        again = any(one.answered and one.digest == claim.digest for one in held)
        wanted = [one for one in held if one.digest != claim.digest and (one.snapshot == claim.snapshot or not again)]
        found: list[KeptQuestion] = []
        for one in {one.digest: one for one in wanted}.values():
            try:
                document = unsealed(one.sealed, self.key, f"{one.office}\x1f{one.dataset}")
            except InvalidTag:
                raise Refused.because("totals-not-comparable", grant=grant.id, dataset=grant.dataset) from None
            found.append(kept_of(document, grant.terms))
        if sum(len(compared_items(question, one.question)) for one in found) > self.audit.comparisons:
            limits = {"limit": self.audit.comparisons, "days": self.audit.remembered_days}
            raise Refused.because("totals-history-full", grant=grant.id, dataset=grant.dataset, **limits)
        return found
