"""Every code of the ledger has a sentence in both languages, with the same parameters."""

import re
import string
import tomllib
from importlib.resources import files
from pathlib import Path

import huitong.keystore
import huitong.ledger
from huitong.errors import Reason
from huitong.ledger.verify import SENTENCES, Step
from huitong.words import render

ENGLISH, CHINESE = (
    tomllib.loads((files("huitong.words") / language / "ledger.toml").read_text("utf-8")) for language in ("en", "zh-Hans")
)
SOURCES = [Path(huitong.keystore.__file__), *Path(huitong.ledger.__file__).parent.glob("*.py")]
FROM_ELSEWHERE = {"instant-without-zone", "ledger-not-writable"}
"""Words of the nouns and of the gateway, which the ledger says too."""


def placeholders(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_both_languages_have_the_same_codes_and_parameters():
    assert ENGLISH.keys() == CHINESE.keys()
    for code, sentence in ENGLISH.items():
        assert placeholders(sentence) == placeholders(CHINESE[code]), code


def test_the_verifier_says_in_english_what_the_words_say():
    assert {code: sentence for code, sentence in ENGLISH.items() if code.startswith("receipt-")} == SENTENCES


def test_every_code_in_the_sources_has_words_and_every_sentence_is_used():
    text = "\n".join(source.read_text("utf-8") for source in SOURCES)
    used = set(re.findall(r'"((?:ledger|audit|key|receipt|instant)-[a-z-]+)"', text)) - FROM_ELSEWHERE - {"ledger-key", "ledger-literals"}
    assert used - ENGLISH.keys() == set()
    assert ENGLISH.keys() - used == set()


def test_a_step_reads_in_both_languages():
    step = Step("inclusion", True, "receipt-inclusion-held", {"entry": "ab", "index": 3, "size": 9})
    assert step.detail == "Entry ab stands in the tree at place 3 of 9."
    assert render(Reason(step.code, step.parameters), "zh-Hans") == "记录 ab 位于存证树 9 条中的第 3 位。"
