"""The documents of a grant on the command line."""

import json
from pathlib import Path

import pytest
from test_officer_commands import Run, divisions, huitong_, instance, seed_lake, table
from tests.api.conftest import Instance
from tests.api.test_api_sharing import WISH

from huitong.sharing.document import read_agreement

__all__ = ["divisions", "huitong_", "instance", "seed_lake"]


@pytest.fixture
def grant(instance: Instance) -> str:
    return str(instance.post("requests", {**WISH, "dataset": "civil.shelter"}).json()["grant"])


def test_the_agreement_is_read_saved_and_checked(huitong_: Run, grant: str) -> None:
    code, out, err = huitong_("grant", "document", grant, who="analyst")
    assert code == 0 and out.startswith(f"# Grant {grant}, version 1\n") and not err
    code, out, _ = huitong_("grant", "document", grant, "--lang", "zh-Hans", who="analyst")
    assert code == 0 and out.startswith(f"# 授权 {grant}（第 1 版）")
    code, out, err = huitong_("grant", "document", grant, "--as", "html", "--output", "grant.html", who="officer")
    assert code == 0 and not out and "grant.html" in err
    assert Path("grant.html").read_text("utf-8").startswith("<!doctype html>")
    code, out, _ = huitong_("grant", "document", grant, "--as", "odrl", "--version", "1", who="analyst")
    assert code == 0
    agreement = read_agreement(json.loads(out))
    rows = table(huitong_("grant", "versions", grant, "--format", "csv", who="analyst")[1])
    assert [(row["version"], row["valid"], row["terms_hash"]) for row in rows] == [("1", "true", agreement.terms_hash)]


def test_who_may_not_and_what_is_not_there(huitong_: Run, grant: str) -> None:
    assert huitong_("grant", "document", grant, who="stranger")[0] == 4
    code, _, err = huitong_("grant", "document", grant, "--version", "2", who="analyst")
    assert code == 4 and "newest version is 1" in err
    assert huitong_("grant", "versions", "G-2026-999999")[0] == 4
