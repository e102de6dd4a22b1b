"""What a product can and can't do, as data: the reference's page of drivers is made from it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One driver's product."""

    counts_active: bool  # tells how many requests are in flight to a member
    has_check: bool  # can check members by itself (whether it does is in each reading)
    keeps_sticky_in_drain: bool  # sticky clients still reach a drained member
    forgets_on_reload: bool  # a reload can wipe an admin state that was set at run time
    serves_after_maint: bool  # after maint a member gets traffic at once, before any check
    tcp_mode: bool  # can count connections in place of requests
    names_process: bool  # tells when another process answers, whose counts begin at 0
    note: str = ""  # the trap that a person should know


HAPROXY = Capabilities(
    counts_active=True,
    has_check=True,
    keeps_sticky_in_drain=True,
    forgets_on_reload=True,
    serves_after_maint=True,
    tcp_mode=True,
    names_process=True,
    note="A reload wipes drain and maint unless server states are kept in a file (docs/howto/haproxy.md).",
)

APACHE = Capabilities(
    counts_active=True,
    has_check=True,
    keeps_sticky_in_drain=True,
    forgets_on_reload=True,
    serves_after_maint=True,
    tcp_mode=False,
    names_process=True,
    note="A graceful restart (log rotation does one) wipes drain and maint unless BalancerPersist works "
    "(docs/howto/apache.md).",
)

CAPABILITIES = {"haproxy": HAPROXY, "apache": APACHE}
