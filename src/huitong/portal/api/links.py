"""What follows on an answer: links of the description, so that programs (and tests) find the way from one operation to the next."""

from collections.abc import Mapping
from typing import Any

ID = "$response.body#/id"
LINKS: Mapping[str, Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "sharing_submit": {
        "read": ("sharing_show", {"request_id": ID}),
        "approve": ("sharing_approve", {"request_id": ID}),
        "refuse": ("sharing_refuse", {"request_id": ID}),
        "withdraw": ("sharing_withdraw", {"request_id": ID}),
    },
    "sharing_approve": {"grant": ("sharing_grant", {"grant_id": "$response.body#/grant"})},
    "sharing_grant": {"revoke": ("sharing_revoke", {"grant_id": ID})},
    "catalog_publish": {
        "read": ("catalog_dataset", {"dataset_id": ID}),
        "sample": ("catalog_synthetic_sample", {"dataset_id": ID}),
        "load": ("intake_take_snapshot", {"dataset_id": ID}),
    },
    "intake_plan": {
        "run": ("intake_run", {"plan_id": ID}),
        "resume": ("intake_resume", {"plan_id": ID}),
        "remove": ("intake_remove", {"plan_id": ID}),
    },
    "intake_keep_credential": {"forget": ("intake_forget_credential", {"name": "$response.body#/name"})},
    "use_query": {"receipt": ("use_receipt", {"query_id": "$response.header.Huitong-Query"})},
}
"""By operation: the name of the link, the operation that follows, and where its parameters stand in the answer."""


def add_links(paths: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the links into the description of the usual answers."""
    for operation in (one for verbs in paths.values() for one in verbs.values()):
        for status, response in operation["responses"].items():
            if int(status) < 300 and operation["operationId"] in LINKS:
                response["links"] = {
                    name: {"operationId": target, "parameters": dict(parameters)}
                    for name, (target, parameters) in LINKS[operation["operationId"]].items()
                }
