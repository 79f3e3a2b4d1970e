"""The style sheet of all pages: govuk-frontend without its licensed font and crest, then our own rules, as one answer.

Made once for each process, from the package where npm put it. One sheet, so that no rule of the package is ever in force
without ours beside it, and a browser never asks for the font."""

import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.views.decorators.http import require_safe

PACKAGE = "govuk/govuk-frontend.min.css"
OWN = "huitong/huitong.css"
NOTICE = "/* Contains govuk-frontend, MIT licence, Copyright (c) 2017 Crown Copyright (Government Digital Service), changed. */\n"
FONT = re.compile(r"(?:/\*![^*]*\*/)?@font-face\{[^}]*\}")
FAMILY = re.compile(r"font-family:GDS Transport[^;}]*")
CREST = re.compile(r"url\([^)]*/assets/[^)]*\)")


@dataclass(frozen=True)
class Look:
    """The sheet, the same compressed, and the name of this very content."""

    plain: bytes
    compressed: bytes
    version: str


def themed(package: str) -> str:
    """The package's rules without what is licensed for one government alone."""
    changed = CREST.sub("none", FAMILY.sub("font-family:var(--ht-type)", FONT.sub("", package)))
    return re.sub(r"/\*# sourceMappingURL=[^*]*\*/", "", changed)


@cache
def look() -> Look:
    """The sheet as it is served; our own rules alone while the package is not installed."""
    package: Any = finders.find(PACKAGE)
    own: Any = finders.find(OWN)
    rules = NOTICE + themed(Path(package).read_text("utf-8")) + "\n" if package else ""
    plain = (rules + Path(own).read_text("utf-8")).encode()
    return Look(plain, gzip.compress(plain, mtime=0), sha256(plain).hexdigest()[:16])


@require_safe
def sheet(request: HttpRequest) -> HttpResponse:
    """The style sheet. Its address names its version, so a browser may keep it for ever."""
    found, tag = look(), f'"{look().version}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    small = "gzip" in request.headers.get("Accept-Encoding", "")
    response = HttpResponse(found.compressed if small else found.plain, content_type="text/css; charset=utf-8")
    if small:
        response["Content-Encoding"] = "gzip"
    response["ETag"], response["Vary"] = tag, "Accept-Encoding"
    current = request.GET.get("version") == found.version
    response["Cache-Control"] = "public, max-age=31536000, immutable" if current else "no-cache"
    return response
