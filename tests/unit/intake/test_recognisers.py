"""What an item is taken for: right on what offices hold, silent on numbers that only look alike, and never by its name alone."""

import csv
import gzip
import random
import string
from collections.abc import Callable
from datetime import date, timedelta
from importlib.resources import files

import pyarrow as pa
import pytest

from huitong.intake.recognisers import kernels, recognise, rules
from huitong.model.codes import (
    CREDIT_CODE_ALPHABET,
    credit_code_check_character,
    is_luhn,
    is_organisation_code,
    resident_id_check_character,
)

CHANCE = random.Random(20260301)
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗韦蒙岑冉安骆覃"
GIVEN = "伟强军勇涛斌波辉鹏飞杰超刚磊俊峰林海平亮龙健东旭凯鑫丽敏静艳燕娟霞红梅萍玲莉婷慧"


def digits(count: int) -> str:
    return "".join(CHANCE.choice(string.digits) for _ in range(count))


def resident_id(head: str = "520102") -> str:
    day = date(1940, 1, 1) + timedelta(days=CHANCE.randrange(29_000))
    first = f"{head}{day:%Y%m%d}{digits(3)}"
    return first + resident_id_check_character(first)


def credit_code() -> str:
    first = f"91520{digits(3)}MA" + "".join(CHANCE.choice(CREDIT_CODE_ALPHABET) for _ in range(7))
    return first + credit_code_check_character(first)


def bank_card() -> str:
    first = CHANCE.choice(["621700", "622848", "621226"]) + digits(12)
    return first + next(digit for digit in string.digits if is_luhn(first + digit))


def organisation_code() -> str:
    first = digits(8)
    return f"{first}-" + next(last for last in "0123456789X" if is_organisation_code(first + last))


def person_name() -> str:
    return CHANCE.choice(SURNAMES) + "".join(CHANCE.choice(GIVEN) for _ in range(CHANCE.choice([1, 2, 2])))


def one_of(*choices: str) -> Callable[[], str]:
    return lambda: CHANCE.choice(choices)


def meanings(make: Callable[[], str], *, name: str = "item", titles: tuple[str, ...] = (), count: int = 3_000) -> list[str]:
    return [one.meaning for one in recognise(pa.array([make() for _ in range(count)]), name=name, titles=titles)]


@pytest.mark.parametrize(
    ("make", "meaning"),
    [
        (resident_id, "resident-id"),
        (lambda: resident_id().lower(), "resident-id"),
        (lambda: "'" + resident_id(), "resident-id"),
        (lambda: f"520102{CHANCE.randint(30, 90)}0{CHANCE.randint(1, 9)}1{digits(4)}", "resident-id"),
        (credit_code, "credit-code"),
        (bank_card, "bank-card"),
        (lambda: " ".join([(card := bank_card())[:4], card[4:8], card[8:12], card[12:16], card[16:]]), "bank-card"),
        (organisation_code, "organisation-code"),
        (lambda: "1" + CHANCE.choice("3456789") + digits(9), "phone"),
        (lambda: "+86 13" + digits(9), "phone"),
        (lambda: "0851-8" + digits(7), "landline"),
        (lambda: CHANCE.choice(["0851-8" + digits(7), "13" + digits(9), "18" + digits(9)]), "phone"),
        (lambda: "贵" + CHANCE.choice("ABCDEFGHJ") + digits(5), "plate-number"),
        (lambda: "贵A·D" + digits(5), "plate-number"),
        (one_of("贵A1234警", "贵O12345", "京A12345", "粤Z1234港"), "plate-number"),
        (lambda: CHANCE.choice(["520102", "520181", "522201", "522727"]) + digits(3) + "000", "division-code"),
        (person_name, "person-name"),
        (lambda: "欧阳" + CHANCE.choice(GIVEN) + CHANCE.choice(GIVEN), "person-name"),
        (lambda: f"阿依古丽·{CHANCE.choice(['艾合买提', '吐尔逊'])}{CHANCE.choice(GIVEN)}{CHANCE.choice(GIVEN)}", "person-name"),
        (lambda: f"贵州省遵义市汇川区{CHANCE.choice(GIVEN)}路{CHANCE.randint(1, 400)}号{CHANCE.randint(1, 9)}栋", "address"),
        (lambda: f"安顺市平坝区夏云镇{CHANCE.choice(GIVEN)}{CHANCE.choice(GIVEN)}村{CHANCE.randint(1, 9)}组", "address"),
        (lambda: f"clerk{digits(4)}@example.gov.cn", "e-mail"),
    ],
)  # fmt: skip
def test_what_offices_hold_is_recognised_without_a_hint(make: Callable[[], str], meaning: str) -> None:
    assert meanings(make)[:1] == [meaning]


