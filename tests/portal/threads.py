"""Several acts at the same time, as several web processes would do them."""

import threading
from collections.abc import Callable

from django.db import connections, transaction


def at_once(using: str, *acts: Callable[[], object]) -> list[object]:
    """Run the acts in threads that start together, each in a transaction of its own connection; what each gave or raised."""
    outcomes: list[object] = [None] * len(acts)
    gate = threading.Barrier(len(acts))

    def run(place: int) -> None:
        try:
            gate.wait(10)
            with transaction.atomic(using=using):
                outcomes[place] = acts[place]()
        except Exception as error:
            outcomes[place] = error
        finally:
            connections[using].close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes
