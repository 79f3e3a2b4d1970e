"""Witnesses: who signs a checkpoint only if it goes on from the last, and what the ledger does with that."""

import base64
import copy
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from ledger_kit import ORIGIN, START, Instance, MemoryKeys, SqliteLedgerStore, other_key

from huitong.errors import Conflict, HuitongError, InputInvalid, LedgerBroken, NotFound, Refused, Unavailable
from huitong.ledger.cosigning import SeenFile, WitnessKey, goes_on, make_witness_key, parse_witnesses, read_witness_key
from huitong.ledger.keys import followed_keys
from huitong.ledger.verify import COSIGNATURE, VerifierKey, open_cosignatures, parse_vkey, verify_receipt
from huitong.testing import MemoryStores

TIME = int(START.timestamp())


def witness(name: str = "audit") -> WitnessKey:
    return WitnessKey(f"{name}.example/witness", MemoryKeys(name).signing_key("witness"))


def grown(entries: int, *, word: str = "a", at_once: int = 3, **more) -> Instance:
    """A ledger with that many entries, folded a few at a time."""
    instance = Instance(witnesses=[witness("audit").public, witness("county").public], **more)
    for number in range(entries):
        instance.ledger.append(kind=_act(), body={"word": word, "number": number})
        if number % at_once == at_once - 1:
            instance.sequencer.fold_all()
    instance.sequencer.fold_all()
    return instance


def _act():
    from huitong.model.ledger import EntryKind

    return EntryKind.OPERATOR_ACTION


def look(instance: Instance, seen: str | None, *, size: int | None = None):
    """What a witness does with the newest checkpoint, or that of a size."""
    newest = instance.store.latest_checkpoint() if size is None else instance.store.checkpoint_of(size)

    def prove(first: int, second: int) -> Sequence[str]:
        return [base64.b64encode(node).decode() for node in instance.ledger.consistency(first, second)]

    keys = followed_keys(instance.ledger.published_keys(), trusted=instance.ledger.vkey())
    return goes_on(newest.note, seen=seen, keys=keys, prove=prove)


def code(raised) -> str:
    return raised.value.reasons[0].code


# --- the signature


def test_the_signature_is_that_of_the_standard():
    """C2SP tlog-cosignature: a key of type 4, and over `cosignature/v1`, the time and the note's text."""
    key, note = witness(), "example.com/log\n1\nAAAA\n\n— example.com/log BBBBBBBB\n"
    name, key_id, encoded = key.public.text.split("+", 2)
    assert base64.b64decode(encoded)[:1] == b"\x04"
    line = key.line(note, time=1_679_315_147)
    raw = base64.b64decode(line.split(" ")[2])
    assert (line[:2], line.split(" ")[1], raw[:4].hex(), int.from_bytes(raw[4:12], "big")) == ("— ", name, key_id, 1_679_315_147)
    signed = b"cosignature/v1\ntime 1679315147\nexample.com/log\n1\nAAAA\n"
    key.private.public_key().verify(raw[12:], signed)
    assert len(raw) == 76


def test_a_key_of_a_witness_is_no_key_of_a_log_and_the_other_way_round():
    with pytest.raises(ValueError, match="of that kind"):
        parse_vkey(witness().public.text)
    with pytest.raises(ValueError, match="of that kind"):
        parse_vkey(other_key(), COSIGNATURE)
    with pytest.raises(InputInvalid):
        parse_witnesses(other_key())
    two = f"{witness().public.text}, {witness('county').public.text},"
    assert parse_witnesses(two) == (witness().public, witness("county").public)
    assert parse_witnesses("") == ()
    with pytest.raises(InputInvalid):
        parse_witnesses(witness().public.text + " until 2026-03-02T01:00:00.000000Z")


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path):
    made = make_witness_key(tmp_path / "w.key", "audit.example/witness", bytes(range(32)))
    assert stat.S_IMODE((tmp_path / "w.key").stat().st_mode) == 0o600
    assert read_witness_key(tmp_path / "w.key").public == made.public
    with pytest.raises(Conflict):
        make_witness_key(tmp_path / "w.key", "audit.example/witness", bytes(32))
    with pytest.raises(InputInvalid):
        make_witness_key(tmp_path / "x.key", "a b", bytes(32))
    with pytest.raises(Unavailable):
        make_witness_key(tmp_path / "no" / "w.key", "a", bytes(32))
    text = (tmp_path / "w.key").read_text()
    for wrong in ("", "PRIVATE+KEY+", text.replace("audit", "other"), text.removeprefix("PRIVATE+KEY+"), text[:-9], "é"):
        (tmp_path / "w.key").write_text(wrong)
        with pytest.raises(InputInvalid):
            read_witness_key(tmp_path / "w.key")
    (tmp_path / "w.key").write_text(text)
    (tmp_path / "w.key").chmod(0o644)
    with pytest.raises(Unavailable):
        read_witness_key(tmp_path / "w.key")
    with pytest.raises(InputInvalid):
        read_witness_key(tmp_path / "none.key")


