"""The verifier is one file that an auditor can take away: no other part of Huitong, no network, no instance."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_kit import Instance

import huitong.ledger.verify as verifier

FILE = Path(verifier.__file__)


@pytest.fixture
def papers(tmp_path):
    """A receipt, the key and the result as files, and the verifier copied beside them."""
    instance = Instance()
    ids = instance.use(result=b"the rows")
    instance.sequencer.fold_once()
    (tmp_path / "receipt.json").write_text(json.dumps(instance.ledger.receipt(ids), ensure_ascii=False, indent=1), "utf-8")
    (tmp_path / "log.vkey").write_text(instance.vkey + "\n", "utf-8")
    (tmp_path / "result.arrow").write_bytes(b"the rows")
    shutil.copy(FILE, tmp_path / "verify.py")
    return tmp_path


def run(papers, *arguments, module=False):
    program = ["-m", "huitong.ledger.verify"] if module else ["-I", str(papers / "verify.py")]
    environment = {"PYTHONPATH": str(FILE.parents[2])} if module else {}
    command = [sys.executable, *program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=papers, env=environment, timeout=60, check=False)


def test_it_imports_only_the_standard_library_and_cryptography():
    imported = set()
    for node in ast.walk(ast.parse(FILE.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.split(".")[0])
    optional = {"rfc3161_client"}  # for time stamps, if the reader asks for them: imported within `check_stamp` alone
    assert imported <= set(sys.stdlib_module_names) | {"cryptography"} | optional
    at_the_top = [node for node in ast.parse(FILE.read_text("utf-8")).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert not any("rfc3161" in ast.unparse(node) for node in at_the_top)
    assert "cryptography" in imported


@pytest.mark.parametrize("module", [False, True])
def test_a_receipt_is_verified_from_files(papers, module):
    done = run(papers, "receipt.json", "--key", "log.vkey", "--result", "result.arrow", "--require-inclusion", module=module)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "The receipt holds."
    assert "FAILED" not in done.stdout


def test_another_result_does_not_pass(papers):
    (papers / "result.arrow").write_bytes(b"other rows")
    done = run(papers, "receipt.json", "--key", "log.vkey", "--result", "result.arrow")
    assert done.returncode == 1
    assert "FAILED  result" in done.stdout


def test_the_key_must_be_given(papers):
    assert run(papers, "receipt.json").returncode == 2


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '{"format":"huitong-receipt/1","format":"huitong-receipt/1"}'])
def test_what_is_no_receipt_does_not_hold(papers, content, capsys):
    (papers / "receipt.json").write_text(content)
    assert verifier.main([str(papers / "receipt.json"), "--key", str(papers / "log.vkey")]) == 1
    assert capsys.readouterr().out.endswith("The receipt does NOT hold.\n")


def test_a_file_that_is_not_there_is_said_without_its_place(papers, capsys):
    assert verifier.main([str(papers / "nothing.json"), "--key", str(papers / "log.vkey")]) == 2
    assert str(papers) not in capsys.readouterr().err
