"""Noised totals: what a wish for them says, and the budget that their answers spend.

An answer is epsilon-differentially private for one entity, and epsilons of answers add up (sequential composition; that the next question
depends on earlier answers changes nothing, Rogers et al. 2016 for pure epsilon). So there is one number for each grant that only grows,
and one for each using office and dataset over all its grants. A budget is taken when a use begins, in one statement of the database that
takes it only if it is left. It is given back only for a use that could not begin or could not be served before noise was drawn; one that
was killed has spent it. A new version of a grant goes on with what was spent; a successor of an office with what that one spent.

What was told is kept, sealed: the same question gives the same answer and costs nothing. (Noise seeded by the question would do so too,
but it is not differentially private.)"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from huitong.errors import Reason, Refused
from huitong.masks import noise
from huitong.model.catalog import Dataset, ItemType
from huitong.model.policy import Grant, NoisedTerms, ValueBounds, epsilon_text
from huitong.sharing.ports import Transactions
from huitong.sharing.term_limits import NoisedLimits, TermLimits

if TYPE_CHECKING:
    from huitong.model.sharing import Wish

_NUMBERS = (ItemType.INTEGER, ItemType.DECIMAL)
_WHOLE_DIGITS = 9
_NONCE = 12


def budget_key(secret: bytes) -> bytes:
    """The key of what was told, of a secret that serves other things too."""
    return hmac.digest(secret, b"huitong/noised-answers/1", hashlib.sha256)


@dataclass(frozen=True)
class StatedNoise:
    """What a person states of noised totals; None: as usual, or as it stands."""

    epsilon: int | None = None
    together: int | None = None
    rows_per_entity: int | None = None
    bounds: tuple[ValueBounds, ...] | None = None


def complete(stated: StatedNoise | None, before: NoisedTerms | None, dataset: Dataset, limits: TermLimits) -> NoisedTerms:
    """The terms: what is stated, else what stood before, else what is usual. Items are named as in the entry."""
    usual = limits.noised
    old = before or NoisedTerms(usual.epsilon, usual.together, usual.rows_per_entity)
    if stated is None:
        return old
    epsilon = old.epsilon if stated.epsilon is None else stated.epsilon
    together = old.together if stated.together is None else stated.together
    if stated.together is None:
        together = max(together, epsilon) if before is None else together
    rows = old.rows_per_entity if stated.rows_per_entity is None else stated.rows_per_entity
    bounds = old.bounds if stated.bounds is None else stated.bounds
    named = (replace(one, item=item.name) if (item := dataset.item(one.item)) else one for one in bounds)
    return NoisedTerms(epsilon, together, rows, tuple(sorted(named, key=lambda one: one.item)))


def entity_item(dataset: Dataset) -> str | None:
    """The one item that tells one entity from another. A primary key of several items names rows, not whom they are about: None."""
    return dataset.key or (dataset.primary_key[0] if len(dataset.primary_key) == 1 else None)


def faults_of_noise(wish: "Wish", dataset: Dataset, limits: NoisedLimits) -> list[Reason]:
    """Everything that makes noised totals impossible as they are wished for."""
    terms, faults = wish.noised, []
    if not noise.is_installed():
        faults.append(Reason("noised-not-installed", {"part": noise.INSTALL}))
    if entity_item(dataset) is None:
        faults.append(Reason("noised-without-entity", {"dataset": dataset.id, "provider": dataset.provider}))
    if terms is None:
        return [*faults, Reason("terms-noised-wrong", {"mode": wish.mode.value})]
    if max(terms.epsilon, terms.together) > limits.most_epsilon:
        faults.append(Reason("noised-budget-too-large", {"most": epsilon_text(limits.most_epsilon)}))
    if terms.rows_per_entity > limits.most_rows_per_entity:
        faults.append(Reason("noised-rows-too-many", {"most": limits.most_rows_per_entity}))
    granted = {term.item for term in wish.items}
    for one in terms.bounds:
        item = dataset.item(one.item)
        if item is None or item.name not in granted or item.type not in _NUMBERS:
            faults.append(Reason("noised-bounds-item", {"item": one.item}))
        elif not bounds_fit(one, item.type):
            faults.append(Reason("noised-bounds-wrong", {"item": one.item, "lower": one.lower, "upper": one.upper}))
    return faults


def narrower_noise(agreed: NoisedTerms | None, asked: NoisedTerms) -> bool:
    """Whether no more may be told of an entity. Bounds and rows of an entity do not count: with more of them the noise is larger."""
    return agreed is not None and agreed.epsilon <= asked.epsilon and agreed.together <= asked.together


def decimals_of(bounds: ValueBounds, kind: ItemType) -> int:
    """How many decimals of a value count: none of whole numbers, else so many that the larger bound has nine digits."""
    if kind is ItemType.INTEGER:
        return 0
    largest = max(abs(Decimal(bounds.lower)), abs(Decimal(bounds.upper)))
    return max(0, _WHOLE_DIGITS - 1 - largest.adjusted())


def whole_bounds(bounds: ValueBounds, kind: ItemType) -> tuple[int, int]:
    """The bounds in units of the last decimal that counts; both lie within what was agreed."""
    decimals = decimals_of(bounds, kind)
    lower, upper = (Decimal(one).scaleb(decimals) for one in (bounds.lower, bounds.upper))
    return int(lower.to_integral_value("ROUND_CEILING")), int(upper.to_integral_value("ROUND_FLOOR"))


def bounds_fit(bounds: ValueBounds, kind: ItemType) -> bool:
    """Whether some value lies between them, in the units that count."""
    lower, upper = whole_bounds(bounds, kind)
    return lower < upper


# --- the budget ---------------------------------------------------------------------------------------------------------


class BudgetStore(Protocol):
    """What was spent, and what was told (the portal's stores)."""

    def spent(self, account: str) -> int:
        """Millionths of epsilon that were taken and not given back; 0 of an account that there is not."""
        ...

    def take(self, account: str, amount: int, *, limit: int) -> bool:
        """Spend so much if at most `limit` is spent then, in one statement; whether it was. Inside a transaction."""
        ...

    def give_back(self, account: str, amount: int) -> None:
        """Take it off again."""
        ...

    def grants_before(self, grant_id: str) -> Sequence[str]:
        """The grants whose place it took when offices were succeeded, one after the other."""
        ...

    def offices_before(self, office: str, dataset: str) -> Collection[str]:
        """The offices that used the dataset under grants whose place those of this office took."""
        ...

    def answer(self, office: str, dataset: str, digest: str) -> bytes | None:
        """What was told to a question, sealed."""
        ...

    def keep(self, office: str, dataset: str, digest: str, sealed: bytes, *, at: datetime) -> None:
        """Keep what was told; what is kept already stays."""
        ...


@dataclass(frozen=True)
class BudgetUse:
    """How much of the budgets of a grant is spent, in millionths of epsilon."""

    spent: int
    epsilon: int
    together_spent: int
    together: int

    @property
    def left(self) -> int:
        """What one may still spend."""
        return max(0, min(self.epsilon - self.spent, self.together - self.together_spent))


class _SpentError(Exception):
    """Too little is left: nothing is taken."""


def account_of_grant(grant_id: str) -> str:
    """Its name in the store."""
    return f"grant:{grant_id}"


def account_of_office(office: str, dataset: str) -> str:
    """Its name in the store."""
    return f"office:{office}:{dataset}"


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """The budgets of one instance. `key` is secret: under it what was told is found again and sealed."""

    store: BudgetStore
    transactions: Transactions
    key: bytes

    def use_of(self, grant: Grant) -> BudgetUse | None:
        """How much is spent; None for a grant of another mode."""
        terms = grant.terms.noised
        if terms is None:
            return None
        own, office = (sum(map(self.store.spent, accounts)) for accounts in self._accounts(grant))
        return BudgetUse(own, terms.epsilon, office, terms.together)

    def take(self, grant: Grant, amount: int) -> None:
        """Spend so much of both budgets, or nothing. Raises Refused `noised-budget-spent`."""
        terms = grant.terms.noised
        if terms is None:
            raise Refused.because("rewrite-failed")
        accounts = zip(self._accounts(grant), (terms.epsilon, terms.together), strict=True)
        try:
            with self.transactions.atomic():
                for (account, *before), limit in accounts:
                    # What stood before is of offices that are closed and grants that ended: it grows no more.
                    if not self.store.take(account, amount, limit=limit - sum(map(self.store.spent, before))):
                        raise _SpentError
        except _SpentError:
            raise self.spent(grant, amount) from None

    def give_back(self, grant: Grant, amount: int) -> None:
        """A use could not begin, and no noise was drawn."""
        with self.transactions.atomic():
            for account, *_ in self._accounts(grant):
                self.store.give_back(account, amount)

    def against(self, grant: Grant, amount: int) -> tuple[Reason, ...]:
        """Why a question that spends so much would be refused now. Takes nothing."""
        use = self.use_of(grant)
        return () if use is None or amount <= use.left else self.spent(grant, amount).reasons

    def spent(self, grant: Grant, amount: int) -> Refused:
        """That too little is left."""
        use = self.use_of(grant)
        left = 0 if use is None else use.left
        about = {"grant": grant.id, "dataset": grant.dataset, "provider": grant.provider}
        return Refused(Reason("noised-budget-spent", {**about, "wanted": epsilon_text(amount), "left": epsilon_text(left)}))

    def kept(self, grant: Grant, question: bytes) -> bytes | None:
        """What the office of the grant was told to the question; None if nothing, or if it cannot be read any more."""
        found = self.store.answer(grant.using_office, grant.dataset, self._digest(question))
        if found is None:
            return None
        try:
            return ChaCha20Poly1305(self._sealing).decrypt(found[:_NONCE], found[_NONCE:], self._about(grant, question))
        except InvalidTag:
            return None

    def keep(self, grant: Grant, question: bytes, told: bytes, *, at: datetime) -> None:
        """Keep what is about to be told, sealed."""
        nonce = secrets.token_bytes(_NONCE)
        closed = nonce + ChaCha20Poly1305(self._sealing).encrypt(nonce, told, self._about(grant, question))
        with self.transactions.atomic():
            self.store.keep(grant.using_office, grant.dataset, self._digest(question), closed, at=at)

    def _digest(self, question: bytes) -> str:
        return hmac.digest(self.key, b"question\x1f" + question, hashlib.sha256).hex()

    def _about(self, grant: Grant, question: bytes) -> bytes:
        return f"{grant.using_office}\x1f{grant.dataset}\x1f{self._digest(question)}".encode()

    @property
    def _sealing(self) -> bytes:
        return hmac.digest(self.key, b"seal", hashlib.sha256)

    def _accounts(self, grant: Grant) -> tuple[Sequence[str], Sequence[str]]:
        """The account of the grant, and of its office over the dataset; behind each those whose place it took."""
        grants = [grant.id, *self.store.grants_before(grant.id)]
        offices = [grant.using_office, *sorted(self.store.offices_before(grant.using_office, grant.dataset))]
        return [account_of_grant(one) for one in grants], [account_of_office(one, grant.dataset) for one in offices]
