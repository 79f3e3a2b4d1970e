"""Sent twice, done once: the key of a call, the answer that is kept for it, and when a key is not taken."""

import threading
from typing import Any

import pytest
from ninja import Schema
from ninja.operation import Operation
from tests.api.conftest import ROWS, Instance
from tests.api.test_api_query import STATEMENT
from tests.api.test_api_sharing import WISH

from huitong.errors import Unavailable
from huitong.model.keyed import KeyState
from huitong.portal.api.app import api
from huitong.portal.api.idempotency import MANNERS, Manner, manner_of, read_key

KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'


def ask(instance: Instance, wish: dict[str, Any] = WISH, *, key: str = KEY, **more: str) -> Any:
    return instance.post("requests", wish, Idempotency_Key=key, **more)


def made(instance: Instance) -> int:
    total: int = instance.get("requests").json()["total"]
    return total


def test_a_request_sent_twice_is_made_once_and_answered_alike(instance: Instance) -> None:
    first, again = ask(instance), ask(instance)
    assert (first.status_code, first.content, first["Content-Type"]) == (201, again.content, again["Content-Type"])
    assert again.status_code == 201 and again["Idempotency-Replayed"] == "true"
    assert not first.has_header("Idempotency-Replayed")
    assert made(instance) == 1
    assert ask(instance, key='"another-key"').json()["id"] != first.json()["id"]


def test_the_answer_is_the_first_one_even_if_things_have_moved_on(instance: Instance) -> None:
    first = ask(instance)
    assert instance.post(f"requests/{first.json()['id']}/withdraw", {}).status_code == 200
    assert ask(instance).json()["state"] == "under-review"


def test_the_same_key_for_other_content_is_an_error(instance: Instance) -> None:
    ask(instance)
    for other in (ask(instance, {**WISH, "until": "2027-01-01"}), instance.post("requests/R-1/withdraw", {}, Idempotency_Key=KEY)):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-content-differs")
    assert made(instance) == 1


def test_a_key_belongs_to_the_post_that_uses_it(instance: Instance) -> None:
    ask(instance)
    assert instance.post("requests", WISH, token="stranger", Idempotency_Key=KEY).status_code == 201
    assert made(instance) == 1


def test_a_refusal_is_kept_too_and_a_form_that_does_not_fit_is_not(instance: Instance) -> None:
    unread = ask(instance, {"dataset": "civil.shelter"})
    assert unread.status_code == 422 and not unread.has_header("Idempotency-Replayed")
    first = ask(instance, {**WISH, "purpose": "curiosity"})
    again = ask(instance, {**WISH, "purpose": "curiosity"})
    assert first.status_code == 422 and again.content == first.content and again["Idempotency-Replayed"] == "true"
    assert again["Content-Type"] == "application/problem+json" and again["Cache-Control"] == "no-store"


@pytest.mark.parametrize("key", ["", '"', '""', '"ab', "a b", '"a\\b"', '"é"', "a,b", '"' + "k" * 256 + '"', "?1", "'a'"])
def test_a_malformed_key_is_told_and_nothing_is_done(instance: Instance, key: str) -> None:
    refused = ask(instance, key=key)
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency-key-malformed")
    assert made(instance) == 0


def test_a_key_may_be_written_with_or_without_quotation_marks() -> None:
    assert read_key(KEY) == read_key(KEY.strip('"')) == KEY.strip('"')
    assert read_key(r'"a \"b\" \\ c"') == r'a "b" \ c'


