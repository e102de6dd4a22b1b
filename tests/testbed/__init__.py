"""A real cluster on loopback: HAProxy, Apache, OpenSSH, nodes with both ports, clients, and an observer."""

from tests.testbed.bed import TENANT, TOKEN, Testbed
from tests.testbed.command import Result, Running

__all__ = ["TENANT", "TOKEN", "Result", "Running", "Testbed"]
