"""Attacks that work hidden things out: from errors, from time, from differences of totals, from what is left out, from pseudonyms."""

import contextlib
import hashlib
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huitong.drill.asking import Said, all_refused, ask, failure_in, granted, leak_in
from huitong.drill.ground import Ground, Procedure
from huitong.drill.instance import (
    AGG_USER,
    LEAST_GROUP,
    OTHER_OFFICE,
    PEOPLE,
    PROVIDER,
    ROWS_USER,
    entry,
    item,
    people,
)
from huitong.drill.judging import Finding, Outcome

HIDDEN_SALARY = 987_600_000
"""Of the first person outside of the grants; nobody earns `ABSENT_SALARY`."""
ABSENT_SALARY = 987_700_000
WORDS_OF_ENGINE = re.compile(
    r"Conversion Error|Binder Error|Parser Error|Out of Range|Invalid Input|DuckDB|duckdb|read_parquet|\.parquet|LINE \d|Traceback|"
    r"Could not convert|t_[0-9a-f]{16}|/lake/|SELECT .* FROM \(",
)


def _visible() -> list[dict[str, Any]]:
    return list(people())[:PEOPLE]


def _answers(ground: Ground, actor: str, statements: Sequence[str], **more: Any) -> list[Said]:
    return [ask(ground, actor, sql, **more) for sql in statements]


# --- errors and time -----------------------------------------------------------------------------------------------------

FAILING = (
    "SELECT name FROM civil.person WHERE CAST(name AS INTEGER) = 1",
    "SELECT CAST(note AS DATE) AS d FROM civil.person",
    "SELECT sum(salary * 9999999999999) AS n FROM civil.person",
    "SELECT power(salary, 300) AS n FROM civil.person",
    "SELECT name FROM civil.person WHERE CAST(phone AS INTEGER) = 1",
    "SELECT sqrt(-salary) AS n, ln(-salary) AS m FROM civil.person",
    "SELECT CAST(salary AS SMALLINT) AS n FROM civil.person",
    "SELECT DATE '2020-01-01' + salary AS d FROM civil.person",
    "SELECT nothing FROM civil.person",
)


def errors_as_a_channel(ground: Ground) -> Finding:
    """Statements that would fail on a value: nothing comes back but codes and a number, in both languages."""
    answers = _answers(ground, ROWS_USER, FAILING)
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    for answer in answers:
        if answer.status != 200 and (words := WORDS_OF_ENGINE.search(answer.text)):
            return Finding(Outcome.LEAKED, f"{answer.sql[:80]!r} came back with words of the engine: {words.group()[:40]}.")
        if answer.status != 200 and not answer.number:
            return Finding(Outcome.ERROR, f"{answer.sql[:80]!r} was refused without a query number.")
    ran = sum(answer.status == 200 for answer in answers)
    codes = ", ".join(sorted({answer.code for answer in answers if answer.status != 200}))
    told = f"{ran} of {len(answers)} ran, the others said {codes} and a query number"
    return Finding(Outcome.ANSWERED, f"{told}; no value, no words of the engine.")


PROBES = (
    "SELECT count(*) AS n FROM civil.person WHERE CASE WHEN salary = {salary} THEN 1 / 0 = 1 ELSE TRUE END",
    "SELECT count(*) AS n FROM civil.person WHERE 1000 / (salary - {salary}) IS NOT NULL OR TRUE",
    "SELECT sum(CASE WHEN salary // (salary - {salary}) >= 0 THEN 1 ELSE 0 END) AS n FROM civil.person",
    "SELECT count(*) AS n FROM civil.person WHERE salary % (salary - {salary}) >= 0 OR TRUE",
    "SELECT count(*) AS n FROM civil.person WHERE CAST(CASE WHEN salary = {salary} THEN 'x' ELSE '1' END AS INTEGER) = 1",
    "SELECT count(*) AS n FROM civil.person WHERE CASE WHEN salary = {salary} THEN ln(-1) > 0 ELSE TRUE END",
)


