"""Makes the instance that the browser tests look at: the demo province's people and entries, one real table, no engine.

    python tests/e2e/make_instance.py FOLDER PASSWORD
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from huitong.demo import province
from huitong.keystore import KEY_NAMES, FileKeyStore
from huitong.model.party import Role
from huitong.portal.wiring import migrate, open_platform, wall_clock
from huitong.settings import read_settings


def main(home: Path, password: str) -> None:
    settings = read_settings({}, home=home)
    keystore = FileKeyStore(settings.keys)
    keystore.create(KEY_NAMES)
    migrate(settings)
    platform = open_platform(settings)

    from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
    from huitong.portal.stores import Stores

    stores = Stores()
    accounts = Accounts(stores=stores, ledger=platform.ledger, keystore=keystore, clock=wall_clock)
    operator = instance_operator("e2e")
    stores.divisions.put_divisions(province.divisions())
    accounts.register_offices([one for one in province.offices() if one.superior is None], by=operator)
    people = {
        "officer": ("gz-natural-resources", {Role.DATA_OFFICER}),
        "analyst": ("gz-education", {Role.ANALYST}),
        "two-posts": ("gz-education", {Role.ANALYST}),
        "operator": ("gz-education", {Role.ANALYST, Role.OPERATOR}),
    }
    accounts.register_people(
        [NewPerson(name, name.title(), office, frozenset(roles), password) for name, (office, roles) in people.items()], by=operator
    )
    accounts.add_post("two-posts", office="gz-civil-affairs", roles={Role.REVIEWER}, by=operator)
    with TemporaryDirectory() as folder:
        tables = province.real_tables(Path(folder))
        for dataset in province.datasets():
            officer = stores.parties.actors_of("officer")[0]
            if dataset.provider != officer.office:
                accounts.register_people(
                    [NewPerson(f"officer-{dataset.id}", "Officer", dataset.provider, frozenset({Role.DATA_OFFICER}))], by=operator
                )
                officer = stores.parties.actors_of(f"officer-{dataset.id}")[0]
            platform.catalog.publish(dataset, by=officer)
            if dataset.id == "police.person_register":
                accounts.register_people(
                    [
                        NewPerson(f"reviewer-{number}", "Reviewer", dataset.provider, frozenset({Role.REVIEWER}))
                        for number in (1, 2)
                    ],
                    by=operator,
                )
            if dataset.id == "geo.county_coordinates":
                platform.intake.load(dataset.id, tables[dataset.id], by=officer)
    platform.sequencer.fold_once()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
