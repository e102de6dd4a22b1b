"""What `restart NODE` takes for drained: as `drain NODE` leaves a node."""

import pytest

from rollsafe.engine.session import is_drained
from tests.planner.scene import DRAIN, MAINT, READY, scene

ROWS = {
    "out, and nothing in flight": ({"scim": (DRAIN, 0), "web": (MAINT, 0)}, ""),
    "in service": ({"scim": (DRAIN, 0), "web": (READY, 0)}, "reads ready"),
    "a SCIM request is in flight": ({"scim": (DRAIN, 1), "web": (MAINT, 0)}, "has 1 active"),
    "somebody's request outlasts the time that the web gives it": ({"scim": (DRAIN, 0), "web": (MAINT, 1)}, ""),
    "the web's time is not over: it is in drain": ({"scim": (DRAIN, 0), "web": (DRAIN, 1)}, "has 1 active"),
}


@pytest.mark.parametrize("row", ROWS)
def test_drained(row: str) -> None:
    states, why = ROWS[row]
    look, _ = scene()
    for service, (admin, active) in states.items():
        look.set("a", service, admin=admin, active=active)
    told = is_drained(look.plan, look.now(), "a")
    assert why in told
    assert bool(told) is bool(why)
