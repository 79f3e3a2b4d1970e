"""Makes what the notebook needs of the demo province in seconds: its people with their tokens, and one real table.

    python tests/e2e/make_small_demo.py FOLDER
"""

import json
import sys
from pathlib import Path

from huitong.cli.demo import ACCOUNTS, KEY_FILE
from huitong.demo import province
from huitong.keystore import KEY_NAMES, FileKeyStore
from huitong.model.party import Role
from huitong.portal.wiring import migrate, open_platform, wall_clock
from huitong.settings import read_settings

PEOPLE = ("operator", "education-analyst", "education-officer", "natural-officer")


def main(home: Path) -> None:
    settings = read_settings(home=home)
    keystore = FileKeyStore(settings.keys)
    keystore.create(KEY_NAMES)
    migrate(settings)
    platform = open_platform(settings)

    from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
    from huitong.portal.stores import Stores

    stores, operator = Stores(), instance_operator("demo")
    accounts = Accounts(stores=stores, ledger=platform.ledger, keystore=keystore, clock=wall_clock)
    stores.divisions.put_divisions(province.divisions())
    accounts.register_offices([one for one in province.offices() if one.superior is None], by=operator)
    wanted = [one for one in province.people() if one.account in PEOPLE]
    posts = {one.account: one.posts[0] for one in wanted}
    accounts.register_people([NewPerson(one.account, one.name.zh, *posts[one.account]) for one in wanted], by=operator)
    actors = {name: stores.parties.actors_of(name)[0] for name in PEOPLE}
    assert actors["natural-officer"].has(Role.DATA_OFFICER)
    (dataset,) = [one for one in province.datasets() if one.id == "geo.county_coordinates"]
    platform.catalog.publish(dataset, by=actors["natural-officer"])
    platform.intake.load(dataset.id, province.real_tables(home / "tables")[dataset.id], by=actors["natural-officer"])
    tokens = {name: {"token": accounts.issue_token(actor.post, by=operator, label="demo").text} for name, actor in actors.items()}
    (home / ACCOUNTS).write_text(json.dumps(tokens), "utf-8")
    (home / KEY_FILE).write_text(platform.ledger.vkey() + "\n", "utf-8")
    platform.sequencer.fold_once()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
