"""Every operation under odd calls, always the same ones: none makes the server fail, and each answer is as described."""

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.control import SkipTest
from schemathesis.generation import GenerationMode
from tests.api.conftest import ANALYST, HEZHANG, Instance, with_people
from tests.api.test_api_sharing import WISH

from huitong.catalog.divisions import Divisions
from huitong.portal.api.app import api as description
from huitong.portal.api.links import LINKS

SEED = 20261122
EXAMPLES = 1000 if os.environ.get("HUITONG_SOAK") else 60
"""Calls of each operation; more in `make soak`."""
WRONG_EXAMPLES = 1000 if os.environ.get("HUITONG_SOAK") else 25
"""The same of calls that do not fit: most of them end at the first check, so that few tell as much as many."""
CHUNKS = 12
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]
TOKENS = ["officer", "analyst", "operator", "reviewer", "officer", "stranger", "nobody"]
TABLES = [
    b"household,division,members\nh1,520527000000,3\n",
    "household,division,members\nh1,520527000000,三\n".encode("gb18030"),
    b'{"household": "h1", "division": "520527000000", "members": 3}\n',
    b"PAR1",
]


@pytest.fixture
def described(db: None, instance: Instance, divisions: Divisions) -> tuple[Any, dict[str, Any]]:
    """The API of an instance in which there is something to meet, and what there is: a request, a grant, a query, a credential, a plan."""
    request = instance.post("requests", WISH).json()["id"]
    grant = instance.post("requests", {**WISH, "dataset": "civil.shelter", "rows": None}).json()["grant"]
    query = instance.post("query", {"sql": "SELECT members FROM civil.shelter", "purpose": "education"}).json()["query"]
    kept = {"name": "civil-db", "server": "db.example:5432", "user": "reader", "password": "secret"}
    assert instance.post("credentials", kept, token="officer").status_code == 201
    (instance.home / "inbox" / "gz-civil-affairs").mkdir(parents=True)
    (instance.home / "inbox" / "gz-civil-affairs" / "shelter.csv").write_bytes(TABLES[0])
    wish = {"dataset": "civil.shelter", "source": SOURCE, "every": "daily 02:30"}
    plan = instance.post("load-plans", wish, token="officer")
    assert plan.status_code == 201, plan.content
    made = instance.post("webhooks", {"url": HOOK}, token="officer")
    assert made.status_code == 201, made.content
    with_people(instance, divisions)
    extract = instance.post("extracts", {"grant": grant}).json()["id"]
    instance.doors.extracts.run_waiting()
    assert instance.get(f"extracts/{extract}").json()["state"] == "ready"
    instance.sequencer.fold_once()
    known = {
        "webhook_id": made.json()["webhook"]["id"],
        "account": "wen",
        "post": "wen@gz-education",
        "prefix": instance.doors.accounts.issue_token("wen@gz-education", by=ANALYST).prefix,
        "dataset_id": "civil.shelter",
        "office_id": "gz-education",
        "plan_id": plan.json()["id"],
        "request_id": request,
        "grant_id": grant,
        "extract_id": extract,
        "query_id": query,
        "name": "civil-db",
        "version": 0,
        "code": HEZHANG,
    }
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application()), known


HOOK = "http://127.0.0.1:9/hook"
SOURCE = {"kind": "file", "address": "gz-civil-affairs/shelter.csv"}
BODIES = {
    "dataset": "civil.shelter",
    "datasets": ["civil.shelter"],
    "source": SOURCE,
    "successor": "gz-civil-affairs",
    "changes": f"old,new,day,kind\n{HEZHANG},{HEZHANG},2026-12-01,renamed\n",
    "provider": "gz-civil-affairs",
    "collector": "gz-civil-affairs",
    "item": "members",
    "every": "hourly",
    "url": HOOK,
    "office": "gz-education",
    "post": "wen@gz-education",
    "keeper": "wen",
}
"""What there is, by the name under which bodies name it."""


def meet(case: Any, known: dict[str, Any], tables: Iterator[bytes]) -> None:
    """Let a call name what there is, so that it gets past the first question."""
    for name in case.path_parameters or {}:
        if name in known:
            case.path_parameters[name] = known[name]
    if isinstance(case.body, dict):
        case.body |= {name: value for name, value in BODIES.items() if name in case.body}
    elif isinstance(case.body, bytes):
        case.body = next(tables)


