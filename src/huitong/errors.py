"""Every way Huitong says no: a reason code with typed parameters, never a ready-made sentence.

The sentence is made at the edge (`huitong.words`) in the reader's language; the HTTP status and the exit code are chosen
at the door that the person came through. A parameter may hold names of datasets, items, offices, grants and dates. It
never holds a row's value, a key, a path of this machine, an engine's words or rewritten SQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

type_of_parameter = (str, int)


@dataclass(frozen=True)
class Reason:
    """One cause, as data: a code of `huitong/words/*.toml` and the values its sentence needs."""

    code: str
    parameters: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            if not isinstance(value, type_of_parameter):
                raise TypeError(f"parameter {name} of reason {self.code} is {type(value).__name__}, not text or a number")

    def __hash__(self) -> int:
        return hash((self.code, tuple(sorted(self.parameters.items(), key=lambda pair: pair[0]))))


class HuitongError(Exception):
    """Base of all errors a person may meet. `reasons` holds every cause found, not only the first."""

    def __init__(self, *reasons: Reason) -> None:
        if not reasons:
            raise TypeError(f"{type(self).__name__} needs at least one reason")
        super().__init__("; ".join(reason.code for reason in reasons))
        self.reasons: tuple[Reason, ...] = reasons

    @classmethod
    def because(cls, code: str, /, **parameters: str | int) -> "HuitongError":
        """The error with a single reason, as a sentence: `raise Refused.because("grant-missing", dataset=...)`."""
        return cls(Reason(code, parameters))


class InputInvalid(HuitongError):
    """What was sent cannot be understood or breaks a rule of its own kind."""


class NotFound(HuitongError):
    """No such thing, or none that this actor may know of: the two look the same."""


class NotSignedIn(HuitongError):
    """The token or password is missing, unknown, expired or revoked."""


class Refused(HuitongError):
    """The rules say no. `query` is the number under which operators find the rest."""

    query: str | None = None


class Conflict(HuitongError):
    """The thing is not in the state that this change needs."""


class Unavailable(HuitongError):
    """A part that is needed cannot serve now; trying later may work."""


class LedgerBroken(HuitongError):
    """The ledger's bytes do not prove what they should: stop and call the operator."""