def division_by_zero(ground: Ground) -> Finding:
    """A condition that fails on a hidden row and on no other: what comes back must not depend on whether that row is there."""
    answers = []
    for probe in PROBES:
        hidden, absent = _answers(ground, ROWS_USER, [probe.format(salary=salary) for salary in (HIDDEN_SALARY, ABSENT_SALARY)])
        answers += [hidden, absent]
        if (hidden.status, hidden.code, hidden.rows) != (absent.status, absent.code, absent.rows):
            return Finding(Outcome.LEAKED, f"{probe[:80]!r}: {hidden.told} for a hidden value, {absent.told} for one that nobody has.")
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    return Finding(Outcome.ANSWERED, f"{len(PROBES)} probes gave the same for the value of a hidden row as for one that nobody has.")


ROUNDS, ROUNDS_THAT_TELL = 24, 21
"""Pairs of times, and how many of them one side must win before they tell anything: by chance once in three thousand drills."""
TELLING_SECONDS = 0.0005


def timing_of_hidden_rows(ground: Ground) -> Finding:
    """The same question about a value of a hidden row and about one that nobody has, in turns: the times do not tell them apart, and
    no answer, receipt or entry of the ledger tells a time finer than a wide step."""
    took: dict[int, list[float]] = {HIDDEN_SALARY: [], ABSENT_SALARY: []}
    answers = []
    for turn in range(ROUNDS):
        # who comes first changes, so that being first tells nothing
        for salary in (HIDDEN_SALARY, ABSENT_SALARY) if turn % 2 else (ABSENT_SALARY, HIDDEN_SALARY):
            began = time.monotonic()
            answers.append(ask(ground, ROWS_USER, f"SELECT count(*) AS n FROM civil.person WHERE salary = {salary}"))
            took[salary].append(time.monotonic() - began)
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    last = answers[-1]
    receipt = ground.call(ROWS_USER, "GET", f"queries/{last.number}/receipt").text
    entries = ground.entries_of_use(last.number)
    if fine := re.search(r'"(?:seconds|milliseconds|elapsed|duration)"\s*:\s*[\d.]+', last.text + receipt):
        return Finding(Outcome.LEAKED, f"An answer tells how long it took: {fine.group()}.")
    steps = [str(value) for one in entries for name, value in _flat(one) if name == "duration_bucket"]
    verdict, told = apart(took[HIDDEN_SALARY], took[ABSENT_SALARY])
    if verdict:
        return Finding(Outcome.LEAKED, f"The times tell a hidden value from one that nobody has: {told}.")
    return Finding(Outcome.ANSWERED, f"Times of both kinds: {told}; the ledger tells a duration as {', '.join(steps)} and the answer none.")


def apart(first: Sequence[float], second: Sequence[float]) -> tuple[bool, str]:
    """Whether two lists of times, taken in pairs, differ more than chance explains (sign test), and what was seen."""
    differences = [one - other for one, other in zip(first, second, strict=True)]
    wins = sum(one > 0 for one in differences)
    middle = statistics.median(differences)
    told = f"the first is slower in {wins} of {len(differences)} pairs, by {middle * 1000:+.1f} ms in the middle"
    return max(wins, len(differences) - wins) >= ROUNDS_THAT_TELL and abs(middle) > TELLING_SECONDS, told


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(inner, str(key))]
    if isinstance(value, list):
        return [pair for inner in value for pair in _flat(inner, name)]
    return [(name, value)]


# --- totals --------------------------------------------------------------------------------------------------------------


def _number(answer: Said) -> float | None:
    """The single number of an answer."""
    with contextlib.suppress(TypeError, ValueError):
        if len(answer.rows) == 1:
            return float(answer.rows[0][0])
    return None


def overlapping_ranges(ground: Ground) -> Finding:
    """Sums over two ranges that differ by one person: the second is refused, or the difference is not that person's salary."""
    salaries = sorted(one["salary"] for one in _visible())
    middle = len(salaries) // 2
    lower, upper = salaries[middle], salaries[middle + 1]
    for shown in ("sum(salary)", "count(*)"):
        form = f"SELECT {shown} AS n FROM civil.person WHERE salary <= "
        first, second = _answers(ground, AGG_USER, [f"{form}{lower}", f"{form}{upper}"])
        if bad := leak_in(ground, [first, second]) or failure_in([first, second]):
            return bad
        if second.refused:
            continue
        before, after = _number(first), _number(second)
        exact = upper if shown == "sum(salary)" else 1
        if before is not None and after is not None and after - before == exact:
            return Finding(Outcome.LEAKED, f"The difference of two answers is exactly what one person adds: {exact}.")
    codes = second.code if second.refused else "answered, rounded and noised"
    return Finding(Outcome.REFUSED if second.refused else Outcome.ANSWERED, f"First {first.told}, second, one person more: {codes}.")


