"""What a product's name saves a person from writing. Sources: Atlassian's helm charts (ports, /status) and KB pages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollsafe.model.cluster import DrainRule, Idle

SCIM_PORT = 5501  # in every example of Kantega's documentation
# Without a token it answers a SCIM 401 error; with one, and with count=0, a ListResponse that names nobody.
SCIM_PATH = "/scim/{tenant}/v2/Users?count=0"


@dataclass(frozen=True, slots=True)
class Product:
    """A product's web port, systemd unit and usual start. `None`: it must be written in the inventory."""

    web_port: int | None
    unit: str | None
    typical_start_s: float = 300.0
    # Jira answers 200 while STARTING and STOPPING: only the body says RUNNING.
    status_path: str = "/status"
    status_json: Mapping[str, Any] | None = None


_RUNNING = {"state": "RUNNING"}
PRODUCTS = {
    "jira": Product(8080, "jira.service", status_json=_RUNNING),
    "confluence": Product(8090, "confluence.service", status_json=_RUNNING),
    "bitbucket": Product(7990, "bitbucket.service", status_json=_RUNNING),
    "other": Product(None, None),
}

# A SCIM write that is cut in half is repeated by the identity provider into a conflict: wait, or don't stop the node.
REQUIRED_DRAIN = DrainRule(Idle.REQUIRED, timeout_s=90.0, linger_s=30.0)
# People's sessions stick to a node, and never end by themselves.
WEB_DRAIN = DrainRule(Idle.PREFERRED, timeout_s=300.0, linger_s=30.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """What an identity provider forgives."""

    max_outage_s: float
    hold_outage_s: float | None
    max_failures: int | None
    max_failures_in_a_row: int | None
    max_rejections: int | None


DEFAULT_BUDGET = Budget(15.0, None, None, None, None)
BUDGETS = {
    # Entra ID repeats a failed call in its next cycle and counts failures in thousands, so a short outage costs little.
    # But an unexpected 401 or 404 quarantines the job whatever the count: one such answer is worse than many refused
    # connections. And many failures in a row are no restart any more.
    "entra": Budget(60.0, hold_outage_s=15.0, max_failures=20, max_failures_in_a_row=10, max_rejections=0),
    # Okta does not repeat: each failed call stays failed until an administrator resubmits it, a rejected one as well.
    "okta": Budget(10.0, hold_outage_s=1.0, max_failures=2, max_failures_in_a_row=2, max_rejections=None),
}