# --- what a witness signs and what not


@pytest.mark.parametrize("entries", [1, 2, 3, 7, 8, 13])
@pytest.mark.parametrize("more", [0, 1, 2, 5, 16])
def test_a_log_that_grew_is_signed(entries: int, more: int):
    instance = grown(entries)
    seen = instance.store.latest_checkpoint().note
    assert look(instance, None).size == entries
    for number in range(more):
        instance.act(number)
    instance.sequencer.fold_all()
    assert look(instance, seen).size == entries + more


@pytest.mark.parametrize(("own", "other"), [(3, 3), (3, 7), (6, 6), (6, 9), (9, 12), (1, 2)])
def test_a_log_that_forked_is_refused(own: int, other: int):
    """The same key signs two histories: each of them alone looks right, and the witness who saw one signs nothing of the other."""
    here, there = grown(own), grown(other, word="b")
    assert here.vkey == there.vkey
    seen = here.store.latest_checkpoint().note
    assert look(there, None).size == other
    with pytest.raises(LedgerBroken) as raised:
        look(there, seen)
    assert code(raised) == "ledger-witness-forked"
    assert raised.value.reasons[0].parameters == {"size": other, "seen": own}


def test_a_log_that_was_cut_is_refused():
    instance = grown(9)
    seen = instance.store.latest_checkpoint().note
    with pytest.raises(LedgerBroken) as raised:
        look(instance, seen, size=6)
    assert code(raised) == "ledger-witness-shorter"


@pytest.mark.parametrize("proof", [[], ["x"], ["AAAA"], [base64.b64encode(bytes(32)).decode()] * 3, [3]])
def test_a_false_proof_is_refused(proof: list):
    instance = grown(7)
    seen = instance.store.checkpoint_of(3).note
    keys = [parse_vkey(instance.vkey)]
    with pytest.raises(LedgerBroken) as raised:
        goes_on(instance.store.latest_checkpoint().note, seen=seen, keys=keys, prove=lambda first, second: proof)
    assert code(raised) == "ledger-witness-forked"


def test_a_checkpoint_of_another_key_or_of_a_retired_one_is_refused():
    instance, stranger = grown(3), Instance(keys="stranger")
    stranger.act()
    stranger.sequencer.fold_all()
    keys = [parse_vkey(instance.vkey)]

    def refused(note: str, seen: str | None, keys: list) -> str:
        with pytest.raises(HuitongError) as raised:
            goes_on(note, seen=seen, keys=keys, prove=lambda first, second: [])
        return code(raised)

    ours, theirs = instance.store.latest_checkpoint().note, stranger.store.latest_checkpoint().note
    assert refused(theirs, None, keys) == "ledger-witness-checkpoint-broken"
    assert refused("no note", None, keys) == "ledger-witness-checkpoint-broken"
    assert refused(ours, theirs, keys) == "ledger-witness-seen-broken"
    assert refused(ours, "", keys) == "ledger-witness-seen-broken", "an emptied file is no beginning"
    retired = parse_vkey(instance.vkey + " until 2026-03-02T00:00:00.000000Z")
    assert refused(ours, None, [retired]) == "ledger-witness-checkpoint-broken"


def test_a_witness_goes_on_across_a_change_of_the_key():
    instance = grown(5)
    first, seen = instance.vkey, instance.store.latest_checkpoint().note
    instance.ledger.change_key(keystore=instance.keys, overlap_seconds=300, body={})
    instance.clock.advance(seconds=600)
    instance.act()
    instance.sequencer.fold_all()
    keys = followed_keys(instance.ledger.published_keys(), trusted=first)
    path = [base64.b64encode(node).decode() for node in instance.ledger.consistency(5, 7)]
    assert goes_on(instance.store.latest_checkpoint().note, seen=seen, keys=keys, prove=lambda *_: path).size == 7


def test_what_was_seen_is_kept_whole_and_one_process_works_at_a_time(tmp_path: Path):
    file = SeenFile(tmp_path / "w.seen")
    assert file.read() is None
    with file.alone():
        file.write("one\n")
        with pytest.raises(Conflict), SeenFile(tmp_path / "w.seen").alone():
            pass
    file.write("two\n")
    assert file.read() == "two\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".w.seen.lock", "w.seen"]
    (tmp_path / "w.seen").write_bytes(b"\xff")
    for lost in (file, SeenFile(tmp_path / "w.seen" / "x")):
        with pytest.raises(Unavailable):
            lost.read()
    with pytest.raises(Unavailable):
        SeenFile(tmp_path / "no" / "x").write("a")
    with pytest.raises(Unavailable), SeenFile(tmp_path / "no" / "x").alone():
        pass


# --- what the log does with the lines


