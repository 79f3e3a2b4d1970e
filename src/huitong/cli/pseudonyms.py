"""Key epochs of linkage groups: an operator's commands on the machine itself."""

import click

from huitong.cli.base import Group
from huitong.cli.catalogue import instant_text
from huitong.cli.language import words
from huitong.cli.output import remark, show_rows
from huitong.cli.proving import operator_option
from huitong.errors import InputInvalid
from huitong.model.pseudonym import KeyEpoch, RenewalCause

pseudonym = Group("pseudonym", no_args_is_help=True)
CAUSES = [RenewalCause.PLANNED.value, RenewalCause.TOKENS_LEAKED.value]


def _shown(epoch: KeyEpoch, grants: int | None = None) -> dict[str, str | int | None]:
    began = None if epoch.began_at is None else epoch.began_at.isoformat()
    found: dict[str, str | int | None] = {"group": epoch.linkage_group, "number": epoch.number, "key": epoch.key, "since": began}
    return found if grants is None else {**found, "grants": grants}


def _show(rows: list[dict[str, str | int | None]]) -> None:
    columns = [
        ("group", lambda row: row["group"]),
        ("epoch", lambda row: row["number"]),
        ("master-key", lambda row: row["key"]),
        ("since", lambda row: instant_text(row["since"]) if row["since"] else None),
    ]
    if any("grants" in row for row in rows):
        columns.append(("grants", lambda row: row["grants"]))
    show_rows(columns, rows, raw={"groups": rows}, total=len(rows))


@pseudonym.command("groups")
@operator_option
def pseudonym_groups(operator: str) -> None:
    """Every linkage group with its key epoch."""
    from huitong.cli.inside import open_as_operator

    with open_as_operator(operator, action="pseudonym-groups") as inside:
        found = inside.platform.pseudonyms.groups()
    _show([_shown(one.epoch, len(one.grants)) for one in found])


@pseudonym.command("renew")
@operator_option
@click.argument("group", metavar="GROUP", required=False)
@click.option("--because", "cause", type=click.Choice(CAUSES))
@click.option("--leaked-key", "leaked_key", type=click.IntRange(1), metavar="NUMBER")
def pseudonym_renew(operator: str, group: str | None, cause: str | None, leaked_key: int | None) -> None:
    """Give every identifier of a group, or of all groups of a leaked key, another token."""
    from huitong.cli.inside import open_as_operator
    from huitong.cli.progress import counting

    if (group is None or cause is None) if leaked_key is None else (group is not None or cause is not None):
        raise InputInvalid.because("cli-pseudonym-renew-what")
    with open_as_operator(operator, action="pseudonym-renew") as inside, counting(words("renewing")) as progress:
        by = inside.acting(operator)
        actions = inside.platform.pseudonyms
        if leaked_key is not None:
            began = list(actions.leave_key(leaked_key, by=by, progress=progress))
        else:
            assert group is not None and cause is not None
            began = [actions.renew(group, by=by, cause=RenewalCause(cause), progress=progress)]
        left = actions.sweep()
    _show([_shown(one) for one in began])
    remark(words("pseudonyms-renewed", groups=len(began)))
    if left:
        remark(words("pseudonyms-left", tables=left))
    if leaked_key is not None:
        remark(words("pseudonyms-key-left", key=leaked_key))