def labels(chunk: int) -> set[str]:
    """The operations of a chunk: all chunks together are all operations, and each is short enough for the time that a test has."""
    told = (operation for operation in description.operations() if operation.include_in_schema)
    every = sorted(f"{operation.methods[0]} /api/v1{operation.path}" for operation in told)
    return set(every[chunk::CHUNKS])


def let_loose(described: tuple[Any, dict[str, Any]], mode: GenerationMode, chunk: int) -> set[str]:
    """Meet each operation of a chunk with so many calls; those that were met."""
    api, known = described
    api.config.generation.update(modes=[mode])
    met: set[str] = set()
    for found in api.get_all_operations():
        operation = found.ok()
        if operation.label not in labels(chunk):
            continue
        tokens, turns, tables = itertools.cycle(TOKENS), itertools.cycle([True, True, False]), itertools.cycle(TABLES)

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES if mode is GenerationMode.POSITIVE else WRONG_EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def call(case: Any) -> None:
            if next(turns):  # noqa: B023 - called at once
                meet(case, known, tables)  # noqa: B023
            response = case.call(headers={"Authorization": f"Bearer {next(tokens)}"})  # noqa: B023
            met.add(case.operation.label)
            case.validate_response(response, checks=CHECKS)

        with suppress(SkipTest):  # an operation that takes nothing cannot be given anything wrong
            given(case=operation.as_strategy(generation_mode=mode))(call)()
    return met


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_call_that_fits_makes_the_server_fail(described: tuple[Any, dict[str, Any]], chunk: int) -> None:
    assert let_loose(described, GenerationMode.POSITIVE, chunk) == labels(chunk)


def first(instance: Instance, operation: str) -> Any:
    """An answer of an operation that links start from."""
    if operation == "sharing_submit":
        return instance.post("requests", WISH)
    if operation == "sharing_approve":
        return instance.post(f"requests/{instance.post('requests', WISH).json()['id']}/approve", {}, token="reviewer")
    if operation == "sharing_grant":
        made = instance.post("requests", {**WISH, "dataset": "civil.shelter", "rows": None}).json()["grant"]
        return instance.get(f"grants/{made}")
    if operation == "use_query":
        return instance.post("query", {"sql": "SELECT members FROM civil.shelter", "purpose": "education"})
    if operation == "catalog_publish":
        (entry,) = [one for one in instance.get("catalog/entries", token="officer").json()["entries"] if one["id"] == "civil.shelter"]
        return instance.post("datasets", entry, token="officer")
    if operation == "intake_plan":
        return instance.post("load-plans", {"dataset": "civil.shelter", "source": SOURCE, "every": "daily 02:30"}, token="officer")
    kept = {"name": "civil-db", "server": "db.example:5432", "user": "reader", "password": "secret"}
    return instance.post("credentials", kept, token="officer")


def value_of(expression: str, response: Any) -> str:
    """What a runtime expression of the description means in an answer."""
    kind, _, place = expression.removeprefix("$response.").partition("#/" if "#/" in expression else ".")
    return str(response[place] if kind == "header" else response.json()[place])


@pytest.mark.slow
@pytest.mark.parametrize(("start", "link"), [(start, link) for start, links in LINKS.items() for link in links])
def test_no_call_that_follows_another_makes_the_server_fail(
    described: tuple[Any, dict[str, Any]], instance: Instance, start: str, link: str
) -> None:
    """By the links of the description: ask, then answer or withdraw; publish, then load; plan, then run; query, then the receipt."""
    api, known = described
    api.config.generation.update(modes=[GenerationMode.POSITIVE])
    target, parameters = LINKS[start][link]
    operation = next(one for found in api.get_all_operations() if (one := found.ok()).definition.raw["operationId"] == target)
    tokens, tables, statuses = itertools.cycle(TOKENS), itertools.cycle(TABLES), set()

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES // 5,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def follow(case: Any) -> None:
        answer = first(instance, start)
        assert answer.status_code < 300, answer.content
        meet(case, known, tables)
        case.path_parameters = {name: value_of(expression, answer) for name, expression in parameters.items()}
        response = case.call(headers={"Authorization": f"Bearer {next(tokens)}"})
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))(follow)()
    assert statuses - {404}, "the link leads to something"
