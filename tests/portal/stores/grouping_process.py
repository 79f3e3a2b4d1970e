"""A process that writes uses in grouped commits until it is killed, and says of each entry, after it was told so, that it is written.

    python grouping_process.py DATABASE_URL KEYS THREADS
"""

import secrets
import sys
import threading
from pathlib import Path


def main() -> None:
    """Runs until somebody kills it."""
    url, keys, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    from huitong.portal.wiring import start_django, wall_clock
    from huitong.settings import Settings

    start_django(Settings(home=keys.parent, database_url=url))
    from huitong.keystore import FileKeyStore
    from huitong.ledger.grouping import GroupedEntries
    from huitong.ledger.log import Ledger
    from huitong.model.ledger import EntryKind, UseOfEntry
    from huitong.portal.stores import Stores

    stores = Stores()
    ledger = Ledger(stores.ledger, FileKeyStore(keys), wall_clock, origin="huitong.example/test", alarm_seconds=10, stop_seconds=300)
    entries = GroupedEntries(stores.groups, ledger)
    telling = threading.Lock()

    def write() -> None:
        while True:
            query = "q-" + secrets.token_hex(8)
            use = UseOfEntry(query, "wang.wei", "wang.wei@gz-medical-security", "gz-medical-security")
            promise = entries.append(kind=EntryKind.USE_REFUSED, body={"query": query}, use=use)
            with telling:
                sys.stdout.write(f"{promise.entry} {query}\n")
                sys.stdout.flush()

    for _ in range(threads):
        threading.Thread(target=write).start()


if __name__ == "__main__":
    main()
