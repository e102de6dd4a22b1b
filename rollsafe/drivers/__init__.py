"""One admin API each, SSH, and what runs on the far side: every failure becomes one of our errors."""

import sys

# httpx imports its own command line, and rich with it, where click is installed: a tenth of our start for nothing.
# A None here makes that one import fail, which httpx expects.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None is how Python spells "may not be imported"
