"""Files that come as the body of a call: streamed to a temporary file, counted, never wholly in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.http import HttpRequest

from huitong.errors import InputInvalid
from huitong.portal.api.limits import LIMITS, Limits

ENDINGS = {"text/csv": ".csv", "application/vnd.apache.parquet": ".parquet"}
"""Media types that a snapshot may be sent in, and the ending the file gets."""


@contextmanager
def received(request: HttpRequest, *, limits: Limits = LIMITS, folder: Path | None = None) -> Iterator[Path]:
    """The body as a file that is gone afterwards.

    Raises InputInvalid `body-form-unknown`, `body-length-missing`, `body-too-large`, `body-cut` or `body-empty`."""
    kind = (request.content_type or "").lower()
    if kind not in ENDINGS:
        raise InputInvalid.because("body-form-unknown", known=", ".join(ENDINGS))
    announced, source = _source(request)
    if announced is not None and announced > limits.upload_bytes:
        raise InputInvalid.because("body-too-large", limit=limits.upload_bytes)
    with TemporaryDirectory(prefix="huitong-upload-", dir=folder) as place:
        path = Path(place) / f"body{ENDINGS[kind]}"
        size = _copy(source, path, limits)
        if announced is not None and size < announced:
            raise InputInvalid.because("body-cut", announced=announced, received=size)
        if size == 0:
            raise InputInvalid.because("body-empty")
        yield path


def _source(request: HttpRequest) -> tuple[int | None, Any]:
    """How many bytes were announced, and where to read them. A chunked body has no length: the server ends it."""
    length = request.META.get("CONTENT_LENGTH")
    if length not in (None, ""):
        if not (length.isascii() and length.isdigit()):
            raise InputInvalid.because("body-length-missing")
        return int(length), request
    if request.META.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked":
        return None, request.META["wsgi.input"]
    raise InputInvalid.because("body-length-missing")


def _copy(source: Any, path: Path, limits: Limits) -> int:
    size = 0
    with path.open("wb") as file:
        while block := source.read(limits.upload_block_bytes):
            size += len(block)
            if size > limits.upload_bytes:
                raise InputInvalid.because("body-too-large", limit=limits.upload_bytes)
            file.write(block)
    return size