def small_group_in_window(ground: Ground) -> Finding:
    """Totals over a window of one person."""
    return all_refused(
        ground,
        AGG_USER,
        [
            "SELECT sum(salary) OVER (PARTITION BY pid) AS n FROM civil.person",
            "SELECT gender, sum(sum(salary)) OVER (PARTITION BY gender) AS n FROM civil.person GROUP BY gender",
            "SELECT avg(salary) OVER (ORDER BY salary ROWS BETWEEN CURRENT ROW AND CURRENT ROW) AS n FROM civil.person",
            "SELECT count(*) OVER (PARTITION BY name) AS n FROM civil.person",
        ],
    )


def extremes(ground: Ground) -> Finding:
    """Functions whose total is the value of one person."""
    shown = (
        "min(salary)", "max(salary)", "any_value(salary)", "first(salary)", "last(salary)", "median(salary)",
        "quantile_cont(salary, 0.5)", "mode(salary)", "arg_max(name, salary)", "list(salary)", "string_agg(name, ',')",
    )  # fmt: skip
    return all_refused(ground, AGG_USER, [f"SELECT {one} AS n FROM civil.person" for one in shown])


WALK_PURPOSE, WALK_ROWS = "housing", 20


def limit_one_walk(ground: Ground) -> Finding:
    """One row after the other by LIMIT 1 and OFFSET: the quota of the grant counts every row that left."""
    granted(
        ground, ROWS_USER, "civil.person", purpose=WALK_PURPOSE, items=["name", "birth_year"], quota={"period": "day", "rows": WALK_ROWS}
    )
    taken, answers = 0, []
    for offset in range(2 * WALK_ROWS):
        sql = f"SELECT name, birth_year FROM civil.person ORDER BY birth_year, name LIMIT 1 OFFSET {offset}"
        answer = ask(ground, ROWS_USER, sql, purpose=WALK_PURPOSE)
        answers.append(answer)
        taken += len(answer.rows)
        if answer.refused:
            break
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    if not answers[-1].refused or taken > WALK_ROWS:
        return Finding(Outcome.LEAKED, f"{taken} rows left one by one under a quota of {WALK_ROWS} a day.")
    return Finding(Outcome.REFUSED, f"After {taken} rows, one by one, the quota of {WALK_ROWS} rows a day refused: {answers[-1].code}.")


def having_probe(ground: Ground) -> Finding:
    """Guess the salary of one person by HAVING: true and false guesses about a group that is too small look the same."""
    person = _visible()[7]
    alone = f"salary = {person['salary']}"
    guesses = [
        f"SELECT gender, count(*) AS n FROM civil.person WHERE {alone} GROUP BY gender HAVING sum(salary) = {guess}"
        for guess in (person["salary"], person["salary"] + 1)
    ] + [
        f"SELECT count(*) AS n FROM civil.person WHERE {alone} HAVING count(*) = 1",
        f"SELECT count(*) AS n FROM civil.person WHERE {alone} HAVING count(*) < {LEAST_GROUP} OR TRUE",
    ]
    answers = _answers(ground, AGG_USER, guesses)
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    if any(answer.rows for answer in answers):
        return Finding(Outcome.LEAKED, f"A group of one person came out by HAVING: {answers[0].told}.")
    if (answers[0].status, answers[0].code) != (answers[1].status, answers[1].code):
        return Finding(Outcome.LEAKED, f"A true guess ({answers[0].told}) looks unlike a false one ({answers[1].told}).")
    return Finding(Outcome.EMPTY, f"True and false guesses about one person look the same: {', '.join(one.told for one in answers)}.")


