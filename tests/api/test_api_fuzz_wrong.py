"""Every operation under calls that do not fit, always the same ones. A file of its own, so that a second worker can take it."""

from typing import Any

import pytest
from schemathesis.generation import GenerationMode
from tests.api.test_api_fuzz import CHUNKS, described, let_loose  # noqa: F401 - a fixture


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_call_that_does_not_fit_makes_the_server_fail(described: tuple[Any, dict[str, Any]], chunk: int) -> None:  # noqa: F811
    assert let_loose(described, GenerationMode.NEGATIVE, chunk)
