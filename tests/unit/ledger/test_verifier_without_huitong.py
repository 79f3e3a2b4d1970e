"""`docs/verifier/verify_receipt.py`, for whoever trusts no part of Huitong: it runs without it and comes to the same verdict."""

import ast
import base64
import copy
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_kit import Instance, MemoryKeys, outcome_body, resigned

from huitong.cli.root import run
from huitong.ledger.note import sign_note
from huitong.ledger.verify import COSIGNATURE, VerifierKey, canonical_json, cosignature_message, verify_receipt

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docs" / "verifier" / "verify_receipt.py"
WITNESSES = FILE.with_name("verify_witnesses.py")
MOST_LINES = 124
"""Of code: neither empty nor of a docstring."""
SEED, FLIPS = 20260302, 300
ROWS = b"the rows"
SEEN = "--witness-key"

ALONE = """
import contextlib, importlib.util, io, json, pathlib, runpy, sys
sys.path += [sys.argv[2], str(pathlib.Path(sys.argv[1]).parent)]
assert importlib.util.find_spec("huitong") is None, "Huitong must not be there"
main, witnesses = (runpy.run_path(str(pathlib.Path(sys.argv[1]).with_name(name)))["main"] for name in (
    "verify_receipt.py", "verify_witnesses.py"
))
codes = {}
with contextlib.redirect_stdout(io.StringIO()):
    for number, (arguments, seen) in enumerate(json.loads(pathlib.Path(sys.argv[3]).read_text())):
        codes[number] = main(arguments) or (witnesses(seen) if seen else 0)
assert not any(name.split(".")[0] == "huitong" for name in sys.modules)
print(json.dumps(list(codes.values())))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but `cryptography` and what it needs."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("cryptography", "cffi", "_cffi_backend"):
        found = find_spec(name)
        if found is not None and found.origin is not None:
            place = Path(found.origin)
            place = place.parent if place.name == "__init__.py" else place
            (folder / place.name).symlink_to(place)
    return folder


def alone(packages: Path, folder: Path, calls: list[list[str]]) -> list[int]:
    """The exit status of the verifier for each list of arguments, in one process that cannot import Huitong; behind `--witness-key` stand
    what goes to the second file, whose verdict counts too."""
    split = [(call[: call.index(SEEN)], [call[0], *call[call.index(SEEN) + 1 :]]) if SEEN in call else (call, None) for call in calls]
    (folder / "calls.json").write_text(json.dumps(split), "utf-8")
    program = [sys.executable, "-I", "-S", "-W", "error", "-c", ALONE, str(FILE), str(packages), str(folder / "calls.json")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def witness(name: str) -> tuple[VerifierKey, Ed25519PrivateKey]:
    key = MemoryKeys(name).signing_key("witness")
    return VerifierKey(f"{name}.example/witness", key.public_key().public_bytes_raw(), kind=COSIGNATURE), key


def cosigned(note: str, name: str, *, time: int = 1_772_416_800, text: str | None = None) -> str:
    """The note with the line of that witness."""
    public, key = witness(name)
    signature = key.sign(cosignature_message(text or note.rpartition("\n\n")[0] + "\n", time))
    line = bytes.fromhex(public.id) + time.to_bytes(8, "big") + signature
    return f"{note}— {public.name} {base64.b64encode(line).decode()}\n"


@pytest.fixture(scope="module")
def life() -> dict[str, Any]:
    """Receipts of a ledger that has changed its key once: promised, folded, cosigned, of before and of after the change."""
    instance = Instance()
    for number in range(11):
        instance.act(number)
    before = instance.use("q-1", result=ROWS)
    promised = instance.ledger.receipt(before)
    instance.sequencer.fold_all()
    instance.ledger.change_key(keystore=instance.keys, overlap_seconds=300, body={})
    instance.clock.advance(seconds=1)
    after = instance.use("q-2", result=ROWS)
    instance.sequencer.fold_all()
    folded = instance.ledger.receipt(before)
    refused = instance.ledger.append(kind=_kind("use-refused"), body={"query": "q-3", "reasons": ["grant-missing"]})
    seen = copy.deepcopy(folded)
    seen["checkpoint"] = cosigned(cosigned(seen["checkpoint"], "audit"), "other")
    good = [promised, folded, instance.ledger.receipt(after), seen, instance.ledger.receipt([refused.entry])]
    keys = instance.ledger.published_keys()
    return {"good": good, "keys": keys, "witnesses": f"{witness('audit')[0].text}\n# and another\n{witness('third')[0].text}\n"}


def _kind(value: str) -> Any:
    from huitong.model.ledger import EntryKind

    return EntryKind(value)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield (*path, name)
        yield from places(part, (*path, name))


def changed(receipt: Any, path: tuple[Any, ...], to: Any) -> Any:
    """The receipt with another value at that place; without the place if it is `...`."""
    made = copy.deepcopy(receipt)
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return made


def at(receipt: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        receipt = receipt[name]
    return receipt


def tampered(receipt: dict[str, Any]) -> Iterator[Any]:
    """The receipt with each place removed or replaced, and with single characters changed."""
    chance = random.Random(SEED)
    every = list(places(receipt))
    for path in every:
        value = at(receipt, path)
        for other in (..., None, True, 0, -1, 1.5, "", "x", [], {}, [value], str(value), 2**70):
            yield changed(receipt, path, other)
        if isinstance(value, int):
            yield from (changed(receipt, path, value + step) for step in (-1, 1))
        if isinstance(value, list):
            yield from (changed(receipt, path, other) for other in (value[::-1], value + value[:1], value[1:], value * 600))
    texts = [path for path in every if isinstance(at(receipt, path), str) and at(receipt, path)]
    for _ in range(FLIPS):
        path = chance.choice(texts)
        text = at(receipt, path)
        place, other = chance.randrange(len(text)), chance.choice("A0+/= \n\t.é—\x00\ud7ff")
        yield changed(receipt, path, text[:place] + chance.choice([other, "", other + text[place]]) + text[place + 1 :])


def told_by_the_log_itself(receipt: dict[str, Any]) -> Iterator[Any]:
    """What a careless or wicked log could sign."""
    outcome = json.loads(receipt["entries"][1]["payload"])
    bodies: list[Any] = [
        {**outcome_body("q-9", outcome["body"]["intent"], ROWS)},
        {**outcome["body"], "intent": "0" * 32},
        {**outcome["body"], "result_hash": "A" * 64},
        {**outcome["body"], "failure": "engine-failed"},
        {"query": "q-1", "intent": outcome["body"]["intent"], "failure": "engine-failed"},
        {"query": "q-1"},
        {"query": ""},
        {"query": 3},
        {},
        [],
        {**outcome["body"], "rows": 1.5},
    ]
    for body in bodies:
        yield resigned(copy.deepcopy(receipt), 1, _payload({**outcome, "body": body}))
    for more in (
        {"at": "2026-03-02T00:59:59.000000Z"},
        {"at": "2026-02-30T01:00:00.000000Z"},
        {"at": "2026-03-02T01:00:00Z"},
        {"at": "2029-03-02T01:00:00.000000Z"},
        {"id": json.loads(receipt["entries"][0]["payload"])["id"]},
        {"id": "A" * 32},
        {"kind": "use-intent"},
        {"kind": "use-refused"},
        {"kind": "operator-action"},
        {"kind": "Use"},
        {"more": 1},
    ):
        yield resigned(copy.deepcopy(receipt), 1, _payload({**outcome, **more}))
    text = _payload(outcome)
    twice, escaped = text.replace('{"at"', '{"at":0,"at"'), text.replace("q-1", "\\u0071-1")
    for payload in (text + " ", text.replace(":", ": ", 1), twice, escaped, "[" * 5000, "NaN"):
        yield resigned(copy.deepcopy(receipt), 1, payload)


def _payload(value: Any) -> str:
    try:
        return canonical_json(value).decode()
    except ValueError:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))


def seen_by_false_witnesses(receipt: dict[str, Any]) -> Iterator[Any]:
    """Checkpoints with lines that witnesses did not sign so."""
    note = receipt["checkpoint"]
    yield changed(receipt, ("checkpoint",), cosigned(note, "audit", text="another\n"))
    yield changed(receipt, ("checkpoint",), cosigned(note, "stranger"))
    yield changed(receipt, ("checkpoint",), cosigned(cosigned(note, "audit"), "audit", time=5))
    yield changed(receipt, ("checkpoint",), cosigned(note, "audit", time=2**37))
    yield changed(receipt, ("checkpoint",), cosigned(note, "audit", time=2**37 - 1))
    yield changed(receipt, ("checkpoint",), cosigned(cosigned(note, "audit"), "third"))
    public, key = witness("audit")
    line = base64.b64encode(bytes.fromhex(public.id) + key.sign(note.rpartition("\n\n")[0].encode() + b"\n")).decode()
    yield changed(receipt, ("checkpoint",), f"{note}— {public.name} {line}\n")
    text = "data.example/ledger\n1\n" + base64.b64encode(bytes(32)).decode() + "\nat 2026-03-02T01:00:00.000000Z\n"
    for one in (text, text.replace("\n1\n", "\n01\n"), text.replace("at ", ""), text + "more\n", text.replace("data", "other")):
        yield changed(receipt, ("checkpoint",), sign_note(one, origin="data.example/ledger", key=MemoryKeys().signing_key("ledger")))


def test_it_needs_the_standard_library_and_cryptography_alone() -> None:
    for file, beside in ((FILE, set()), (WITNESSES, {"verify_receipt"})):
        nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
        names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        assert {str(name).split(".")[0] for name in names} <= set(sys.stdlib_module_names) | {"cryptography"} | beside
    tree, lines = ast.parse(FILE.read_text("utf-8")), FILE.read_text("utf-8").splitlines()
    documented = [node.body[0] for node in ast.walk(tree) if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node)]
    words = sum(node.end_lineno - node.lineno + 1 for node in documented)
    assert sum(bool(line.strip()) for line in lines) - words <= MOST_LINES, "it must stay short enough to be read"
    assert max(map(len, lines)) <= 140


WAYS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--require-inclusion", "--result", "result"], {"require_inclusion": True, "result": ROWS}),
    (["--witness-key", "witnesses", "--witnesses", "1"], {"require_witnesses": 1}),
    (["--witness-key", "witnesses", "--witnesses", "0"], {}),
]


@pytest.mark.parametrize("number", range(5))
def test_it_comes_to_the_same_verdict_as_huitong(life: dict[str, Any], number: int, packages: Path, tmp_path: Path) -> None:
    good = life["good"][number]
    cases = [good, None, [], *tampered(good)]
    if number < 4:
        cases += [*told_by_the_log_itself(good)]
    if number in (1, 2, 3):
        cases += [*seen_by_false_witnesses(good)]
    (tmp_path / "keys").write_text(life["keys"], "utf-8")
    (tmp_path / "witnesses").write_text(life["witnesses"], "utf-8")
    (tmp_path / "result").write_bytes(ROWS)
    calls, wanted = [], []
    for place, case in enumerate(cases):
        file = tmp_path / f"{place}.json"
        file.write_text(json.dumps(case, ensure_ascii=False, allow_nan=False), "utf-8")
        more, options = WAYS[0 if place == 0 else place % len(WAYS)]
        given = [str(tmp_path / word) if word in ("result", "witnesses") else word for word in more]
        calls.append([str(file), str(tmp_path / "keys"), *given])
        trusted = life["witnesses"] if "witnesses" in more else None
        read = json.loads(file.read_text("utf-8"))
        wanted.append(0 if verify_receipt(read, log_key=life["keys"], witness_keys=trusted, **options).ok else 1)
    found = alone(packages, tmp_path, calls)
    differ = [(call, one, other) for call, one, other in zip(calls, found, wanted, strict=True) if one != other]
    assert differ == []
    assert found[0] == 0 and found.count(1) > len(found) / 2


def test_the_command_says_the_same(life: dict[str, Any], packages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").write_text(life["keys"], "utf-8")
    (tmp_path / "witnesses").write_text(life["witnesses"], "utf-8")
    receipt = tmp_path / "receipt.json"
    for good in life["good"]:
        for case in (good, changed(good, ("origin",), "other"), changed(good, ("entries",), good["entries"][::-1])):
            receipt.write_text(json.dumps(case), "utf-8")
            for wanted in ("0", "1", "2"):
                witnesses = ["--witness-key", str(tmp_path / "witnesses"), "--witnesses", wanted]
                (code,) = alone(packages, tmp_path, [[str(receipt), str(tmp_path / "keys"), *witnesses]])
                said = run(["receipt", "verify", str(receipt), "--log-key", str(tmp_path / "keys"), *witnesses])
                assert (code == 0) is (said == 0), (wanted, capsys.readouterr().out)
    assert "Witness audit.example/witness signed the checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", '{"format":1,"format":1}', "[" * 100_000, ""])
def test_what_is_no_receipt_does_not_hold(content: str, life: dict[str, Any], packages: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(life["keys"], "utf-8")
    (tmp_path / "receipt.json").write_text(content, "utf-8")
    calls = [[str(tmp_path / "receipt.json"), str(tmp_path / "keys")], [str(tmp_path / "none"), str(tmp_path / "keys")]]
    assert alone(packages, tmp_path, calls) == [1, 2]


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "# nothing",
        "no key",
        "{line} until",
        "{line} from x",
        "{line} until 2026-03-02T00:00:00.000000Z",
        "{witness}",
        "{line}\n{witness}",
    ],
)
def test_keys_are_read_alike(keys: str, life: dict[str, Any], packages: Path, tmp_path: Path) -> None:
    first = next(line for line in life["keys"].splitlines()[1:] if not line.startswith("#")).split()[0]
    text = keys.format(line=first, witness=witness("audit")[0].text)
    (tmp_path / "keys").write_text(text, "utf-8")
    receipt = life["good"][0]
    (tmp_path / "receipt.json").write_text(json.dumps(receipt), "utf-8")
    assert alone(packages, tmp_path, [[str(tmp_path / "receipt.json"), str(tmp_path / "keys")]]) == [1]
    assert not verify_receipt(receipt, log_key=text).ok
