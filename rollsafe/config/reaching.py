"""SSH settings and the addresses of balancers, resolved: inheritance, jump hosts, `via`, and what each driver takes."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from rollsafe.config import units
from rollsafe.config.context import Context
from rollsafe.config.parts import Balancer, Endpoint, Ssh
from rollsafe.config.problems import KeyPath, did_you_mean, listed
from rollsafe.model.secret import Secret
from rollsafe.model.settings import BalancerSettings, EndpointSettings, SshSettings

# What a level says, with paths and secrets made: the keywords of SshSettings.
SshWords = Mapping[str, Any]

SCHEMES = {"haproxy": ("tcp", "unix", "ssh"), "apache": ("http", "https")}
FORMS = {
    "haproxy": "tcp://host:port, unix:///path or ssh://[user@]host[:port]/path",
    "apache": "https://host/balancer-manager",
}
NOT_YET = ("haproxy-dataplane", "nginx-plus", "caddy", "envoy", "f5", "aws", "http", "command")
ENTRY_POINTS = "rollsafe.balancers"


def ssh_words(context: Context, ssh: Ssh, path: KeyPath, upper: SshWords | None = None) -> SshWords:
    """What this level and those above it say of SSH."""
    own: dict[str, Any] = {key: getattr(ssh, key) for key in ("user", "port") if getattr(ssh, key) is not None}
    for key in ("private_key", "certificate", "known_hosts"):
        own[key] = context.file((*path, key), getattr(ssh, key))
    for key in ("private_key_data", "passphrase", "known_hosts_data"):
        own[key] = context.secret((*path, key), getattr(ssh, key))
    own["jump"] = tuple(units.hop(text) for text in ssh.jump) if ssh.jump is not None else None
    own["connect_timeout_s"] = ssh.connect_timeout
    own = {key: value for key, value in own.items() if value is not None}
    for key in ("private_key", "known_hosts"):
        if key in own and f"{key}_data" in own:
            context.problems.error((*path, f"{key}_data"), f"{key} says it too: keep one of them")
    return _inherit(upper or {}, own)


def _inherit(upper: SshWords, own: SshWords) -> SshWords:
    """Own words win. Another key is not the inherited certificate's, and a key has one source."""
    dropped = set()
    if "private_key" in own or "private_key_data" in own:
        dropped |= {"private_key", "private_key_data", "certificate"}
    if "known_hosts" in own or "known_hosts_data" in own:
        dropped |= {"known_hosts", "known_hosts_data"}
    return {key: value for key, value in upper.items() if key not in dropped} | dict(own)


def via(context: Context, path: KeyPath, text: str | None, words: SshWords) -> SshSettings | None:
    """`ssh://[user@]host[:port]`, with all the rest inherited."""
    if text is None:
        return None
    parts = _split(text)
    if parts is None or parts.scheme != "ssh" or parts.path not in ("", "/"):
        context.problems.error(
            path, f'"{without_credentials(text)}" is no host to go through: write ssh://[user@]host[:port]'
        )
        return None
    return _ssh_of(context, path, parts, words)


def _ssh_of(context: Context, path: KeyPath, parts: SplitResult, words: SshWords) -> SshSettings | None:
    if parts.password is not None:
        context.problems.error(path, "holds a password: SSH goes by key here; name it below ssh")
        return None
    host = context.attempt(path, lambda: units.host(parts.hostname or ""))
    own = {"user": parts.username or None, "port": parts.port}
    said = {**words, **{key: value for key, value in own.items() if value is not None}}
    return SshSettings(host=host, **said) if host is not None else None


def balancer(context: Context, name: str, written: Balancer, top: SshWords) -> BalancerSettings:
    """One balancer with all its endpoints."""
    path: KeyPath = ("balancers", name)
    words = ssh_words(context, written.ssh, (*path, "ssh"), top)
    if not _known_driver(written.driver):
        context.problems.error((*path, "driver"), _unknown_driver(written.driver))
    endpoints: list[EndpointSettings] = []
    for index, endpoint in enumerate(written.endpoints):
        settings = _endpoint(context, (*path, "endpoints", index), endpoint, written, words)
        if settings.url in {other.url for other in endpoints}:
            context.problems.error((*path, "endpoints", index), f"{settings.url} is here twice: keep one")
        endpoints.append(settings)
    if written.options and written.driver in SCHEMES:
        context.problems.error((*path, "options"), f"the {written.driver} driver has no options: remove it")
    options = {key: _option(context, (*path, "options", key), value) for key, value in written.options.items()}
    return BalancerSettings(name, written.driver, tuple(endpoints), options)


def _option(context: Context, path: KeyPath, value: Any) -> Any:
    """A reference to a secret arrives at the driver as a secret."""
    is_secret = isinstance(value, str) and value.startswith(("env:", "file:", "command:", "keyring:"))
    return context.secret(path, value) if is_secret else value