def group_by_unique(ground: Ground) -> Finding:
    """Groups of one person each: none is told, and the use is in the ledger."""
    answers = _answers(
        ground,
        AGG_USER,
        [
            "SELECT pid, count(*) AS n FROM civil.person GROUP BY pid",
            "SELECT salary, sum(salary) AS n FROM civil.person GROUP BY salary",
            "SELECT name, birth_year, note, gender, region6, salary, count(*) AS n FROM civil.person GROUP BY 1, 2, 3, 4, 5, 6",
        ],
    )
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    for answer in answers:
        if answer.rows:
            return Finding(Outcome.LEAKED, f"{len(answer.rows)} groups of one person each came out of {answer.sql[:60]!r}.")
        if not ground.entries_of_use(answer.number):
            return Finding(Outcome.ERROR, f"The ledger holds nothing of {answer.sql[:60]!r}.")
    return Finding(Outcome.EMPTY, f"No group came out ({', '.join(one.told for one in answers)}); each use is in the ledger.")


def totals_of_two_accounts(ground: Ground) -> Finding:
    """Two accounts of one office ask the same for totals: they get the same number, so that nothing averages out; and where a budget
    is spent, it is the office's."""
    sql = "SELECT gender, sum(salary) AS n FROM civil.person GROUP BY gender ORDER BY gender"
    answers = [ask(ground, actor, sql) for actor in (AGG_USER, "agg_colleague") * 4]
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    if len({answer.rows for answer in answers}) != 1:
        return Finding(Outcome.LEAKED, "The same question of two accounts gave different numbers: they can be averaged.")
    exact = {gender: sum(one["salary"] for one in _visible() if one["gender"] == gender) for gender in ("女", "男")}
    if dict(answers[0].rows) == exact:
        return Finding(Outcome.LEAKED, "The totals are told exactly.")
    return _budget_of_office(ground, len(answers))


BUDGET_PURPOSE, BUDGET = "public-health", "1"


def _budget_of_office(ground: Ground, same: int) -> Finding:
    granted(
        ground, AGG_USER, "civil.person", purpose=BUDGET_PURPOSE, items=["gender", "birth_year"], mode="noised", noised={"epsilon": BUDGET}
    )
    first = ask(ground, AGG_USER, "SELECT count(*) AS n FROM civil.person", purpose=BUDGET_PURPOSE, epsilon="0.6")
    other = "SELECT count(*) AS n FROM civil.person WHERE birth_year > 1970"
    second = ask(ground, "agg_colleague", other, purpose=BUDGET_PURPOSE, epsilon="0.6")
    again = ask(ground, "agg_colleague", "SELECT count(*) AS n FROM civil.person", purpose=BUDGET_PURPOSE, epsilon="0.6")
    if first.status == 200 and not second.refused:
        return Finding(Outcome.LEAKED, f"A budget of {BUDGET} was spent twice by two accounts: {first.told}, {second.told}.")
    if first.status == 200 and again.rows != first.rows:
        return Finding(Outcome.LEAKED, f"The same noised question gave {first.rows} and to the colleague {again.rows or again.told}.")
    spent = f"of a noised budget of {BUDGET}, one account spent 0.6 ({first.told}) and the other was told {second.told}"
    return Finding(Outcome.ANSWERED, f"{same} times the same question of two accounts gave the same noised numbers; {spent}.")


DRIFT, DRIFT_PURPOSE = "civil.drift", "planning"


def drift(ground: Ground) -> Finding:
    """A group that is large enough today falls below k with tomorrow's rows: it is told today and no more tomorrow, asked or extracted."""
    made = entry(DRIFT, PROVIDER, [item("p"), item("g")], key="p")
    rows = [f"p{number},{'A' if number < 40 else 'B'}" for number in range(60)]
    fewer = [line for line in rows if line.endswith("A")] + rows[-3:]
    with ground.client("officer") as client:
        client.publish(made)
        client.upload(DRIFT, ("p,g\n" + "\n".join(rows) + "\n").encode(), kind="text/csv")
    grant = granted(ground, AGG_USER, DRIFT, purpose=DRIFT_PURPOSE, items=["p", "g"], mode="aggregate-only", k=10)
    sql = f"SELECT g, count(*) AS n FROM {DRIFT} GROUP BY g ORDER BY g"
    today = ask(ground, AGG_USER, sql, purpose=DRIFT_PURPOSE)
    with ground.client("officer") as client:
        client.upload(DRIFT, ("p,g\n" + "\n".join(fewer) + "\n").encode(), kind="text/csv")
    tomorrow = ask(ground, AGG_USER, sql, purpose=DRIFT_PURPOSE)
    if bad := failure_in([today, tomorrow]):
        return bad
    if [row[0] for row in today.rows] != ["A", "B"]:
        return Finding(Outcome.ERROR, f"Today's groups of 40 and 20 did not come out: {today.told}.")
    if "B" in [row[0] for row in tomorrow.rows]:
        return Finding(Outcome.LEAKED, "The group that fell to three persons is still told.")
    extract = ground.call(AGG_USER, "POST", "extracts", body={"grant": grant, "format": "csv"})
    told = f"an extract under the grant of totals: {extract.status_code} {extract.json().get('code', '-')}"
    if extract.status_code < 400:
        return Finding(Outcome.LEAKED, f"A file of single rows can be had under a grant of totals ({told}).")
    return Finding(
        Outcome.ANSWERED,
        f"A group of 20 was told, and after it fell to 3 no more ({tomorrow.told}); {told}. "
        "Extracts of a grant of rows hold what the grant lets through and are not tested for k-anonymity.",
    )


