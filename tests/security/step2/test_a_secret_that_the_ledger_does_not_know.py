"""A password is changed with an entry in the ledger or not at all."""

from pathlib import Path

import pytest
from tests.unit.intake.test_loading_actions import OFFICER, OWN

from huitong.errors import NotFound, Unavailable
from huitong.intake.credentials import CredentialActions, Credentials
from huitong.keystore import FileKeyStore
from huitong.testing import MemoryStores

SERVER = "db.civil:5432"


class Full:
    """A ledger that cannot be written."""

    def append(self, **_about: object) -> None:
        raise Unavailable.because("ledger-not-writable", query="-")


def test_without_a_ledger_no_password_is_kept_or_changed(tmp_path: Path) -> None:
    keys = FileKeyStore(tmp_path / "keys")
    keys.create()
    credentials = Credentials(keys)
    actions = CredentialActions(credentials=credentials, transactions=MemoryStores().transactions, ledger=Full())  # type: ignore[arg-type]
    credentials.keep("old", office=OWN, server=SERVER, user="reader", password="first")
    for name in ("old", "new"):
        with pytest.raises(Unavailable):
            actions.keep(name, server="db.elsewhere:5432", user="thief", password="second", by=OFFICER)
    assert credentials.user_and_password("old", office=OWN, server=SERVER) == ("reader", "first")
    with pytest.raises(NotFound):
        credentials.get("new", office=OWN)
    with pytest.raises(Unavailable):
        actions.forget("old", by=OFFICER)
    assert credentials.get("old", office=OWN).user == "reader"
