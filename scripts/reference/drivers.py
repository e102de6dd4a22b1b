"""The balancer drivers: addresses, and what the product can and can't do."""

from dataclasses import fields

from rollsafe.drivers.balancers import DRIVERS, GROUP, capabilities_of
from scripts.reference.table import table

_PRODUCTS = {
    "haproxy": (
        "HAProxy 2.0 and later, runtime API",
        "`tcp://host:port`, `unix:///path`, `ssh://[user@]host[:port]/path/to/socket`",
        "[HAProxy](../howto/haproxy.md)",
    ),
    "apache": (
        "Apache httpd 2.4, mod_proxy_balancer",
        "`https://host/balancer-manager` (or `http://`)",
        "[Apache httpd](../howto/apache.md)",
    ),
}
_ALWAYS = (
    "Every endpoint of a balancer is read and written, always: of an HA pair name both. `via: ssh://host` reaches "
    "endpoints through another host.\n"
)
_OTHERS = (
    f"Other packages bring drivers through the entry point group `{GROUP}`: "
    "[how to write one](../../CONTRIBUTING.md#adding-a-balancer-driver).\n"
)
_QUESTIONS = {
    "counts_active": "tells how many requests are in flight to a member",
    "has_check": "can check its members by itself",
    "keeps_sticky_in_drain": "sticky clients still reach a drained member",
    "forgets_on_reload": "a reload can wipe a drain",
    "serves_after_maint": "a member that leaves maint gets traffic at once, before any check",
    "tcp_mode": "can count connections in place of requests",
    "names_process": "tells when another process answers, whose counts begin anew",
}


def page() -> str:
    """The page of drivers."""
    names = [[f"`{name}`", *_PRODUCTS[name]] for name in DRIVERS]
    rows = [
        [text, *("yes" if getattr(capabilities_of(name), key) else "no" for name in DRIVERS)]
        for key, text in _QUESTIONS.items()
    ]
    notes = "".join(f"* `{name}`: {_note(name)}\n" for name in DRIVERS)
    parts = [
        "# Balancer drivers\n",
        table(["driver", "product", "endpoint", "how to set it up"], names),
        _ALWAYS,
        table(["the product", *(f"`{name}`" for name in DRIVERS)], rows),
        notes,
        _OTHERS,
    ]
    return "\n".join(parts)


def _note(driver: str) -> str:
    told = capabilities_of(driver)
    assert told is not None
    assert {one.name for one in fields(told)} == {*_QUESTIONS, "note"}, "each capability has its line"
    return told.note.replace("docs/howto/haproxy.md", "[how](../howto/haproxy.md)").replace(
        "docs/howto/apache.md", "[how](../howto/apache.md)"
    )