@pytest.mark.parametrize(
    "make",
    [
        *(lambda n=n: digits(n) for n in (4, 6, 8, 9, 10, 11, 12, 15, 16, 17, 18, 19)),
        lambda: str(CHANCE.randint(0, 9_999_999)),
        lambda: f"{CHANCE.random() * 10_000:.2f}",
        lambda: f"{date(2020, 1, 1) + timedelta(days=CHANCE.randrange(1500))}",
        lambda: f"2026{digits(14)}",
        lambda: f"DD{digits(16)}",
        one_of("汉族", "苗族", "布依族", "白族", "侗族", "水族", "黎族", "满族"),
        one_of("高血压", "糖尿病", "冠心病", "脑血管病", "恶性肿瘤", "肺结核"),
        one_of("南明区", "云岩区", "花溪区", "白云区", "乌当区", "开阳县", "息烽县", "清镇市"),
        one_of("已婚", "未婚", "丧偶", "离异"),
        lambda: f"贵州{CHANCE.choice(GIVEN)}{CHANCE.choice(GIVEN)}科技有限公司",
        lambda: f"贵阳市{CHANCE.choice(GIVEN)}{CHANCE.choice(GIVEN)}小学",
        lambda: "经入户核实,家庭情况属实," + CHANCE.choice(["建议纳入", "不符合条件", "待复核"]),
    ],
)
def test_plain_numbers_and_words_are_taken_for_nothing(make: Callable[[], str]) -> None:
    assert meanings(make) == []


def test_of_random_digits_fewer_than_one_in_a_thousand_pass_for_an_identifier() -> None:
    for length in (15, 16, 17, 18, 19):
        texts = kernels.Texts(pa.array([digits(length) for _ in range(60_000)]))
        new, old = kernels.resident_ids(texts)
        for flags in (new | old, kernels.credit_codes(texts), kernels.bank_cards(texts)):
            # 0.00085 at most in the long run (credit codes: 29 kinds in 100, one in 31, one in 11); 60 + 4 deviations here
            assert flags.sum() < 60 + 4 * 60**0.5


def test_near_misses_fall_as_often_as_a_check_character_promises() -> None:
    """One changed digit of a resident number or a card never passes; two swapped neighbours of a resident number neither."""
    changed, swapped, cards = [], [], []
    for _ in range(2_000):
        value = resident_id()
        where = CHANCE.randrange(17)
        changed.append(value[:where] + str((int(value[where]) + CHANCE.randint(1, 9)) % 10) + value[where + 1 :])
        where = CHANCE.randrange(16)
        if value[where] != value[where + 1]:
            swapped.append(value[:where] + value[where + 1] + value[where] + value[where + 2 :])
        card = bank_card()
        where = CHANCE.randrange(len(card))
        cards.append(card[:where] + str((int(card[where]) + CHANCE.randint(1, 9)) % 10) + card[where + 1 :])
    assert not kernels.resident_ids(kernels.Texts(pa.array(changed)))[0].any()
    assert not kernels.resident_ids(kernels.Texts(pa.array(swapped)))[0].any()
    assert not kernels.bank_cards(kernels.Texts(pa.array(cards))).any()


