"""rollsafe restarts the nodes of a Data Center cluster one at a time, and proves that SCIM stayed reachable."""

__version__ = "0.1.0"