@pytest.mark.parametrize(
    ("path", "body"), [("query", STATEMENT), ("why", STATEMENT), ("sources/inspect", {"source": {"kind": "file", "address": "a/b.csv"}})]
)
def test_what_changes_nothing_or_gives_rows_takes_no_key(instance: Instance, path: str, body: Any) -> None:
    refused = instance.post(path, body, token="officer", Idempotency_Key=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-not-taken")


class Inner(Schema):
    """Something that holds a secret."""

    token: str


class Issued(Schema):
    """An answer with a secret somewhere inside."""

    made: list[Inner] | None


def test_an_answer_with_a_secret_in_it_is_never_kept_even_of_an_operation_that_nobody_thought_of() -> None:
    for model, manner in ((Issued, Manner.NONE), (Schema, Manner.OUTSIDE)):
        operation = Operation("/new", ["POST"], lambda request: None, response={201: model})
        assert manner_of(operation, "new_operation") is manner


def test_every_operation_that_is_named_exists() -> None:
    assert set(MANNERS) <= {api.get_openapi_operation_id(one) for one in api.operations()}


def test_a_file_sent_twice_is_loaded_once_and_another_file_is_another_call(instance: Instance) -> None:
    def send(body: str, key: str) -> Any:
        return instance.client.post(
            "/api/v1/datasets/civil.shelter/snapshots?mode=append",
            body.encode(),
            content_type="text/csv",
            headers={"Authorization": "Bearer officer", "Idempotency-Key": key},
        )

    rows = ROWS.replace("h1", "h7")
    first, again = send(rows, KEY), send(rows, KEY)
    assert (first.status_code, again.status_code) == (201, 201), first.content
    assert again.content == first.content and again["Idempotency-Replayed"] == "true"
    assert send(ROWS, KEY).json()["code"] == "idempotency-content-differs"
    assert instance.get("datasets/civil.shelter").json()["snapshot"]["version"] == first.json()["version"]


def test_while_the_first_call_runs_a_second_waits_outside(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()
    forget = type(instance.doors.credentials).forget

    def slow(self: Any, name: str, **more: Any) -> Any:
        entered.set()
        assert leave.wait(10)
        return forget(self, name, **more)

    kept = {"name": "civil-db", "server": "db.example:5432", "user": "reader", "password": "secret"}
    assert instance.post("credentials", kept, token="officer", Idempotency_Key='"keep"').status_code == 201
    monkeypatch.setattr(type(instance.doors.credentials), "forget", slow)
    answers: list[Any] = []

    def call() -> None:
        answers.append(instance.post("credentials/civil-db/forget", {}, token="officer", Idempotency_Key=KEY))

    first = threading.Thread(target=call)
    first.start()
    assert entered.wait(10)
    call()
    assert (answers[0].status_code, answers[0].json()["code"]) == (409, "idempotency-running")
    leave.set()
    first.join(10)
    call()
    assert answers[1].status_code == answers[2].status_code == 200
    assert answers[2]["Idempotency-Replayed"] == "true"


def test_a_call_that_met_a_part_that_does_not_serve_may_be_sent_again(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = type(instance.doors.sharing).submit
    failures: list[Exception] = [Unavailable.because("engine-busy", query="q"), RuntimeError("no word of this")]

    def failing(self: Any, wish: Any, *, by: Any) -> Any:
        done = submit(self, wish, by=by)
        if failures:
            raise failures.pop(0)
        return done

    monkeypatch.setattr(type(instance.doors.sharing), "submit", failing)
    assert [ask(instance).status_code for _ in range(4)] == [503, 500, 201, 201]
    assert made(instance) == 1


def test_a_call_on_files_that_failed_unforeseen_is_never_run_again(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def failing(self: Any, *arguments: Any, **more: Any) -> Any:
        runs.append(1)
        raise RuntimeError("after the effect, perhaps")

    monkeypatch.setattr(type(instance.doors.intake), "erase_person", failing)
    body = {"datasets": ["civil.shelter"], "identifier": "h1", "legal_basis": "x", "words": "y"}
    answers = [instance.post("erasures", body, token="officer", Idempotency_Key=KEY) for _ in range(3)]
    assert [one.status_code for one in answers] == [500, 409, 409]
    assert answers[1].json()["code"] == "idempotency-outcome-unknown"
    assert runs == [1]


def test_a_call_that_was_given_up_is_taken_over_and_the_old_one_cannot_commit(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is still in the middle when its time is over and a second runs to its end: the first one's changes are undone."""
    submit = type(instance.doors.sharing).submit
    inner: list[Any] = []

    def long(self: Any, wish: Any, *, by: Any) -> Any:
        done = submit(self, wish, by=by)
        if not inner:
            inner.append(None)
            record = next(iter(instance.stores.keyed_answers._records.values()))
            assert record.state is KeyState.BEGUN
            place = next(iter(instance.stores.keyed_answers._records))
            taken = type(record)(record.content, record.attempt + 1, True, KeyState.BEGUN, record.at)
            instance.stores.keyed_answers._records[place] = taken
        return done

    monkeypatch.setattr(type(instance.doors.sharing), "submit", long)
    assert (ask(instance).status_code, made(instance)) == (409, 0)
    instance.clock.now = instance.clock.now.replace(minute=instance.clock.now.minute + 1)
    assert (ask(instance).status_code, made(instance)) == (201, 1)


def test_a_key_is_free_again_when_its_time_is_over(instance: Instance) -> None:
    ask(instance)
    instance.clock.now = instance.clock.now.replace(day=instance.clock.now.day + 2)
    again = ask(instance)
    assert again.status_code == 201 and not again.has_header("Idempotency-Replayed")


def test_the_description_tells_which_operations_take_a_key() -> None:
    paths = api.get_openapi_schema()["paths"]
    told = {path: verbs["post"].get("parameters", []) for path, verbs in paths.items() if "post" in verbs}
    taking = {path for path, parameters in told.items() if "Idempotency-Key" in {one["name"] for one in parameters}}
    assert "/api/v1/requests" in taking and "/api/v1/datasets/{dataset_id}/snapshots" in taking
    assert not {"/api/v1/query", "/api/v1/why"} & taking
