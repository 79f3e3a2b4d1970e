"""A file of an office becomes a snapshot without a guess, or a refusal that names the line, the item and the reason."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from huitong.errors import InputInvalid
from huitong.intake import load as loading
from huitong.intake.fast_text import NotPlainError
from huitong.intake.load import Loading, LoadOptions, Reject, load
from huitong.lake.snapshots import Lake
from huitong.model.catalog import Dataset, Grade, Item, ItemType, Openness, Sharing, UpdateCycle
from huitong.model.text import BilingualText
from huitong.words import render

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ITEMS = {
    "code": (ItemType.TEXT, "编码"),
    "count": (ItemType.INTEGER, "数量"),
    "share": (ItemType.DECIMAL, "比例"),
    "open": (ItemType.BOOLEAN, "开放"),
    "day": (ItemType.DATE, "日期"),
    "seen": (ItemType.INSTANT, "时刻"),
}
HEADER = "code,count,share,open,day,seen\n"
GOOD = "0520103,5,1.50,true,2026-01-05,2026-01-05T10:00:00+08:00\n"
GOOD_ROW = {
    "code": "0520103",
    "count": 5,
    "share": 1.5,
    "open": True,
    "day": date(2026, 1, 5),
    "seen": datetime(2026, 1, 5, 2, tzinfo=UTC),
}


def dataset(items: dict[str, tuple[ItemType, str]] = ITEMS) -> Dataset:
    same = BilingualText("表", "table")
    return Dataset(
        id="civil.table",
        title=same,
        abstract=same,
        classification="3-01-0101/000001",
        provider="gz-civil",
        collector="gz-civil",
        sharing=Sharing.UNCONDITIONAL,
        sharing_basis="x",
        sharing_condition=None,
        openness=Openness.OPEN,
        update_cycle=UpdateCycle.DAILY,
        items=tuple(Item(name, BilingualText(zh, f"The {name}"), kind, Grade.PUBLIC) for name, (kind, zh) in items.items()),
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", lambda: NOW)


def give(lake: Lake, content: str | bytes, *, limit: int = 0, encoding: str = "utf-8", of: Dataset | None = None) -> Loading:
    path = lake.folder.parent / "given.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return load(path, dataset=of or dataset(), lake=lake, options=LoadOptions(reject_limit=limit))


def not_plain(*_: object, **__: object) -> None:
    """The fast way gives up, so the careful way does the work."""
    raise NotPlainError


def held(lake: Lake, loaded: Loading) -> list[dict[str, object]]:
    return [row for path in lake.absolute([f.path for f in loaded.snapshot.files]) for row in parquet.read_table(path).to_pylist()]


def codes(lake: Lake, content: str | bytes, **more: object) -> list[str]:
    with pytest.raises(InputInvalid) as caught:
        give(lake, content, **more)  # type: ignore[arg-type]
    assert lake.versions("civil.table") == ()
    for reason in caught.value.reasons:
        for language in ("en", "zh-Hans"):
            assert reason.code not in render(reason, language)
    return [reason.code for reason in caught.value.reasons]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_encodings_are_proved_and_chinese_survives(lake: Lake, encoding: str) -> None:
    content = HEADER + GOOD + "贵阳市云岩区二〇二六年统计,7,0.1,否,2026年1月5日,2026-01-05 10:00:00+08\n"
    loaded = give(lake, content, encoding=encoding)
    assert loaded.reading.encoding == encoding
    assert held(lake, loaded)[0] == GOOD_ROW
    assert held(lake, loaded)[1]["code"] == "贵阳市云岩区二〇二六年统计"


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(lake: Lake, delimiter: str, line_end: str) -> None:
    loaded = give(lake, (HEADER + GOOD + GOOD).replace(",", delimiter).replace("\n", line_end))
    assert loaded.reading.delimiter == delimiter
    assert held(lake, loaded) == [GOOD_ROW, GOOD_ROW]


def test_columns_are_matched_by_name_or_title_in_any_order(lake: Lake) -> None:
    loaded = give(lake, "时刻,The DAY,ＯＰＥＮ,比例, count ,编码\n2026-01-05T10:00:00+08:00,2026-01-05,true,1.50,5,0520103\n")
    assert held(lake, loaded) == [GOOD_ROW]


def test_titles_and_blank_rows_above_the_header_are_left_out(lake: Lake) -> None:
    loaded = give(lake, f"2026年度统计表,,,,,\n\n填报单位：,民政局,,,,\n{HEADER}{GOOD}")
    assert loaded.reading.header_row == 4
    assert held(lake, loaded) == [GOOD_ROW]


def test_everything_wrong_with_the_columns_is_said_at_once(lake: Lake) -> None:
    found = codes(lake, "code,count,count,,colour,day\n1,2,3,4,5,6\n")
    assert found == [
        "intake-column-twice",
        "intake-column-unnamed",
        "intake-column-unknown",
        *["intake-column-missing"] * 3,
    ]
    assert codes(lake, "a,b\n1,2\n") == ["intake-header-not-found"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "intake-file-empty"),
        (b"  \n\n", "intake-file-empty"),
        (HEADER.encode() + b"\x00\x01\x02\n", "intake-nul-character"),
        (HEADER.encode() + GOOD.encode() + b"caf\xe9,1\n", "intake-encoding-broken"),
        ("編號,數量\n繁體中文資料,1\n".encode("big5"), "intake-encoding-broken"),
        (b"PAR1 no more", "intake-parquet-unreadable"),
    ],
)
def test_files_that_are_no_table_are_refused(lake: Lake, content: bytes, code: str) -> None:
    assert codes(lake, content)[0] == code


@pytest.mark.parametrize(
    ("item", "text", "value"),
    [
        ("code", "007", "007"),
        ("code", "  x ", "  x "),
        ("code", "", None),
        ("code", '"a ""quoted"" b"', 'a "quoted" b'),
        ("code", '"two\nlines"', "two\nlines"),
        ("code", "520103001002", "520103001002"),
        ("code", "1e5", "1e5"),
        ("code", "NULL", "NULL"),
        ("count", " 12 ", 12),
        ("count", "-9223372036854775808", -(2**63)),
        ("count", "", None),
        ("share", "5", 5.0),
        ("share", "-0.25", -0.25),
        ("share", "1.50", 1.5),
        ("share", "1e-3", 0.001),
        ("share", "0.30000000000000004", 0.30000000000000004),
        ("open", "是", True),
        ("open", "FALSE", False),
        ("open", "0", False),
        ("day", "2024-02-29", date(2024, 2, 29)),
        ("day", "2024/2/9", date(2024, 2, 9)),
        ("day", "20240209", date(2024, 2, 9)),
        ("day", "2024年2月9日", date(2024, 2, 9)),
        ("day", "2024-02-09 00:00:00", date(2024, 2, 9)),
        ("seen", "2026-01-05T00:00:00Z", datetime(2026, 1, 5, tzinfo=UTC)),
        ("seen", "2026-01-05 08:00+08:00", datetime(2026, 1, 5, tzinfo=UTC)),
        ("seen", "2026-01-04T19:00:00.123456-05:00", datetime(2026, 1, 5, 0, 0, 0, 123456, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("careful", [False, True])
def test_values_that_fit(lake: Lake, monkeypatch: pytest.MonkeyPatch, item: str, text: str, value: object, careful: bool) -> None:
    if careful:
        monkeypatch.setattr(loading, "load_fast", not_plain)
    small = dataset({"key": (ItemType.TEXT, "键"), item: ITEMS[item]})
    assert held(lake, give(lake, f"key,{item}\nk,{text}\n", of=small)) == [{"key": "k", item: value}]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        *(("count", text) for text in ("007", "1.0", "1.5", "1e3", "0x1F", "1_000", "+5", "12 34", "9223372036854775808", "一", "1,000")),
        *(("share", text) for text in ("nan", "inf", "1,5", ".", "1.2.3", "0.1234567890123456789", "--1", "1e999", "abc")),
        *(("open", text) for text in ("2", "maybe", "t", "-1")),
        *(("day", text) for text in ("2026-02-30", "2025-02-29", "26-01-05", "05/01/2026", "2026-13-01", "20260230")),
        *(("day", text) for text in ("2026-01-05 10:00:00", "2026-1", "2026/01-05", "epoch", "infinity", "46000")),
        *(("seen", text) for text in ("2026-01-05 10:00:00", "2026-01-05", "2026-01-05T25:00:00Z", "now", "2026-02-30T00:00:00Z")),
    ],
)
def test_values_that_do_not_fit(lake: Lake, item: str, text: str) -> None:
    small = dataset({"key": (ItemType.TEXT, "键"), item: ITEMS[item]})
    loaded = give(lake, f'key,{item}\na,\nb,"{text}"\nc,\n', of=small, limit=1)
    kind = {"count": "integer", "share": "decimal", "open": "boolean", "day": "date", "seen": "instant"}[item]
    assert loaded.rejects == (Reject(3, f"value-not-{kind}", item),)
    assert [row["key"] for row in held(lake, loaded)] == ["a", "c"]


def test_each_reject_names_its_line_even_after_fields_of_many_lines(lake: Lake) -> None:
    long = GOOD.replace("0520103", '"one\ntwo\nthree"')
    content = HEADER + long + "x,x,1,true,2026-01-05,\n" + "\n" + "short,1\n" + GOOD.strip() + ",more\n" + GOOD
    loaded = give(lake, content, limit=3)
    assert loaded.rejects == (Reject(5, "value-not-integer", "count"), Reject(7, "row-too-short"), Reject(8, "row-too-long"))
    assert (loaded.snapshot.rows, loaded.snapshot.rejected_rows) == (2, 3)


def test_a_quote_that_is_never_closed_is_a_reject_at_its_line(lake: Lake) -> None:
    loaded = give(lake, HEADER + GOOD + '"open,5,1,true,2026-01-05,\n', limit=1)
    assert loaded.rejects == (Reject(3, "row-quote-not-closed"),)


def test_too_many_rejects_leave_nothing_and_name_the_first(lake: Lake) -> None:
    bad = "x,secret-canary,1,true,2026-02-30,\n"
    with pytest.raises(InputInvalid) as caught:
        give(lake, HEADER + GOOD + bad * 30, limit=29)
    reasons = caught.value.reasons
    assert reasons[0].parameters == {"dataset": "civil.table", "rows": 30, "limit": 29, "named": 20}
    assert reasons[1].code == "value-not-integer"
    assert reasons[1].parameters == {"line": 3, "item": "count"}
    assert "canary" not in " ".join(render(reason, "en") for reason in reasons)
    assert lake.versions("civil.table") == ()


def test_the_last_line_needs_no_end(lake: Lake) -> None:
    assert give(lake, (HEADER + GOOD).rstrip("\n")).snapshot.rows == 1


def test_a_table_without_rows_is_an_empty_snapshot(lake: Lake) -> None:
    assert give(lake, HEADER).snapshot.rows == 0


def test_the_hash_is_that_of_the_bytes_given(lake: Lake) -> None:
    import hashlib

    assert give(lake, HEADER + GOOD).snapshot.source_hash == hashlib.sha256((HEADER + GOOD).encode()).hexdigest()


def test_a_dataset_of_one_item(lake: Lake) -> None:
    one = dataset({"code": ITEMS["code"]})
    assert [row["code"] for row in held(lake, give(lake, "code\n01\n02\n", of=one))] == ["01", "02"]


def test_both_ways_give_the_same_rows(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f'"{n:07d}","{n}",{n / 8},{n % 2},2026-01-{1 + n % 28:02d},2026-01-05T{n % 24:02d}:00:00Z' for n in range(3_000)]
    content = HEADER + "\n".join(lines)
    fast = held(lake, give(lake, content))
    monkeypatch.setattr(loading, "load_fast", not_plain)
    assert held(lake, give(lake, content)) == fast


def test_parquet_of_matching_types(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "given"
    table = pa.table(
        {
            "seen": pa.array([GOOD_ROW["seen"], None], pa.timestamp("ms", "Asia/Shanghai")),
            "code": pa.array(["0520103", "1"]).dictionary_encode(),
            "数量": pa.array([5, None], pa.int32()),
            "share": pa.array([1.5, 2.0], pa.float32()),
            "open": [True, None],
            "day": [date(2026, 1, 5), None],
        }
    )
    parquet.write_table(table, path)
    loaded = load(path, dataset=dataset(), lake=lake)
    assert held(lake, loaded)[0] == GOOD_ROW
    assert loaded.snapshot.rows == 2


def test_parquet_that_lost_a_code_to_a_number_is_refused(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "given.parquet"
    small = dataset({"code": ITEMS["code"], "seen": ITEMS["seen"], "day": ITEMS["day"]})
    parquet.write_table(pa.table({"code": [520103], "seen": [datetime(2026, 1, 5)], "day": [datetime(2026, 1, 5)]}), path)  # noqa: DTZ001
    with pytest.raises(InputInvalid) as caught:
        load(path, dataset=small, lake=lake)
    assert [reason.code for reason in caught.value.reasons] == ["intake-column-type"] * 3


def test_parquet_rejects_name_their_row(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "given.parquet"
    small = dataset({"code": ITEMS["code"], "count": ITEMS["count"], "share": ITEMS["share"]})
    numbers = pa.array([1, 2**63, 3], pa.uint64())
    parquet.write_table(pa.table({"code": ["a", "b", "c"], "count": numbers, "share": [1.0, 2.0, float("nan")]}), path)
    loaded = load(path, dataset=small, lake=lake, options=LoadOptions(reject_limit=2))
    assert loaded.rejects == (Reject(2, "value-not-integer", "count"), Reject(3, "value-not-decimal", "share"))
    assert [row["code"] for row in held(lake, loaded)] == ["a"]


@pytest.mark.slow
def test_a_million_rows_need_little_memory_and_tell_their_progress(lake: Lake, tmp_path: Path) -> None:
    """The same bound for a clean file and for one that must be read record by record."""
    import resource

    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write(HEADER)
        for start in range(0, 1_000_000, 1_000):
            file.writelines(f"{n:018d},{n},{n / 8},true,2026-01-05,2026-01-05T10:00:00Z\n" for n in range(start, start + 1_000))
    small = Lake(tmp_path / "small", lambda: NOW, memory_megabytes=256)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told: list[tuple[int, int | None]] = []
    assert load(path, dataset=dataset(), lake=small, progress=lambda done, of: told.append((done, of))).snapshot.rows == 1_000_000
    assert told[-1] == (1_000_000, 1_000_000)
    with path.open("a") as file:
        file.write("x,x,,,,\n")
    told.clear()
    one = LoadOptions(reject_limit=1)
    loaded = load(path, dataset=dataset(), lake=small, progress=lambda done, of: told.append((done, of)), options=one)
    assert loaded.rejects == (Reject(1_000_002, "value-not-integer", "count"),)
    assert len(told) > 4
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 * 1024


def test_a_number_that_a_double_would_change_does_not_fit(lake: Lake, tmp_path: Path) -> None:
    entry = dataset({"share": (ItemType.DECIMAL, "比例")})
    for column in (
        pa.array([Decimal("1.25"), Decimal("12345678901234567.89")], pa.decimal128(19, 2)),
        pa.array([5, 2**53 + 1], pa.int64()),
    ):
        parquet.write_table(pa.table({"share": column}), tmp_path / "x.parquet")
        done = load(tmp_path / "x.parquet", dataset=entry, lake=lake, options=LoadOptions(reject_limit=1))
        assert (done.snapshot.rows, [(one.line, one.reason) for one in done.rejects]) == (1, [(2, "value-not-decimal")])