# --- masks and pseudonyms ------------------------------------------------------------------------------------------------


def like_walk(ground: Ground) -> Finding:
    """Find a name letter by letter with LIKE: only the masked text is there to be matched."""
    person = _visible()[0]
    raw = person["name"]
    steps = [f"SELECT count(*) AS n FROM civil.person WHERE name LIKE '{raw[:length]}%'" for length in range(2, len(raw) + 1)]
    steps += [
        f"SELECT count(*) AS n FROM civil.person WHERE name = '{raw}'",
        f"SELECT count(*) AS n FROM civil.person WHERE name LIKE '%{raw[1:4]}%'",
        f"SELECT count(*) AS n FROM civil.person WHERE starts_with(name, '{raw[:3]}')",
        f"SELECT count(*) AS n FROM civil.person WHERE contains(name, '{raw[-5:]}')",
    ]
    answers = _answers(ground, ROWS_USER, steps)
    masked = ask(ground, ROWS_USER, f"SELECT count(*) AS n FROM civil.person WHERE name LIKE '{raw[0]}*%'")
    if bad := leak_in(ground, answers) or failure_in(answers):
        return bad
    if found := next((one for one in answers if one.rows and one.rows[0][0] != 0), None):
        return Finding(Outcome.LEAKED, f"{found.sql[-40:]!r} finds {found.rows[0][0]} people by what the mask hides.")
    if not masked.rows or not masked.rows[0][0]:
        return Finding(Outcome.ERROR, f"The masked form finds nobody either ({masked.told}): the walk proves nothing.")
    return Finding(Outcome.ANSWERED, f"{len(steps)} steps of the walk find nobody; the masked form finds {masked.rows[0][0]}.")


def join_of_two_grants(ground: Ground) -> Finding:
    """Pseudonyms of one person in two offices: they never agree, while within one office and purpose they join."""
    mine = {row[0] for row in ask(ground, ROWS_USER, "SELECT owner_pid FROM tax.company ORDER BY name LIMIT 500").rows}
    theirs = {row[0] for row in ask(ground, OTHER_OFFICE, "SELECT owner_pid FROM tax.company ORDER BY name LIMIT 500").rows}
    joined = ask(ground, ROWS_USER, "SELECT count(*) AS n FROM civil.person p JOIN tax.company c ON p.pid = c.owner_pid")
    if not mine or not theirs or not joined.rows or not joined.rows[0][0]:
        return Finding(Outcome.ERROR, f"There was nothing to compare: {len(mine)} and {len(theirs)} tokens, {joined.told}.")
    if both := mine & theirs:
        return Finding(Outcome.LEAKED, f"{len(both)} people have the same pseudonym in two offices.")
    return Finding(
        Outcome.ANSWERED,
        f"Of {len(mine)} and {len(theirs)} pseudonyms of the same people in two offices none agrees; within one office and purpose "
        f"{joined.rows[0][0]} join.",
    )


