"""The one place that draws noise of differential privacy. We make none ourselves: it comes of OpenDP (optional part `noised`), whose
samplers are exact on whole numbers, so that no rounding of floating-point numbers tells of the value (Mironov 2012).

The mechanism is the discrete Laplace, or geometric, mechanism (Ghosh, Roughgarden and Sundararajan 2009; sampled as by Canonne, Kamath and
Steinke 2020): to each whole number of a vector, of which all together change by at most `sensitivity` when one entity is there or not
(L1), noise of scale sensitivity / epsilon is added, which is epsilon-differentially private. OpenDP computes the epsilon of what was
built; nothing is drawn unless that is at most what was asked for.

OpenDP's interface is not yet stable: the part is pinned, other versions count as not installed."""

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from huitong.errors import Unavailable

VERSIONS = "0.16."
"""Versions of OpenDP that this module was written and tested against begin so."""
INSTALL = "huitong[noised]"
"""What to install."""
LARGEST = 1 << 62
"""Numbers beyond are brought to it first, which no neighbour can tell: to clamp changes a difference never to more."""
_MILLION = 1_000_000
_TRIES = 64


@cache
def is_installed() -> bool:
    """Whether this instance can draw such noise. Imports nothing."""
    try:
        return version("opendp").startswith(VERSIONS)
    except PackageNotFoundError:
        return False


@cache
def _opendp() -> Any:
    if not is_installed():
        raise Unavailable.because("noised-not-installed", part=INSTALL)
    import opendp.prelude as opendp

    opendp.enable_features("contrib")
    return opendp


def noised(values: Sequence[int], *, sensitivity: int, epsilon: int) -> tuple[list[int], float]:
    """The numbers with noise, and its scale. `epsilon` in millionths; `sensitivity`: by how much all of them together change at most when
    one entity is there or not.

    Raises Unavailable `noised-not-installed`, and ValueError for what cannot be private."""
    if sensitivity < 0 or epsilon < 1:
        raise ValueError("noise needs a sensitivity of at least 0 and an epsilon above 0")
    if sensitivity == 0:
        return [0 for _ in values], 0.0  # of such a question nothing depends on the data, not even what is told
    opendp = _opendp()
    asked = Fraction(epsilon, _MILLION)
    space = opendp.vector_domain(opendp.atom_domain(T="i64")), opendp.l1_distance(T="i64")
    scale = float(Fraction(sensitivity) / asked)
    for _ in range(_TRIES):
        mechanism = opendp.m.make_laplace(*space, scale=scale)
        if Fraction(mechanism.map(sensitivity)) <= asked:
            held = [max(-LARGEST, min(LARGEST, value)) for value in values]
            return [int(one) for one in mechanism(held)], scale
        scale = math.nextafter(scale, math.inf) if scale < 2**52 else scale * (1 + 2**-48)
    raise ValueError("no scale gives the epsilon that was asked for")


def within(scale: float) -> Decimal:
    """By how much noise of that scale changes a number at most, in 95 of 100 cases."""
    return Decimal(scale) * Decimal(math.log(20))
