"""Attacks on what the machine has: memory, time, disk, places, readers of files."""

import io
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from huitong.drill.asking import Said, ask, failure_in, granted, leak_in, said
from huitong.drill.bounds import Watched, code_of, many_at_once, watching
from huitong.drill.ground import Ground, Procedure
from huitong.drill.instance import MAXIMUM_ROWS, PROVIDER, ROWS_USER, entry, item
from huitong.drill.judging import Finding, Outcome

UPLOAD = "civil.upload"
"""A dataset of the attacker's own office, for uploads that are to break the reader."""
UPLOAD_SECONDS = 30.0
READER_MEGABYTES = 1024
"""What a process may hold while it reads a hostile file; the files would unpack to a hundred times as much."""


def _bounded(finding: Finding, seen: Watched) -> Finding:
    """The finding, or what was out of bounds."""
    if faults := seen.faults():
        return Finding(Outcome.ERROR, f"{finding.evidence} But {'; '.join(faults)}.")
    return Finding(finding.outcome, f"{finding.evidence} {seen.told()}")


# --- statements ----------------------------------------------------------------------------------------------------------


def deep_nesting(ground: Ground) -> Finding:
    """Thousands of brackets, of named parts, of conditions: each is refused at once, and no process falls over."""
    statements = {
        "5,000 brackets": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "2,000 named parts": "WITH " + ", ".join(f"a{number} AS (SELECT 1 AS n)" for number in range(2000)) + " SELECT 1",
        "4,000 times NOT": "SELECT " + "NOT " * 4000 + "TRUE",
        "5,000 sums": "SELECT " + "+".join(["1"] * 5000),
        "600 queries in each other": "SELECT * FROM " + "(SELECT * FROM " * 600 + "civil.person" + ") x" * 600,
        "3,000 open brackets": "SELECT " + "[" * 3000,
        "40 joins before their conditions": "SELECT 1 FROM civil.person" + " JOIN civil.person" * 40,
    }
    slowest, answers = 0.0, []
    with watching(ground) as seen:
        for sql in statements.values():
            began = time.monotonic()
            answers.append(ask(ground, ROWS_USER, sql))
            slowest = max(slowest, time.monotonic() - began)
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    for name, answer in zip(statements, answers, strict=True):
        if not answer.refused:
            return Finding(Outcome.ERROR, f"{name} were not refused: {answer.told}.")
    seen.seconds = slowest
    codes = ", ".join(sorted({answer.code for answer in answers}))
    return _bounded(Finding(Outcome.REFUSED, f"All {len(answers)} were refused ({codes}), the slowest in {slowest:.1f} s."), seen)


QUOTA_PURPOSE = "planning"
QUOTA_ROWS = MAXIMUM_ROWS + 1000


def huge_result(ground: Ground) -> Finding:
    """All rows without a limit: the answer is cut at its most rows and says so, and what left counts against the quota of the grant."""
    granted(
        ground, ROWS_USER, "civil.person", purpose=QUOTA_PURPOSE, items=["gender", "salary"], quota={"period": "day", "rows": QUOTA_ROWS}
    )
    with watching(ground) as seen:
        whole = ask(ground, ROWS_USER, "SELECT * FROM civil.person")
        first = ask(ground, ROWS_USER, "SELECT gender, salary FROM civil.person", purpose=QUOTA_PURPOSE)
        second = ask(ground, ROWS_USER, "SELECT salary, gender FROM civil.person", purpose=QUOTA_PURPOSE)
    seen.seconds /= 3
    answers = [whole, first, second]
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    if whole.status == 200 and (len(whole.rows) > MAXIMUM_ROWS or not whole.notices):
        return Finding(Outcome.ERROR, f"{len(whole.rows)} rows came, where {MAXIMUM_ROWS} are the most, with {len(whole.notices)} notices.")
    taken = len(first.rows) + len(second.rows)
    if taken > QUOTA_ROWS:
        return Finding(Outcome.ERROR, f"{taken} rows left under a quota of {QUOTA_ROWS}.")
    evidence = (
        f"Cut at {len(whole.rows)} rows with notice {', '.join(whole.notices)}; under a quota of {QUOTA_ROWS} rows the first such question "
        f"gave {len(first.rows)} rows and the next {second.told}."
    )
    return _bounded(Finding(Outcome.BOUNDED, evidence), seen)


