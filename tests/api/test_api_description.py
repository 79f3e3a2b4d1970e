"""The OpenAPI document is valid and complete, and the routes stay thin."""

import ast
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.api.conftest import Instance

from huitong.portal.api import routes

OPEN = {
    f"/api/v1/{name}"
    for name in (
        "ledger/checkpoint",
        "ledger/key",
        "ledger/keys",
        "ledger/consistency",
        "ledger/cosignatures",
        "ledger/stamps",
        "catalog.ttl",
        "catalog.jsonld",
        "extracts/{extract_id}/download",
    )
}
"""What anyone may read without a token; the address of an extract carries a signature instead."""
ROUTES = sorted(Path(routes.__path__[0]).glob("*.py"))


@pytest.fixture
def description(instance: Instance) -> dict:
    response = instance.get("openapi.json", token=None)
    assert response.status_code == 200
    return response.json()


def test_it_is_valid_openapi(description: dict) -> None:
    assert description["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(description).validate()


def test_every_operation_says_what_it_does_who_may_and_how_it_fails(description: dict) -> None:
    operations = [(path, one) for path, verbs in description["paths"].items() for one in verbs.values()]
    assert len(operations) >= 52
    for path, operation in operations:
        assert operation["description"], path
        assert bool(operation.get("security")) is (path not in OPEN), path
        assert "application/problem+json" in operation["responses"]["422"]["content"], path
    assert len({operation["operationId"] for _, operation in operations}) == len(operations)


@pytest.mark.parametrize("file", ROUTES, ids=lambda file: file.stem)
def test_a_route_has_at_most_ten_lines(file: Path) -> None:
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno + 1 <= 10, node.name
