"""A key backup: one file that opens with its passphrase alone, and nothing but as it was sealed."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huitong.backing import sealing
from huitong.backing.sealing import open_keys, put_keys, read_keys, seal_keys
from huitong.errors import Conflict, HuitongError, InputInvalid, NotFound, Unavailable
from huitong.keystore import LEDGER, FileKeyStore

PASSPHRASE = "fifteen characters or more, 十五个字符"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """scrypt as dear as it is meant to be takes half a second a try: one test does that."""
    monkeypatch.setattr(sealing, "LIMITS", {**sealing.LIMITS, "scrypt": {**sealing.LIMITS["scrypt"], "n": 2}})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    store = FileKeyStore(tmp_path / "keys")
    store.create()
    store.keep_sealed("mail-password", b"hush")
    return tmp_path / "keys"


def codes(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(HuitongError) as refused:
        call()
    return [reason.code for reason in refused.value.reasons]


def test_what_is_sealed_comes_back_and_serves_as_before(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    sealed = seal_keys(read_keys(keys), passphrase=PASSPHRASE, origin="huitong.local/test")
    assert json.loads(sealed)["n"] == 131_072
    origin, opened = open_keys(sealed, passphrase=PASSPHRASE)
    put_keys(opened, tmp_path / "new" / "keys")
    old, new = FileKeyStore(keys), FileKeyStore(tmp_path / "new" / "keys")
    assert origin == "huitong.local/test" and opened == read_keys(keys)
    assert new.secret(LEDGER) == old.secret(LEDGER) and new.sealed("mail-password") == b"hush"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new" / "keys").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "new" / "keys").stat().st_mode) == 0o700


def test_the_file_tells_no_key(keys: Path) -> None:
    sealed = seal_keys(read_keys(keys), passphrase=PASSPHRASE, origin="huitong.local/test")
    assert not any(content.strip() in sealed for content in read_keys(keys).values())


def test_another_passphrase_or_any_changed_part_does_not_open_it(keys: Path) -> None:
    sealed = seal_keys(read_keys(keys), passphrase=PASSPHRASE, origin="huitong.local/test")
    assert codes(lambda: open_keys(sealed, passphrase=PASSPHRASE + ".")) == ["keys-passphrase-wrong"]
    for name in ("origin", "salt", "nonce", "sealed"):
        told = json.loads(sealed)
        told[name] = ("A" if told[name][0] != "A" else "B") + told[name][1:]
        assert codes(lambda: open_keys(json.dumps(told).encode(), passphrase=PASSPHRASE)) == ["keys-passphrase-wrong"], name  # noqa: B023


@pytest.mark.parametrize(
    "change", [{"n": 1 << 40}, {"n": 3}, {"n": 0}, {"r": 10_000}, {"p": -1}, {"form": "x"}, {"salt": "AA"}, {"sealed": 1}]
)
def test_a_file_that_asks_for_too_much_or_is_none_is_not_opened(keys: Path, change: dict[str, Any]) -> None:
    told = {**json.loads(seal_keys(read_keys(keys), passphrase=PASSPHRASE, origin="o")), **change}
    assert codes(lambda: open_keys(json.dumps(told).encode(), passphrase=PASSPHRASE)) == ["keys-file-invalid"]
    assert codes(lambda: open_keys(b"\xff", passphrase=PASSPHRASE)) == ["keys-file-invalid"]


def test_a_short_passphrase_is_refused(keys: Path) -> None:
    assert codes(lambda: seal_keys(read_keys(keys), passphrase="14 characters!", origin="o")) == ["passphrase-too-short"]
    assert codes(lambda: seal_keys(read_keys(keys), passphrase="x" * 2000, origin="o")) == ["passphrase-too-long"]


def test_keys_are_never_written_over(keys: Path) -> None:
    before = read_keys(keys)
    with pytest.raises(Conflict):
        put_keys({"ledger.key": b"other"}, keys)
    assert read_keys(keys) == before


def test_keys_that_others_can_read_are_not_backed_up(keys: Path, tmp_path: Path) -> None:
    (keys / "ledger.key").chmod(0o644)
    with pytest.raises(Unavailable):
        read_keys(keys)
    with pytest.raises(NotFound):
        read_keys(tmp_path / "nothing")


def test_a_name_that_leads_elsewhere_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = seal_keys({"../ledger.key": b"k"}, passphrase=PASSPHRASE, origin="o")
    with pytest.raises(InputInvalid):
        open_keys(sealed, passphrase=PASSPHRASE)