def test_a_number_is_recognised_whatever_division_it_begins_with() -> None:
    """Counties are made, merged and renumbered; people keep their numbers. 999999 never was a division."""
    for head in ("520221", "522301", "520499", "839999", "999999"):
        assert meanings(lambda head=head: resident_id(head), count=300) == ["resident-id"]


def test_every_county_and_village_of_the_shipped_divisions_is_a_division() -> None:
    packed = (files("huitong.data") / "guizhou_divisions_2023.csv.gz").read_bytes()
    codes = [row["code"] for row in csv.DictReader(gzip.decompress(packed).decode("utf-8").splitlines())]
    in_city, in_county = kernels.divisions(kernels.Texts(pa.array(codes)))
    assert in_city.all() and in_county.all()
    assert [one.meaning for one in recognise(pa.array(codes), name="dm")] == ["division-code"]


def test_a_county_that_was_founded_after_the_list_was_made_does_not_hide_the_item() -> None:
    codes = ["520198" + digits(6) for _ in range(300)] + ["520102" + digits(6) for _ in range(700)]
    assert [one.meaning for one in recognise(pa.array(codes), name="dm")] == ["division-code"]


def test_a_name_alone_never_decides_and_helps_where_the_values_are_dirty() -> None:
    assert meanings(lambda: digits(18), name="id_card", titles=("身份证号码",)) == []
    assert meanings(lambda: CHANCE.choice(["好", "一般", "差"]), name="姓名", titles=("姓名", "Name")) == []
    dirty = lambda: resident_id() if CHANCE.random() < 0.4 else "不详"  # noqa: E731
    assert meanings(dirty, name="bz") == []
    [found] = recognise(pa.array([dirty() for _ in range(3_000)]), name="sfzh")
    assert (found.meaning, found.why.code) == ("resident-id", "recognised-by-checksum-and-name")


def test_shapes_that_many_things_have_need_a_name_besides() -> None:
    days = lambda: f"{date(1950, 1, 1) + timedelta(days=CHANCE.randrange(20_000))}"  # noqa: E731
    assert meanings(days, name="登记日期") == []
    assert meanings(days, name="出生日期") == ["birth-date"]
    assert meanings(lambda: "55" + digits(4), name="code") == []
    assert meanings(lambda: "55" + digits(4), name="邮政编码") == ["postcode"]


def test_what_is_missing_or_blank_is_not_looked_at_and_counts_are_of_values() -> None:
    values = [resident_id() for _ in range(80)] + ["身份不明"] * 20 + [None, "", "  "] * 50
    [found] = recognise(pa.array(values), name="x")
    assert (found.recognised, found.sampled, found.share) == (80, 100, 0.8)
    assert dict(found.why.parameters) == {"meaning": "resident-id", "recognised": 80, "sampled": 100}
    assert recognise(pa.array([None, None], pa.string()), name="x") == ()
    assert recognise(pa.chunked_array([], pa.string()), name="x") == ()


def test_large_items_are_sampled_by_the_seed_and_the_same_every_time() -> None:
    values = pa.chunked_array([pa.array([resident_id() if n % 4 else digits(18) for n in range(60_000)]), pa.array(["x"] * 60_000)])
    first = recognise(values, name="身份证号", seed=7)
    assert first == recognise(values, name="身份证号", seed=7)
    assert first[0].sampled == 100_000
    assert first[0].recognised != recognise(values, name="身份证号", seed=8)[0].recognised


def test_hostile_texts_harm_nobody() -> None:
    odd = [
        "", "\x00", "a" * 1_000_000, "身" * 100_000, "１２３４５６７８９０１２３４５６７８",
        "'; DROP TABLE x --", "\U0001f600", "\u202e520102",
    ]
    assert recognise(pa.array(odd), name="[(*\\", titles=("%s{}",)) == ()


def test_every_meaning_has_its_words_its_grade_and_hints() -> None:
    for rule in rules().values():
        assert rule.title.zh != rule.title.en
        assert 0 < rule.share_hinted <= rule.share <= 1
        assert rule.hints and all(hint == hint.lower() for hint in rule.hints)
        assert set(rule.wider_than) <= set(rules())