SORT = (
    f"SELECT max(n) AS n FROM (SELECT row_number() OVER (ORDER BY replace(a.note || b.note, '登', '{'x' * 900}'), a.pid, b.pid) AS n "
    "FROM civil.person a JOIN civil.person b ON a.birth_year = b.birth_year AND a.region6 = b.region6) x"
)
"""Sorts half a million long texts, a thousand million bytes: several times what the memory of a query holds."""


def spill_to_disk(ground: Ground) -> Finding:
    """A sort larger than memory: it writes into a folder of its own below `run/`, is stopped, and nothing of it stays."""
    folder = ground.home / "run"
    before = _bytes_below(folder)
    most = 0
    with watching(ground) as seen:
        over = threading.Event()

        def weigh() -> None:
            nonlocal most
            while not over.wait(0.05):
                most = max(most, _bytes_below(folder) - before)

        thread = threading.Thread(target=weigh, daemon=True)
        thread.start()
        answer = ask(ground, ROWS_USER, SORT)
        over.set()
        thread.join()
    if bad := leak_in(ground, [answer]):
        return bad
    if answer.status != 200 and answer.code not in ("query-time-limit", "query-memory-limit", "query-failed"):
        return Finding(Outcome.ERROR, f"The sort came to {answer.told}.")
    end = time.monotonic() + 3
    while (left := _bytes_below(folder) - before) > 2**20 and time.monotonic() < end:
        time.sleep(0.1)
    if left > 2**20:
        return Finding(Outcome.ERROR, f"{left >> 20} MB of the sort stayed in run/ after it had ended ({answer.told}).")
    evidence = f"The sort ended with {answer.told}; it held at most {most >> 20} MB on disk, below run/, and nothing of it stayed."
    return _bounded(Finding(Outcome.BOUNDED, evidence), seen)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() and path.suffix != ".log" else 0
        except OSError:
            continue
    return total


SLOW = (
    "SELECT count(*) AS n FROM civil.person a JOIN civil.person b ON a.gender = b.gender JOIN civil.person c ON c.gender = b.gender "
    "WHERE a.salary + b.salary > c.salary"
)
"""Compares 400 thousand million rows: it never ends within the limit."""


def many_parallel_queries(ground: Ground) -> Finding:
    """One person opens 200 slow queries: few run, the others are told to come again, and other offices are served."""
    began = time.monotonic()
    with watching(ground) as seen:
        responses = many_at_once(200, lambda _: ground.query(ROWS_USER, SLOW), threads=48)
    seen.seconds = 0.0  # of 200 together; what each may take is looked at below
    broken = [one for one in responses if isinstance(one, Exception)]
    if broken:
        return Finding(Outcome.ERROR, f"{len(broken)} of 200 had no answer ({type(broken[0]).__name__}).")
    counts: dict[str, int] = {}
    for one in responses:
        name = f"{one.status_code} {code_of(one)}"
        counts[name] = counts.get(name, 0) + 1
    told = ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))
    turned = [one for one in responses if one.status_code == 429]
    if not turned:
        return Finding(Outcome.ERROR, f"Nobody was told to come again: {told}.")
    if without := [one for one in turned if "Retry-After" not in one.headers]:
        return Finding(Outcome.ERROR, f"{len(without)} were turned away without a time to come again: {told}.")
    if any(one.status_code == 500 for one in responses):
        return Finding(Outcome.ERROR, f"A part failed: {told}.")
    slowest = max(one.elapsed.total_seconds() for one in turned)
    all_in = time.monotonic() - began
    evidence = f"200 at once came to {told}; turned away with Retry-After, the slowest in {slowest:.1f} s, all in {all_in:.0f} s."
    return _bounded(Finding(Outcome.BOUNDED, evidence), seen)


# --- files ---------------------------------------------------------------------------------------------------------------


def _upload_place(ground: Ground) -> None:
    """The dataset of the attacker's own, published if it is not there."""
    made = entry(UPLOAD, PROVIDER, [item("t", grade=1)], sharing="not-shared", sharing_condition=None)
    with ground.client("officer") as client:
        client.publish(made)


