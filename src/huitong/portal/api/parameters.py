"""Parameters that many operations share."""

from typing import Annotated

from ninja import Path, Query
from pydantic import StringConstraints

from huitong.portal.api.limits import LIMITS
from huitong.portal.api.schemas import NO_NUL

Limit = Annotated[int, Query(ge=1, le=LIMITS.page_entries, description="How many entries at most")]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1, description="How many entries to leave out first")]
RejectLimit = Annotated[int, Query(ge=0, le=2**31 - 1, description="How many rows may be left out because they do not fit")]
Search = Annotated[str, StringConstraints(max_length=LIMITS.search_characters, pattern=NO_NUL)]
"""Words in Chinese or English."""
Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
"""A 12-digit division code."""
OfficeId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=NO_NUL)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL), Path()]
