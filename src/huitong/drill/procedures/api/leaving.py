"""API-010, API-017: rows that are on their way when the right to them ends, and rows that are asked for page by page."""

import http.client
import json
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import urlsplit

from huitong.drill.ground import Ground
from huitong.drill.judging import Finding, Outcome
from huitong.drill.procedures.acting import PURPOSE, Procedure, SetupError, asked, code_of, expect, granted, published, refused, seen

CUT_WITHIN_SECONDS = 5.0
ROWS = 60_000
PAUSE_SECONDS = 0.02
"""Between two small reads of a reader that takes its time."""


def streaming_past_revocation(ground: Ground) -> Finding:
    """API-010: a streamed answer is read slowly while the grant that carries it is given up."""
    rows = (f"p{number:07d},{'x' * 90}{number:07d}" for number in range(ROWS))
    dataset = published(ground, rows)
    grant = granted(ground, dataset)
    port = urlsplit(ground.url).port or 80
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        headers = {
            "Authorization": f"Bearer {ground.token('rows_user')}",
            "Content-Type": "application/json",
            "Accept": "application/x-ndjson",
        }
        body = {"sql": f"SELECT place, text FROM {dataset}", "purpose": PURPOSE, "stream": True}
        connection.request("POST", "/api/v1/query", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SetupError(f"the stream did not begin: {answer.status}")
        query = answer.headers["Huitong-Query"]
        got, last = len(answer.read1(16_384)), b""
        expect(ground.call("rows_user", "POST", f"grants/{grant}/revoke", body={"words": "drill"}), 200)
        revoked = time.monotonic()
        try:
            while piece := answer.read1(16_384):
                got, last = got + len(piece), (last + piece)[-4000:]
                time.sleep(PAUSE_SECONDS)
                if time.monotonic() - revoked > 4 * CUT_WITHIN_SECONDS:
                    break
        except (OSError, http.client.HTTPException):
            pass
        after = time.monotonic() - revoked
    told = last.rstrip().splitlines()[-1] if last.rstrip() else b""
    whole = b'"result_hash"' in told and b'"problem"' not in told
    if whole or after > CUT_WITHIN_SECONDS:
        return Finding(
            Outcome.ANSWERED, f"{got} bytes came within {after:.1f} s after the grant had ended{', the whole answer' if whole else ''}."
        )
    again = asked(ground, "rows_user", f"SELECT place FROM {dataset} LIMIT 1")
    if again.status_code != 403:
        return Finding(Outcome.ANSWERED, f"A new call after the end of the grant gave {seen(again)}.")
    code = json.loads(told)["huitong"]["problem"]["code"] if told.startswith(b'{"huitong"') else "the connection was broken"
    return Finding(
        Outcome.REFUSED,
        f"Stream {query} was cut {after:.1f} s after its grant ended ({code}), {got >> 10} kB had left; the next call gave {seen(again)}.",
    )


def pages_past_the_quota(ground: Ground) -> Finding:
    """API-017: a quota of 25 rows a day, asked for in pages of ten, the same one again, a huge offset, and as files."""
    dataset = published(ground, [f"p{number:03d},t{number:03d}" for number in range(100)])
    grant = granted(ground, dataset, quota={"period": "day", "rows": 25})
    page = f"SELECT place, text FROM {dataset} ORDER BY place LIMIT 10 OFFSET"
    statements = [
        f"{page} 0",
        f"{page} 0",
        f"{page} 0",
        f"{page} 10",
        f"{page} 90",
        f"SELECT place FROM {dataset}",
        f"SELECT text FROM {dataset} WHERE place = 'p050'",
    ]
    taken, answers = 0, []
    for statement in statements:
        answer = asked(ground, "rows_user", statement)
        answers.append((statement.partition(" FROM")[2], answer))
        if answer.status_code == 200:
            taken += len(answer.json()["rows"])
    huge = asked(ground, "rows_user", f"{page} 4000000000")
    if huge.status_code == 200 and huge.json()["rows"]:
        return Finding(Outcome.ANSWERED, "An offset beyond the end gave rows.")
    extract = ground.call("rows_user", "POST", "extracts", body={"grant": grant, "format": "csv"})
    if extract.status_code == 201:
        found = extract.json()
        end = time.monotonic() + 30
        while found["state"] in ("waiting", "running") and time.monotonic() < end:
            time.sleep(0.2)
            found = ground.call("rows_user", "GET", f"extracts/{found['id']}").json()
        if found["state"] == "ready":
            taken += int(found["rows"] or 0)
    use = expect(ground.call("rows_user", "GET", f"grants/{grant}"), 200)["use"]
    told = f"{taken} rows left under a quota of 25; the grant says it was used so: {json.dumps(use)[:160]}"
    if taken > 25:
        return Finding(Outcome.ANSWERED, told + ".")
    over = [(what, answer) for what, answer in answers if answer.status_code != 200]
    if not over or not any("quota" in code_of(answer) for _, answer in over):
        return Finding(Outcome.ANSWERED, f"No page was refused for the quota; {told}.")
    return refused(ground, over, f"The same page again counted again; {told}.")


PROCEDURES: Mapping[str, Procedure] = {
    "API-010": streaming_past_revocation,
    "API-017": pages_past_the_quota,
}
