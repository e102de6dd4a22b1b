"""SSH: one kept connection per destination, checked against known_hosts, with a limit on everything."""

import sys

# paramiko imports invoke, and with it asyncio and unittest.mock, only for `Match exec` in ~/.ssh/config: a third of its
# own start. A None here makes that import fail, which paramiko expects; client_config.py runs such programs itself.
if "invoke" not in sys.modules:
    sys.modules["invoke"] = None  # type: ignore[assignment]  # None is how Python spells "may not be imported"
    import paramiko.config  # noqa: F401 - imported here once, so that its own import of invoke fails

    del sys.modules["invoke"]
