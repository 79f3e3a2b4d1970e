"""What the server's log says of calls: who reached for what is not theirs, never a token, and failures of which the caller
is told nothing."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from tests.api.conftest import Instance
from tests.api.test_api_front import Call, answered

from huitong.portal.api.front import Front
from huitong.portal.api.limits import LIMITS
from huitong.portal.logs import Redacting, without_secrets

TOKEN = "ht_abcdefghij_" + "Zz9-_" * 8


def line_of(record: logging.LogRecord) -> str:
    return Redacting(fmt="{levelname} {message}", style="{").format(record)


@pytest.mark.parametrize("around", ["{}", "/api/v1/whoami/{}", "?token={}&x=1", "Bearer {}", "'{}'"])
def test_of_a_token_only_the_part_that_may_be_shown_stands_in_a_log(around: str) -> None:
    told = without_secrets(around.format(TOKEN))
    assert told == around.format("ht_abcdefghij_...")


def test_a_token_in_an_argument_or_a_traceback_is_cut_too() -> None:
    try:
        raise ValueError(TOKEN)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "Not Found: %s", (f"/whoami/{TOKEN}",), sys.exc_info())
    told = line_of(record)
    assert "Traceback" in told
    assert told.count("ht_abcdefghij_...") == 2
    assert "Zz9" not in told


def test_who_reaches_for_a_change_that_is_not_theirs_is_named(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="huitong.api"):
        assert instance.post("requests/R-2026-999999/approve", {}, token="analyst").status_code == 404
        assert instance.get("requests/R-2026-999999", token="analyst").status_code == 404
        assert instance.post("requests/R-2026-999999/approve", {}, token=None).status_code == 401
    (told,) = [record.getMessage() for record in caplog.records if record.name == "huitong.api"]
    assert told == "refused POST /api/v1/requests/R-2026-999999/approve to post wen@gz-education: request-unknown"


def test_what_was_called_cannot_break_the_line(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="huitong.api"):
        instance.post("requests/R%0Arefused POST x to post root: y/approve", {}, token="analyst")
    assert all("\n" not in record.getMessage() for record in caplog.records if record.name == "huitong.api")


def test_an_answer_that_fails_while_it_is_written_is_told_as_any_failure(caplog: pytest.LogCaptureFixture) -> None:
    def lines() -> Iterator[bytes]:
        yield b"id,title\n"
        raise RuntimeError("no such table: catalog_dataset")

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/csv")])
        return lines()

    call = Call([], method="GET", path="/api/v1/catalog.csv")
    assert answered(call, front=Front(application, LIMITS)) == [500]
    assert b"server-failed" in call.body
    assert b"catalog_dataset" not in call.body
    assert "GET /api/v1/catalog.csv failed" in caplog.text
