"""The receipt: what a person takes away to prove a use without this instance, as plain JSON.

An entry not yet folded carries its promise alone; once folded, also the path to a checkpoint.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from huitong.errors import NotFound
from huitong.ledger.merkle import NodeKey, inclusion_path
from huitong.ledger.verify import RECEIPT_FORMAT
from huitong.model.ledger import Checkpoint, InclusionProof, Promise


class ReceiptStore(Protocol):
    """What a receipt is made from."""

    def promise(self, entry_id: str) -> Promise | None:
        """The entry, pending or folded."""

    def index_of(self, entry_id: str) -> int | None:
        """Its place in the tree; None while it is pending or if it is unknown."""

    def nodes(self, keys: Sequence[NodeKey]) -> Mapping[NodeKey, bytes]:
        """The hashes of complete subtrees by (level, index)."""

    def checkpoint_covering(self, index: int) -> Checkpoint | None:
        """The smallest kept checkpoint whose tree holds leaf `index`."""


def make_receipt(store: ReceiptStore, entry_ids: Sequence[str], *, origin: str, log_key: str) -> dict[str, Any]:
    """The receipt of these entries, with one checkpoint for all that are folded. The same entries, once folded, give the
    same receipt as long as that checkpoint is kept. Raises NotFound `ledger-entry-unknown`."""
    promises: list[Promise] = []
    for entry_id in entry_ids:
        promise = store.promise(entry_id)
        if promise is None:
            raise NotFound.because("ledger-entry-unknown", entry=entry_id)
        promises.append(promise)
    places = [store.index_of(promise.entry) for promise in promises]
    highest = max((place for place in places if place is not None), default=None)
    checkpoint = None if highest is None else store.checkpoint_covering(highest)
    return {
        "format": RECEIPT_FORMAT,
        "origin": origin,
        "log_key": log_key,
        "entries": [_entry(store, promise, place, checkpoint) for promise, place in zip(promises, places, strict=True)],
        "checkpoint": None if checkpoint is None else checkpoint.note,
    }


def _entry(store: ReceiptStore, promise: Promise, place: int | None, checkpoint: Checkpoint | None) -> dict[str, Any]:
    inclusion = None
    if place is not None and checkpoint is not None:
        inclusion = InclusionProof(place, checkpoint.size, inclusion_path(place, checkpoint.size, store.nodes))
    return {
        "payload": promise.payload.decode("utf-8"),
        "promise": {"key": promise.key_id, "signature": base64.b64encode(promise.signature).decode()},
        "inclusion": None
        if inclusion is None
        else {
            "index": inclusion.index,
            "size": inclusion.size,
            "path": [base64.b64encode(node).decode() for node in inclusion.path],
        },
    }