@pytest.mark.parametrize("make", [SqliteLedgerStore, lambda: MemoryStores().ledger], ids=["sqlite", "memory"])
def test_lines_are_kept_handed_out_and_carried_by_receipts(make):
    instance = grown(3, store=make())
    ids = instance.use("q-1")
    instance.sequencer.fold_all()
    assert (instance.ledger.published_checkpoint(witnessed=True), instance.store.witnessed_covering(0)) == (None, None)
    before = instance.ledger.receipt(ids)
    trusted = f"{witness('audit').public.text}\n{witness('county').public.text}"

    def counted(receipt: dict) -> tuple[bool, int]:
        found = verify_receipt(receipt, log_key=instance.vkey, witness_keys=trusted, require_inclusion=True)
        return found.ok, sum(step.code == "receipt-witness-held" for step in found.steps)

    assert counted(before) == (True, 0), "without witnesses a receipt holds as before"
    instance.use("q-2")
    instance.sequencer.fold_all()
    size = instance.store.size()
    note = instance.store.latest_checkpoint().note
    for name, number in (("audit", 1), ("county", 2), ("audit", 2)):
        kept = instance.ledger.add_cosignatures(size=size, lines=witness(name).line(note, time=TIME + number))
        assert len(kept) == number
        assert counted(instance.ledger.receipt(ids)) == (True, number)
    assert len(open_cosignatures(instance.ledger.published_checkpoint() or "", [witness().public])) == 1
    instance.act()
    instance.sequencer.fold_all()
    assert instance.ledger.published_checkpoint(witnessed=True).startswith(note)
    assert instance.ledger.published_checkpoint().count("— ") == 1
    seen = {key.name: one and one.size for key, one in instance.ledger.witnesses()}
    assert seen == {"audit.example/witness": size, "county.example/witness": size}
    assert counted(before) == (True, 0)
    tampered = copy.deepcopy(instance.ledger.receipt(ids))
    tampered["checkpoint"] = tampered["checkpoint"].replace("audit.example", "county.example")
    assert counted(tampered)[0] is True, "a line under another name is the line of nobody"
    tampered["checkpoint"] = note + witness().line("another\n\n", time=TIME)
    assert counted(tampered)[0] is False


def test_lines_that_do_not_hold_are_not_kept():
    instance = grown(3)
    note = instance.store.latest_checkpoint().note
    good = witness().line(note, time=TIME)

    def refused(size: int, lines: str) -> str:
        with pytest.raises((InputInvalid, NotFound, Refused)) as raised:
            instance.ledger.add_cosignatures(size=size, lines=lines)
        return code(raised)

    assert refused(2, good) == "ledger-checkpoint-unknown"
    assert refused(3, witness("stranger").line(note, time=TIME)) == "ledger-witness-unknown"
    assert refused(3, witness().line("other\n\n", time=TIME)) == "ledger-cosignature-broken"
    for lines in ("x", good + "\n", good[:-5] + "\n", good + "— a b\n", good.replace("— ", "- ")):
        assert refused(3, lines) == "ledger-cosignature-broken"
    assert refused(3, good.replace("audit", "county")) == "ledger-witness-unknown"
    assert instance.store.cosignatures(3) == []
    mixed = witness("stranger").line(note, time=TIME) + good
    assert [one.line for one in instance.ledger.add_cosignatures(size=3, lines=mixed)] == [good], "those of strangers are left out"


def test_a_log_without_witnesses_takes_no_line():
    instance = Instance()
    instance.act()
    instance.sequencer.fold_all()
    with pytest.raises(Refused):
        instance.ledger.add_cosignatures(size=1, lines=witness().line(instance.store.latest_checkpoint().note, time=TIME))
    assert instance.ledger.witnesses() == ()


def test_a_receipt_can_be_asked_to_have_witnesses():
    instance = grown(3)
    receipt = instance.ledger.receipt([instance.store.entry(0).entry])

    def codes(keys: str | None, wanted: int) -> list[str]:
        found = verify_receipt(receipt, log_key=instance.vkey, witness_keys=keys, require_witnesses=wanted)
        return [step.code for step in found.steps if step.name == "witness"]

    key = witness().public.text
    assert codes(None, 0) == []
    assert codes(key, 0) == ["receipt-witness-none"]
    assert codes(key, 1) == codes(None, 1) == ["receipt-witness-too-few"]
    assert codes(instance.vkey, 0) == ["receipt-witness-key-broken"]
    receipt["checkpoint"] += witness().line(receipt["checkpoint"], time=TIME)
    assert codes(key, 1) == ["receipt-witness-held"]
    assert codes(f"{key}\n{key}", 2) == ["receipt-witness-held", "receipt-witness-too-few"], "one witness counts once"
    assert codes(VerifierKey(ORIGIN, bytes(32), kind=COSIGNATURE).text, 0) == ["receipt-witness-none"]
