"""The receipt: what a person takes away to prove a use without this instance, as plain JSON.

An entry not yet folded carries its promise alone; once folded, also the path to a checkpoint.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from huitong.errors import NotFound
from huitong.ledger.merkle import NodeKey, consistency_path, inclusion_path
from huitong.ledger.verify import RECEIPT_FORMAT
from huitong.model.ledger import Checkpoint, InclusionProof, KeptCosignature, KeptStamp, Promise


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

    def witnessed_covering(self, index: int) -> Checkpoint | None:
        """The smallest one among those that a witness has signed; None while there is none."""

    def checkpoint_of(self, size: int) -> Checkpoint | None:
        """The checkpoint of exactly this size."""

    def stamped_covering(self, size: int) -> int | None:
        """The smallest size from this one on of which there is a time stamp."""

    def stamps(self, size: int) -> Sequence[KeptStamp]:
        """The time stamps of the checkpoint of this size."""

    def cosignatures(self, size: int) -> Sequence[KeptCosignature]:
        """What witnesses have signed of the checkpoint of this size, in the order in which it came."""


def make_receipt(store: ReceiptStore, entry_ids: Sequence[str], *, origin: str, log_key: str) -> dict[str, Any]:
    """The receipt of these entries, with one checkpoint for all that are folded: one that a witness has signed if there is one. The
    same entries, once witnessed, give the same receipt but for lines of further witnesses. Raises NotFound `ledger-entry-unknown`."""
    promises: list[Promise] = []
    for entry_id in entry_ids:
        promise = store.promise(entry_id)
        if promise is None:
            raise NotFound.because("ledger-entry-unknown", entry=entry_id)
        promises.append(promise)
    places = [store.index_of(promise.entry) for promise in promises]
    highest = max((place for place in places if place is not None), default=None)
    checkpoint = None if highest is None else store.witnessed_covering(highest) or store.checkpoint_covering(highest)
    receipt = {
        "format": RECEIPT_FORMAT,
        "origin": origin,
        "log_key": log_key,
        "entries": [_entry(store, promise, place, checkpoint) for promise, place in zip(promises, places, strict=True)],
        "checkpoint": None if checkpoint is None else witnessed_note(store, checkpoint),
    }
    stamped = None if checkpoint is None else stamped_part(store, checkpoint.size)
    return receipt if stamped is None else {**receipt, "stamped": stamped}


def stamped_part(store: ReceiptStore, size: int) -> dict[str, Any] | None:
    """The next checkpoint from this size on that has time stamps, the proof that it goes on from the one of this size, and the stamps."""
    found = store.stamped_covering(size)
    checkpoint = None if found is None else store.checkpoint_of(found)
    if checkpoint is None:
        return None
    path = consistency_path(size, checkpoint.size, store.nodes)
    return {
        "checkpoint": checkpoint.note,
        "consistency": [base64.b64encode(node).decode() for node in path],
        "stamps": [
            {"service": stamp.service, "answer": base64.b64encode(stamp.answer).decode()} for stamp in store.stamps(checkpoint.size)
        ],
    }


def witnessed_note(store: ReceiptStore, checkpoint: Checkpoint) -> str:
    """The note of a checkpoint with the lines of the witnesses."""
    return checkpoint.note + "".join(one.line for one in store.cosignatures(checkpoint.size))


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