def _upload(ground: Ground, content: bytes, kind: str) -> Said:
    response = httpx.post(
        f"{ground.url}/api/v1/datasets/{UPLOAD}/snapshots",
        content=content,
        headers={"Authorization": f"Bearer {ground.token('officer')}", "Content-Type": kind, "Accept": "application/json"},
        timeout=2 * UPLOAD_SECONDS,
        trust_env=False,
    )
    return said(response, "")


def _uploads(ground: Ground, files: Mapping[str, Callable[[], bytes]], kind: str) -> tuple[dict[str, Said], Watched, float]:
    _upload_place(ground)
    found, slowest = {}, 0.0
    made = {name: make() for name, make in files.items()}
    with watching(ground) as seen:
        for name, content in made.items():
            began = time.monotonic()
            found[name] = _upload(ground, content, kind)
            slowest = max(slowest, time.monotonic() - began)
    seen.seconds = slowest
    return found, seen, slowest


def _judged(found: Mapping[str, Said], seen: Watched, slowest: float) -> Finding:
    for name, answer in found.items():
        if not answer.refused:
            return Finding(Outcome.ERROR, f"A file with {name} was not refused: {answer.status} {answer.code}.")
    if seen.most_megabytes > READER_MEGABYTES:
        return Finding(Outcome.ERROR, f"Reading held {seen.most_megabytes} MB in one process, where {READER_MEGABYTES} MB are the cap.")
    told = "; ".join(f"{name}: {answer.code}" for name, answer in found.items())
    evidence = f"All were refused, the slowest in {slowest:.1f} s, with at most {seen.most_megabytes} MB. {told}."
    seen.most_megabytes = 0  # judged here, by the cap of readers
    if faults := seen.faults(limit=UPLOAD_SECONDS):
        return Finding(Outcome.ERROR, f"{evidence} But {'; '.join(faults)}.")
    return Finding(Outcome.REFUSED, f"{evidence} {len(seen.served)} questions of another office were answered meanwhile.")


def parquet_bomb(ground: Ground) -> Finding:
    """Small Parquet files that say, or really hold, thousands of times their size."""
    files = {"one text of 900,000 characters that is named 200,000 times": _dictionary_bomb, "a footer that is not one": _bad_footer}
    return _judged(*_uploads(ground, files, "application/vnd.apache.parquet"))


def _dictionary_bomb() -> bytes:
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 200_000, pyarrow.int8()), pyarrow.array(["x" * 900_000]))
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table({"t": column}), sink, compression="zstd", use_dictionary=True)
    return sink.getvalue()


def _bad_footer() -> bytes:
    return b"PAR1" + b"\x00" * 64 + b"\xff" * 2000 + (2000).to_bytes(4, "little") + b"PAR1"


def csv_bomb(ground: Ground) -> Finding:
    """One line without an end, a million items, a quote that is never closed, a field that is too long."""
    files: dict[str, Callable[[], bytes]] = {
        "one line of 48 MB": lambda: b"t\n" + b"x" * 48_000_000,
        "a million items": lambda: ",".join(f"c{number}" for number in range(1_000_000)).encode() + b"\n1\n",
        "a quote that is never closed": lambda: b't\n"' + b"y,\n" * 8_000_000,
        "a line of ten million commas": lambda: b"t\na\nb\n" + b"," * 10_000_000 + b"\n",
    }
    found, seen, slowest = _uploads(ground, files, "text/csv")
    finding = _judged(found, seen, slowest)
    if finding.outcome is Outcome.REFUSED and not any(_names_line(answer) for answer in found.values()):
        return Finding(Outcome.ERROR, f"No refusal names the line. {finding.evidence}")
    return finding


def _names_line(answer: Said) -> bool:
    return '"line"' in answer.text or '"row"' in answer.text


PROCEDURES: Mapping[str, Procedure] = {
    "RES-006": deep_nesting,
    "RES-008": huge_result,
    "RES-009": spill_to_disk,
    "RES-010": many_parallel_queries,
    "RES-012": parquet_bomb,
    "RES-014": csv_bomb,
}
