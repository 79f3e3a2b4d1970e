"""A file that is sent bit by bit: which part of it was asked for, and an answer that can be cut while it is under way."""

import base64
import re
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from huitong.delivery.addresses import Delivery
from huitong.delivery.formats import MEDIA_TYPES
from huitong.errors import HuitongError
from huitong.model.delivery import ExtractForm

ENDINGS = {ExtractForm.PARQUET: "parquet", ExtractForm.CSV: "csv", ExtractForm.ARROW: "arrows"}
"""Of the name under which a browser keeps the file."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class Part:
    """The bytes [start, end) of a file of `size` bytes; `whole` if no part of it was asked for."""

    start: int
    end: int
    size: int
    whole: bool = False


def part_of(request: HttpRequest, *, size: int, tag: str) -> Part | None:
    """What `Range` asks for; None if the file has no such bytes. One range of bytes is understood: anything else, and a range of
    another file than that of `If-Range`, gets the whole, as HTTP allows."""
    everything = Part(0, size, size, whole=True)
    written = request.headers.get("Range", "")
    found = _RANGE.fullmatch(written.replace(" ", ""))
    if found is None or request.headers.get("If-Range", tag) != tag:
        return everything
    first, last = found.groups()
    if not first and not last:
        return everything
    if not first:
        wanted = int(last)
        return Part(max(0, size - wanted), size, size) if wanted and size else None
    start, end = int(first), min(size, int(last) + 1 if last else size)
    if last and int(last) < int(first):
        return everything
    return Part(start, end, size) if start < size else None


class Download(StreamingHttpResponse):
    """An answer whose body comes from a `Delivery`. The server's front sends it without holding a thread for a slow client, looks
    each second whether it may go on, and breaks the connection off if not."""

    def __init__(self, delivery: Delivery, part: Part, **rest: Any) -> None:
        self.pieces = delivery.pieces(part.start, part.end)
        self.bytes = part.end - part.start
        self._delivery = delivery
        super().__init__(self.pieces, **rest)
        self._resource_closers.append(delivery.close)  # type: ignore[attr-defined] # also if no piece was ever asked for

    def look_or_end(self) -> None:
        """Raises if it may not go on; that it was cut is then recorded as of any other piece."""
        try:
            self._delivery.look(now=True)
        except HuitongError as cut:
            self.pieces.throw(cut)


def headers_of(response: HttpResponseBase, *, part: Part, tag: str, sha256: str, name: str) -> None:
    """What stands above the bytes: which they are, of what file, and that no proxy keeps or gathers them."""
    response["Content-Length"] = str(part.end - part.start)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["ETag"] = tag
    response["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
    response["Accept-Ranges"] = "bytes"
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    if not part.whole:
        response["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{part.size}"


def answer_of(request: HttpRequest, delivery: Delivery) -> HttpResponseBase:
    """The file, the bytes of it that were asked for, or for HEAD what would stand above them."""
    extract = delivery.extract
    tag = f'"{extract.sha256}"'
    part = part_of(request, size=extract.bytes, tag=tag)
    if part is None or request.method == "HEAD":
        delivery.close()
    if part is None:
        return no_such_bytes(extract.bytes)
    kind, status = MEDIA_TYPES[extract.form], 200 if part.whole else 206
    response: HttpResponseBase
    if request.method == "HEAD":
        response = HttpResponse(content_type=kind, status=status)
    else:
        response = Download(delivery, part, content_type=kind, status=status)
    name = f"{extract.dataset}-{extract.snapshot}.{ENDINGS[extract.form]}"
    headers_of(response, part=part, tag=tag, sha256=extract.sha256, name=name)
    return response


def no_such_bytes(size: int) -> HttpResponse:
    """416: the file has no byte there."""
    response = HttpResponse(status=416)
    response["Content-Range"] = f"bytes */{size}"
    return response