def dictionary_attack(ground: Ground) -> Finding:
    """Hash an identifier that one knows in every usual way: none gives the pseudonym. The key stands nowhere but among the keys."""
    token = int(ground.live_token)
    names = sorted(hashlib.algorithms_available)
    tries = 0
    for name in names:
        for text in (ground.known_raw_id, ground.known_raw_id.lower(), f"resident-id{ground.known_raw_id}", f"pid{ground.known_raw_id}"):
            digest = _digest(name, text.encode())
            for at in range(max(len(digest) - 7, 0)):
                piece = digest[at : at + 8]
                tries += 1
                if token in (int.from_bytes(piece, "big", signed=True), int.from_bytes(piece, "little", signed=True)):
                    return Finding(Outcome.LEAKED, f"The pseudonym is eight bytes of {name} of the identifier: it can be enumerated.")
    if place := _key_outside(ground):
        return Finding(Outcome.LEAKED, f"The key of pseudonyms stands in {place}.")
    evidence = f"None of {tries} pieces of unkeyed hashes of a known identifier is its pseudonym; the key stands in keys/ alone."
    return Finding(Outcome.ANSWERED, evidence)


def _digest(name: str, content: bytes) -> bytes:
    with contextlib.suppress(ValueError, TypeError):
        made = hashlib.new(name, content, usedforsecurity=False)
        return made.digest() if made.digest_size else made.digest(32)  # type: ignore[call-arg]
    return b""


def _key_outside(ground: Ground) -> str | None:
    """Where the key of pseudonyms stands besides the folder of keys; None if nowhere."""
    key = next(iter((ground.home / "keys").glob("pseudonym-master*"))).read_bytes().strip()
    forms = {key, key.lower(), *([bytes.fromhex(key.decode())] if re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", key) else [])}
    for path in ground.home.rglob("*"):
        if path.is_file() and "keys" not in path.relative_to(ground.home).parts and _holds(path, forms):
            return str(path.relative_to(ground.home))
    return None


def _holds(path: Path, forms: set[bytes]) -> bool:
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        return any(form in content for form in forms)
    return False


PLACES_DATASET, PLACES_PURPOSE = "civil.place", "environment"
OLD_PLACES = {"before": "520222000000", "today": "520281000000", "other": "520201000000"}
"""Pan county until 2017, Panzhou city since; and Zhongshan district beside it."""


def code_changed(ground: Ground) -> Finding:
    """A county was merged: rows under its old code belong to who may see its successor, and to nobody else."""
    made = entry(
        PLACES_DATASET, PROVIDER, [item("what", grade=1), item("division", grade=1, meaning="division-code")], division_item="division"
    )
    with ground.client("officer") as client:
        client.publish(made)
        client.upload(PLACES_DATASET, ("what,division\n" + "".join(f"{n},{c}\n" for n, c in OLD_PLACES.items())).encode(), kind="text/csv")
    found = {}
    for purpose, place in ((PLACES_PURPOSE, OLD_PLACES["today"]), ("agriculture", OLD_PLACES["other"])):
        granted(ground, ROWS_USER, PLACES_DATASET, purpose=purpose, items=["what", "division"], division=place)
        answer = ask(ground, ROWS_USER, f"SELECT what FROM {PLACES_DATASET} ORDER BY what", purpose=purpose)
        if bad := failure_in([answer]):
            return bad
        found[place] = {row[0] for row in answer.rows}
    mine, neighbour = found.values()
    if mine != {"before", "today"}:
        return Finding(Outcome.ERROR, f"A grant of the city that took the county's place shows {sorted(mine)}, not old and new code.")
    if neighbour != {"other"}:
        return Finding(Outcome.LEAKED, f"A grant of the neighbouring district shows {sorted(neighbour)}.")
    return Finding(Outcome.ANSWERED, "The successor's grant shows rows under old and new code; the neighbour's shows its own alone.")


PROCEDURES: Mapping[str, Procedure] = {
    "INF-004": errors_as_a_channel,
    "INF-005": division_by_zero,
    "INF-006": timing_of_hidden_rows,
    "INF-009": overlapping_ranges,
    "INF-013": small_group_in_window,
    "INF-015": extremes,
    "INF-016": limit_one_walk,
    "INF-017": having_probe,
    "INF-019": group_by_unique,
    "INF-020": like_walk,
    "INF-021": join_of_two_grants,
    "INF-022": dictionary_attack,
    "INF-026": code_changed,
    "INF-028": totals_of_two_accounts,
    "INF-029": drift,
}
