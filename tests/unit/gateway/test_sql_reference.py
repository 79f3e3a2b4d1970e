"""The page docs/reference/sql.md tells the truth: what it lists is understood, and what it calls refused is refused."""

import re
from pathlib import Path

import pytest

from huitong.errors import Refused
from huitong.gateway.parse import parse, read_caps

PAGE = (Path(__file__).parents[3] / "docs/reference/sql.md").read_text("utf-8")
LISTED = [written for line in re.findall(r"^- `(.+)`$", PAGE, re.MULTILINE) for written in re.split(r", (?=a |a:|CASE|EXISTS)", line)]
REFUSED = [line.replace("\\|", "|") for line in re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("written", LISTED)
def test_what_is_listed_is_understood(written: str) -> None:
    value = written.replace("SELECT ...", "SELECT x.a FROM civil.person AS x")
    parse(f"SELECT {value} AS v FROM civil.person AS p", read_caps())


def test_every_kind_is_listed() -> None:
    assert len(LISTED) > 90
    for section in ("Operators", "Totals", "Windows", "Functions"):
        assert f"## {section}\n" in PAGE


CALLS = {name: name.replace("...", "p.a") for name in REFUSED if re.fullmatch(r"[a-z_0-9]+\(\.\.\.\)", name)}


@pytest.mark.parametrize("call", CALLS.values())
def test_what_is_called_refused_is_refused(call: str) -> None:
    with pytest.raises(Refused):
        parse(f"SELECT {call} AS v FROM civil.person AS p", read_caps())