def _endpoint(context: Context, path: KeyPath, written: Endpoint, above: Balancer, words: SshWords) -> EndpointSettings:
    """What is not said at the endpoint is what the balancer says, with its own place for relative paths."""
    home = path[:2]

    def at(key: str) -> KeyPath:
        return (*(path if getattr(written, key) is not None else home), key)

    def said(key: str) -> Any:
        own = getattr(written, key)
        return own if own is not None else getattr(above, key)

    url, parts = _checked_url(context, (*path, "url"), above.driver, written.url)
    username, password = said("username"), context.secret(at("password"), said("password"))
    if parts is not None and parts.scheme in ("http", "https") and (parts.username or parts.password):
        username = username or parts.username
        password = password or context.secret((*path, "url"), parts.password or None)
    through = via(context, at("via"), said("via"), words)
    if parts is not None and through is not None and parts.scheme in ("unix", "ssh"):
        context.problems.error(at("via"), f"is not for {parts.scheme}:// endpoints such as {url}: write ssh.jump")
    if parts is not None and parts.scheme == "http" and password is not None and through is None:
        context.problems.warn((*path, "url"), "sends the password unencrypted: use https://, or via: ssh://…")
    return EndpointSettings(
        url=url,
        via=through,
        ssh=_ssh_of(context, (*path, "url"), parts, words) if parts is not None and parts.scheme == "ssh" else None,
        username=username,
        password=password if isinstance(password, Secret) else None,
        ca_file=context.file(at("ca_file"), said("ca_file")),
        timeout_s=said("timeout") or 5.0,
    )


def _checked_url(context: Context, path: KeyPath, driver: str, text: str) -> tuple[str, SplitResult | None]:
    """The url without credentials, and its parts; None where it can't be an address of that driver."""
    parts, clean = _split(text), without_credentials(text)
    wrong = None
    if parts is None or not parts.scheme or (driver in SCHEMES and parts.scheme not in SCHEMES[driver]):
        wrong = "is no address"
    elif driver in SCHEMES:
        wrong = _lacking(parts)
    if wrong is None:
        return clean, parts
    form = f" for {driver}: write {FORMS[driver]}" if driver in FORMS else ": write scheme://host…"
    cut = clean.find("?") + 1  # what stands behind may be a key
    context.problems.error(path, f'"{clean[:cut] + "…" if cut else clean}" {wrong}{form}')
    return clean, None


def _lacking(parts: SplitResult) -> str | None:
    """What the driver would refuse, too: here it has a line, and comes with all other mistakes."""
    if parts.query or parts.fragment:
        return "goes on after a ? or #, where an address ends,"
    if parts.scheme == "unix":
        return "names another host" if parts.netloc else None if parts.path.startswith("/") else "has no absolute path"
    if not parts.hostname:
        return "has no host"
    if parts.scheme == "tcp" and (not parts.port or parts.path not in ("", "/")):
        return "has a path" if parts.port else "has no port"
    if parts.scheme == "ssh" and len(parts.path) < 2:
        return "has no path to the socket"
    wrong = "holds no host that can be (two dots, a sign that no name has, or more than 63 between two dots)"
    return None if units.is_host_of_url(parts.hostname) else wrong


def _split(text: str) -> SplitResult | None:
    """The parts of a URL; None where its host or port make no sense."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts if text.isprintable() and " " not in text else None


def without_credentials(text: str) -> str:
    """The URL as it may be shown: for HTTP without user and password, for SSH without password."""
    head, separator, rest = text.partition("://")
    place, slash, tail = rest.partition("/")
    user, at, host = place.rpartition("@")
    if separator and not at and "@" in tail and ":" in place:
        return f"{head}://…"  # a password with a slash in it: nothing here is safe to show
    if not separator or not at:
        return text
    shown = f"{user.partition(':')[0]}@" if head == "ssh" else ""
    return f"{head}://{shown}{host}{slash}{tail}"


def _known_driver(name: str) -> bool:
    return name in SCHEMES or name in _plugins()


def _plugins() -> tuple[str, ...]:
    from importlib.metadata import entry_points

    return tuple(point.name for point in entry_points(group=ENTRY_POINTS))


def _unknown_driver(name: str) -> str:
    if name in NOT_YET:
        return f'"{name}" is not part of this version yet; it has {listed(SCHEMES)}'
    known = [*SCHEMES, *_plugins()]
    return f'"{name}" is not known; allowed: {listed(known)}{did_you_mean(name, known)}'


def http_url(text: str) -> str:
    """An http:// or https:// address without credentials. Raises ValueError."""
    parts = _split(text)
    known = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    if parts is None or not known or not units.is_host_of_url(parts.hostname or ""):
        raise ValueError(f'"{without_credentials(text)}" is no address: write https://host/path')
    if parts.username or parts.password:
        raise ValueError("holds a user or password: take them out (a bearer token goes into token:)")
    return urlunsplit(parts._replace(fragment=""))
