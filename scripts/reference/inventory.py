"""Every key of an inventory, from the JSON Schema that editors complete from."""

from typing import Any

from rollsafe.config.presets import PRODUCTS, REQUIRED_DRAIN, SCIM_PORT, WEB_DRAIN
from rollsafe.config.schema import json_schema
from rollsafe.config.units import written
from scripts.reference.table import table

_HEAD = """# The inventory

Found by `-i PATH`, else `$ROLLSAFE_INVENTORY`, else `./inventory.yml`. `-i` may be repeated: maps merge, the later file
wins. Relative paths start at the file that names them. [inventory.example.yml](../../inventory.example.yml) shows every
key once; `rollsafe schema inventory` serves editors; `rollsafe validate` finds every mistake at once.

* *duration*: `500ms`, `90s`, `5m`, `1h30m`. A bare number is refused: it names no unit.
* *secret*: `env:NAME`, `file:PATH`, `command:PROGRAM ARGS` (no shell, 10 s), `keyring:SERVICE/USER`. A literal works,
  and earns a warning.
* *or a list*: one value may stand alone.
* Keys that begin with `x-` at the top are yours: a home for anchors.
* `nodes` and `services` may also be lists of maps with a `name`, for templates that sort the keys of a map.
"""
# Section, its model, and where it stands.
_SECTIONS = [
    ("At the top", "", ""),
    ("nodes", "Node", "Below `nodes`, by the node's name. A text alone is the host."),
    ("ssh", "Ssh", "At the top, for all nodes; any key again below a node or a balancer, where it differs."),
    ("restart", "Restart", "At the top, for all nodes; any key again below a node. `unit`, or `command` + `identity`."),
    ("balancers", "Balancer", "Below `balancers`, by a name of yours. Drivers: [drivers](drivers.md)."),
    ("endpoints", "Endpoint", "In a balancer's `endpoints`. A text alone is its url."),
    ("services", "Service", "Below `services`: `scim`, `web` or a name of yours, most critical first."),
    ("tenants", "Tenant", "In a service's `tenants`. A text alone is its id."),
    ("health", "Health", "In a service's `health`: asked of each node itself, never through the balancer."),
    ("drain", "Drain", "In a service's `drain`."),
    ("probe", "Probe", "In a service's `probe`: through the balancer, for the whole window."),
    ("policy", "Policy", "At the top."),
    ("window", "Window", "At the top. Without it nodes may be begun at any time."),
]


def page() -> str:
    """The page of all keys."""
    schema = json_schema("inventory")
    return "\n".join([_HEAD, *(_section(schema, *section) for section in _SECTIONS), _presets()])


def _section(schema: dict[str, Any], title: str, model: str, where: str) -> str:
    part = _whole(schema["$defs"][model]) if model else schema
    required = part.get("required", [])
    rows = [
        [f"`{key}`", _kind(value), _default(key, value, required), value.get("description", "")]
        for key, value in part["properties"].items()
    ]
    text = f"{where}\n\n" if where else ""
    return f"## {title}\n\n{text}" + table(["key", "type", "default", "meaning"], rows)


def _whole(part: dict[str, Any]) -> dict[str, Any]:
    """A model that also has a short form: the form with keys."""
    arms = part.get("anyOf", [part])
    return next(arm for arm in arms if "properties" in arm)


def _default(key: str, value: dict[str, Any], required: list[str]) -> str:
    if key in required:
        return "**required**"
    default = value.get("default")
    return f"`{default}`" if default not in (None, "", {}, []) and not isinstance(default, dict) else ""


def _kind(value: dict[str, Any]) -> str:
    """The type in a word or two."""
    if "$ref" in value:
        return _link(value["$ref"])
    if "anyOf" in value:
        return _either(value["anyOf"])
    if "enum" in value or "const" in value:
        return " or ".join(f"`{word}`" for word in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}"
    if value.get("type") == "object":
        inner: Any = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), {})
        return f"map of {_kind(inner)}" if isinstance(inner, dict) and inner else "map"
    return _plain(value)


def _either(arms: list[dict[str, Any]]) -> str:
    lists = [arm for arm in arms if arm.get("type") == "array"]
    others = [arm for arm in arms if arm not in lists]
    if len(arms) == 2 and lists and lists[0]["items"] == others[0]:
        return f"{_kind(others[0])}, or a list"
    if len(arms) == 2 and lists and others[0].get("type") == "object":
        return _kind(others[0])  # the list of maps with a name, told at the top of the page
    return " or ".join(dict.fromkeys(_kind(arm) for arm in arms))


def _plain(value: dict[str, Any]) -> str:
    examples = value.get("examples", [])
    if "500ms" in examples:
        return "duration"
    if "env:NAME" in examples:
        return "secret"
    words = {"string": "text", "integer": "integer", "boolean": "boolean", "number": "number"}
    if value.get("pattern") == "%$":
        return "percentage"
    return words.get(value.get("type", ""), "anything")


def _link(ref: str) -> str:
    name = ref.rpartition("/")[2]
    title = next((title for title, model, _ in _SECTIONS if model == name), "")
    return f"[{title}](#{title})" if title else name


def _presets() -> str:
    rows = [
        [
            f"`{name}`",
            str(product.web_port or "none"),
            f"`{product.unit}`" if product.unit else "none",
            f"`{product.status_path}` with {_json(product.status_json)}" if product.status_json else "none",
        ]
        for name, product in PRODUCTS.items()
    ]
    drains = (
        f"SCIM: port {SCIM_PORT}, `idle: {REQUIRED_DRAIN.idle.value}`, `timeout: {written(REQUIRED_DRAIN.timeout_s)}`. "
        f"Web: `idle: {WEB_DRAIN.idle.value}`, `timeout: {written(WEB_DRAIN.timeout_s)}`, "
        f"`linger: {written(WEB_DRAIN.linger_s)}`. `min_ready: all-others` for both."
    )
    head = "## What `product` saves you from writing\n\n"
    return head + table(["product", "web port", "unit", "health of web"], rows) + "\n" + drains


def _json(value: Any) -> str:
    return ", ".join(f"`{key}: {wanted}`" for key, wanted in value.items())
