"""Attacks on the API: by rights, by signing in, by what a call holds, by what leaves."""

from collections.abc import Mapping

from huitong.drill.procedures.acting import Procedure
from huitong.drill.procedures.api import bodies, leaving, rights, signing_in

PROCEDURES: Mapping[str, Procedure] = {
    **rights.PROCEDURES,
    **signing_in.PROCEDURES,
    **bodies.PROCEDURES,
    **leaving.PROCEDURES,
}
