"""rollsafe restarts the nodes of a Data Center cluster one at a time, and proves that SCIM stayed reachable."""

import sys

# httpx imports its own command line, and rich with it, where click is installed: a tenth of our start for nothing.
# A None here makes that one import fail, which httpx expects. It must stand before whoever imports httpx first.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None is how Python spells "may not be imported"

__version__ = "0.1.0"
