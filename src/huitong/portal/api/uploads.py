"""Files that come as the body of a call: streamed to a temporary file, counted, never wholly in memory."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from huitong.errors import InputInvalid
from huitong.portal.api.limits import LIMITS, Limits

ENDINGS = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": ".xlsb",
    "application/vnd.oasis.opendocument.spreadsheet": ".ods",
    "application/x-ndjson": ".jsonl",
    "application/json": ".json",
}
"""Media types that a snapshot may be sent in, and the ending the file gets; what is inside decides how it is read."""

KEY_HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class Received:
    """A body as a file, and its SHA-256 if the call has a key."""

    path: Path
    hash: str


@contextmanager
def received(request: HttpRequest, *, limits: Limits = LIMITS, folder: Path | None = None) -> Iterator[Received]:
    """The body as a file that is gone afterwards; in the instance's `run/uploads`, which is emptied when the server starts.

    Raises InputInvalid `body-form-unknown`, `body-length-missing`, `body-too-large`, `body-cut` or `body-empty`."""
    kind = (request.content_type or "").lower()
    if kind not in ENDINGS:
        raise InputInvalid.because("body-form-unknown", known=", ".join(ENDINGS))
    announced = _announced(request)
    if announced > limits.upload_bytes:
        raise InputInvalid.because("body-too-large", limit=limits.upload_bytes)
    folder = folder or settings.HUITONG.uploads
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="upload-", dir=folder) as place:
        path = Path(place) / f"body{ENDINGS[kind]}"
        hashed = hashlib.sha256() if KEY_HEADER in request.headers else None
        size = _copy(request, path, limits, hashed)
        if size < announced:
            raise InputInvalid.because("body-cut", announced=announced, received=size)
        if size == 0:
            raise InputInvalid.because("body-empty")
        yield Received(path, hashed.hexdigest() if hashed else "")


def _announced(request: HttpRequest) -> int:
    """How many bytes come. A chunked body is not taken: one that was cut on its way would look whole."""
    length = request.META.get("CONTENT_LENGTH")
    if not length or not (length.isascii() and length.isdigit()):
        raise InputInvalid.because("body-length-missing")
    return int(length)


def _copy(source: Any, path: Path, limits: Limits, hashed: Any) -> int:
    size = 0
    with path.open("wb") as file:
        while block := source.read(limits.upload_block_bytes):
            size += len(block)
            if size > limits.upload_bytes:
                raise InputInvalid.because("body-too-large", limit=limits.upload_bytes)
            if hashed is not None:
                hashed.update(block)
            file.write(block)
    return size
