"""Every operation under odd calls, always the same ones: none makes the server fail, and each answer is as described."""

import itertools
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.core.control import SkipTest
from schemathesis.generation import GenerationMode
from tests.api.conftest import Instance
from tests.api.test_api_sharing import WISH

SEED = 20261122
EXAMPLES = 25


@pytest.fixture
def described(instance: Instance) -> Any:
    """The API of an instance in which there is something to meet: a request, a grant, a query."""
    instance.post("requests", WISH)
    instance.post("requests", {**WISH, "dataset": "civil.shelter", "rows": None})
    instance.post("query", {"sql": "SELECT members FROM civil.shelter", "purpose": "education"})
    instance.sequencer.fold_once()
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_call_makes_the_server_fail(described: Any, mode: GenerationMode) -> None:
    described.config.generation.update(modes=[mode])
    met: dict[str, int] = {}
    for found in described.get_all_operations():
        operation = found.ok()
        tokens = itertools.cycle(["analyst", "reviewer", "officer", "stranger", "nobody"])

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def call(case: Any) -> None:
            response = case.call(headers={"Authorization": f"Bearer {next(tokens)}"})  # noqa: B023 - called at once
            met[f"{case.operation.label}"] = met.get(case.operation.label, 0) + 1
            case.validate_response(
                response,
                checks=[
                    schemathesis.checks.not_a_server_error,
                    schemathesis.checks.status_code_conformance,
                    schemathesis.checks.content_type_conformance,
                    schemathesis.checks.response_schema_conformance,
                ],
            )

        with suppress(SkipTest):  # an operation that takes nothing cannot be given anything wrong
            given(case=operation.as_strategy(generation_mode=mode))(call)()
    assert len(met) >= 20
