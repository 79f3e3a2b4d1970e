"""Keys and notes are those of C2SP signed-note, so other tools of that family can read them."""

import base64
from datetime import timedelta, timezone

import pytest
from ledger_kit import ORIGIN, START, MemoryKeys

from huitong.errors import InputInvalid, LedgerBroken
from huitong.ledger.merkle import Frontier
from huitong.ledger.note import check_checkpoint, instant_text, sign_checkpoint, sign_note, verifier_key
from huitong.ledger.verify import VerifierKey, open_note, parse_checkpoint, parse_vkey, parse_vkeys

# The example of the signed note format that Go's checksum database documents and tests.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
KEY = MemoryKeys().signing_key("ledger")
PUBLIC = verifier_key(ORIGIN, KEY.public_key())


def test_a_note_signed_by_another_program_opens():
    key = parse_vkey(PETER)
    assert key.text == PETER
    text, signer = open_note(NOTE, [key])
    assert text == NOTE.split("\n\n")[0] + "\n"
    assert signer == key


def test_a_note_opens_with_the_key_that_signed_it_and_no_other():
    note = sign_note("hello\n", origin=ORIGIN, key=KEY)
    assert open_note(note, [PUBLIC]) == ("hello\n", PUBLIC)
    with pytest.raises(ValueError, match="no signature of a trusted key"):
        open_note(note, [parse_vkey(PETER)])


def test_signatures_of_strangers_are_passed_over():
    stranger = sign_note("hello\n", origin="witness.example", key=MemoryKeys("witness").signing_key("ledger"))
    note = sign_note("hello\n", origin=ORIGIN, key=KEY) + stranger.rsplit("\n\n", 1)[1]
    assert open_note(note, [PUBLIC])[1] == PUBLIC


def test_a_wrong_signature_of_a_trusted_key_fails_the_note():
    good = sign_note("hello\n", origin=ORIGIN, key=KEY)
    bad = sign_note("other\n", origin=ORIGIN, key=KEY)
    with pytest.raises(ValueError, match="does not hold"):
        open_note(good + bad.rsplit("\n\n", 1)[1], [PUBLIC])


@pytest.mark.parametrize(
    "note",
    ["", "\n\n", "text\n", "text\n\n", "text\n\nsignature\n", "text\n\n— a\n", "text\n\n— a !!\n", "text\x07\n\n— a AAAAAAAA\n"],
)
def test_what_is_no_note_does_not_open(note):
    with pytest.raises(ValueError):
        open_note(note, [PUBLIC])


@pytest.mark.parametrize(
    "text",
    ["", "x", "a+b+c", PETER.replace("c74f20a3", "c74f20a4"), PETER[:-1], PETER.replace("+ARpc", "+AhpC"), "a b" + PETER[12:]],
)
def test_what_is_no_key_is_not_read(text):
    with pytest.raises(ValueError):
        parse_vkey(text)


def test_a_key_of_another_kind_of_signature_is_not_read():
    other = base64.b64encode(b"\x02" + PUBLIC.public).decode()
    with pytest.raises(ValueError, match="not a verifier key of that kind"):
        parse_vkey(f"{ORIGIN}+{PUBLIC.id}+{other}")


def test_several_keys_one_a_line():
    assert parse_vkeys(f"# keys of the log\n{PETER}\n\n{PUBLIC.text}\n") == (parse_vkey(PETER), PUBLIC)


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "line\nbreak", "n" * 201])
def test_a_name_that_a_note_cannot_carry_is_refused(origin):
    with pytest.raises(InputInvalid, match="ledger-origin-invalid"):
        verifier_key(origin, KEY.public_key())


def test_a_checkpoint_reads_as_it_was_signed():
    root = Frontier().root()
    checkpoint = sign_checkpoint(origin=ORIGIN, size=0, root=root, at=START, key=KEY)
    text = f"{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nat 2026-03-02T01:00:00.000000Z\n"
    assert checkpoint.note.startswith(f"{text}\n— {ORIGIN} ")
    check_checkpoint(checkpoint, (PUBLIC,))


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n1\n\nat 2026-03-02T01:00:00.000000Z\n",
        f"{ORIGIN}\n01\n{'A' * 43}=\nat 2026-03-02T01:00:00.000000Z\n",
        f"{ORIGIN}\n1\n{'A' * 43}=\n",
        f"{ORIGIN}\n1\n{'A' * 43}=\nat yesterday\n",
        f"{ORIGIN}\n1\n{'A' * 43}=\nat 2026-02-30T01:00:00.000000Z\n",
        f"{ORIGIN}\n1\n{'A' * 42}B=\nat 2026-03-02T01:00:00.000000Z\n",
        f"{ORIGIN}\n-1\n{'A' * 43}=\nat 2026-03-02T01:00:00.000000Z\n",
        f"{ORIGIN}\n1\n{'A' * 43}=\nat 2026-03-02T01:00:00.000000Z\nmore\n",
    ],
)
def test_what_is_no_checkpoint_is_not_read(text):
    with pytest.raises(ValueError):
        parse_checkpoint(text)


@pytest.mark.parametrize("field", ["origin", "size", "root", "at"])
def test_a_checkpoint_whose_fields_differ_from_its_note_is_broken(field):
    checkpoint = sign_checkpoint(origin=ORIGIN, size=0, root=bytes(32), at=START, key=KEY)
    changed = {"origin": "other", "size": 1, "root": bytes(31) + b"\x01", "at": START + timedelta(microseconds=1)}
    with pytest.raises(LedgerBroken, match="ledger-checkpoint-broken"):
        check_checkpoint(type(checkpoint)(**{**vars(checkpoint), field: changed[field]}), (PUBLIC,))


def test_instants_have_one_form():
    east = timezone(timedelta(hours=8))
    assert instant_text(START.astimezone(east)) == "2026-03-02T01:00:00.000000Z"
    with pytest.raises(InputInvalid, match="instant-without-zone"):
        instant_text(START.replace(tzinfo=None))


def test_a_promise_never_passes_for_a_note():
    from huitong.ledger.verify import promise_message

    message = promise_message(ORIGIN, b"{}")
    assert message[0] == 0
    assert not VerifierKey(ORIGIN, PUBLIC.public).signed(message[1:], KEY.sign(message))
