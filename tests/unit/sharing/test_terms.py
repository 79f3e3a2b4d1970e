"""Terms, their canonical form and hash; words and lists of sharing."""

import json
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from string import Formatter

import pytest

from huitong.catalog.canonical import canonical_bytes, plain
from huitong.errors import Reason
from huitong.model.policy import DivisionRows, ItemTerm, Mask, MaskKind, Mode, Purpose
from huitong.model.sharing import Wish
from huitong.sharing.purposes import NOT_SHARED, purposes, refusal_reasons
from huitong.sharing.terms import canonical_terms, hash_of_terms, terms_of
from huitong.words import render, sentences

NOW = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)
PARTIES = {"dataset": "civil.homes", "provider": "a", "using_office": "b", "signed_by": "li", "version": 1}
WISH = Wish(
    dataset="civil.homes",
    purpose=Purpose(code="statistics", legal_basis="统计法"),
    items=(
        ItemTerm("village", Mask(MaskKind.CLEAR)),
        ItemTerm("name", Mask(MaskKind.PARTIAL, {"first": 1, "last": 0})),
    ),
    rows=DivisionRows(item="village", division="520100000000"),
    mode=Mode.ROWS,
    until=date(2026, 12, 31),
)


def hashed(wish: Wish = WISH, now: datetime = NOW, **parties: str | int) -> str:
    terms = terms_of(wish, using_office="b", grant_id="G-2026-000001", now=now, time_zone="Asia/Shanghai")
    return hash_of_terms(terms, **{**PARTIES, **parties})


def test_the_same_terms_have_the_same_hash_however_they_were_written() -> None:
    turned = replace(WISH, items=(ItemTerm("name", Mask(MaskKind.PARTIAL, {"last": 0, "first": 1})), WISH.items[0]))
    elsewhere = NOW.astimezone(datetime.now().astimezone().tzinfo)
    assert hashed(turned) == hashed() == hashed(now=elsewhere)
    assert len(hashed()) == 64


@pytest.mark.parametrize(
    "changed",
    [
        lambda: hashed(replace(WISH, until=date(2027, 1, 1))),
        lambda: hashed(replace(WISH, rows=None)),
        lambda: hashed(replace(WISH, items=WISH.items[:1])),
        lambda: hashed(replace(WISH, purpose=Purpose(code="statistics", legal_basis="another"))),
        lambda: hashed(replace(WISH, items=(WISH.items[0], ItemTerm("name", Mask(MaskKind.CLEAR))))),
        lambda: hashed(now=NOW + timedelta(microseconds=1)),
        *(lambda field=field: hashed(**{field: "x"}) for field in PARTIES if field != "version"),
        lambda: hashed(version=2),
    ],
)
def test_whatever_is_changed_changes_the_hash(changed) -> None:
    assert changed() != hashed()


def test_the_canonical_form_is_plain_json() -> None:
    terms = terms_of(WISH, using_office="b", grant_id="G-2026-000001", now=NOW, time_zone="Asia/Shanghai")
    written = json.loads(canonical_bytes(canonical_terms(terms, **PARTIES)))
    assert written["terms"]["valid_from"] == "2026-11-02T04:00:00.000000Z"
    assert written["terms"]["linkage_group"] == "b:statistics"
    with pytest.raises(TypeError):
        plain({"amount": 1.5})


def test_lists_have_words_in_both_languages_and_a_source() -> None:
    package = files("huitong.sharing")
    for name in ("purposes.toml", "refusals.toml"):
        assert tomllib.loads((package / name).read_text("utf-8"))["source"]
    assert tomllib.loads((package / "rules.toml").read_text("utf-8"))["answer"]["source"]
    assert all(year["source"] for year in tomllib.loads((package / "working_days.toml").read_text("utf-8"))["year"])
    assert "poverty-monitoring" in purposes()
    for code in (*refusal_reasons(), NOT_SHARED):
        assert render(Reason(code), "en") != code != render(Reason(code), "zh-Hans")
    assert NOT_SHARED not in refusal_reasons(), "only the rule refuses so"


def test_the_words_of_sharing_speak_both_languages_with_the_same_parameters() -> None:
    folder = files("huitong.words")
    english, chinese = (tomllib.loads((folder / one / "sharing.toml").read_text("utf-8")) for one in ("en", "zh-Hans"))
    assert english.keys() == chinese.keys()
    for code in english:
        wanted = {name for _, name, _, _ in Formatter().parse(english[code]) if name}
        assert wanted == {name for _, name, _, _ in Formatter().parse(chinese[code]) if name}, code
    assert set(english) <= set(sentences("en"))
