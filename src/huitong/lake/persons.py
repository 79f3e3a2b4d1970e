"""When a value names a person who is to be taken out: by what it says, not by how it was typed."""

import unicodedata
from collections.abc import Callable

from huitong.model.codes import is_resident_id

_WIDE = "０１２３４５６７８９Ｘｘ"
_NARROW = "0123456789XX"


def forms(identifier: str) -> tuple[str, ...]:
    """The texts that are this identifier, as `folded` leaves them; a resident identity number also in its old form of 15 digits."""
    wanted = unicodedata.normalize("NFKC", identifier).strip().upper()
    signs = "".join(sign for sign in wanted if sign.isascii() and sign.isalnum())
    if not is_resident_id(signs):
        return (wanted,)
    return (signs, signs[:6] + signs[8:17]) if signs[6:8] == "19" else (signs,)


def folded(column: str, identifier: str) -> str:
    """SQL of a text column, given as SQL, in the form in which it is compared with `forms`: of numbers of residents only digits and
    letters count, in whatever width and however spaced; other keys are compared without blanks around them, in capitals."""
    text = f"CAST({column} AS VARCHAR)"
    if not is_resident_id(forms(identifier)[0]):
        return f"upper(trim({text}))"
    return f"upper(regexp_replace(translate({text}, '{_WIDE}', '{_NARROW}'), '[^0-9A-Za-z]', '', 'g'))"


def names(row: str, identifier: str) -> bool:
    """Whether a row as it was read holds the identifier in any of these forms, anywhere."""
    said = unicodedata.normalize("NFKC", row).upper()
    wanted = forms(identifier)
    if not is_resident_id(wanted[0]):
        return wanted[0] in said
    return any(form in "".join(sign for sign in said if sign.isascii() and sign.isalnum()) for form in wanted)


def naming(identifier: str) -> Callable[[str], bool]:
    """Says of a value whether it is this identifier, by what `folded` compares: never one that merely holds it."""
    wanted = frozenset(forms(identifier))
    resident = is_resident_id(forms(identifier)[0])

    def is_named(value: str) -> bool:
        said = (value if value.isascii() else unicodedata.normalize("NFKC", value)).strip().upper()
        if resident and not said.isalnum():
            said = "".join(sign for sign in said if sign.isascii() and sign.isalnum())
        return said in wanted

    return is_named
