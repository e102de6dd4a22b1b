"""Health checks and probes of one service: from presets, tenants, or what is written."""

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from rollsafe.config.context import Context
from rollsafe.config.inventory import Service
from rollsafe.config.parts import Answer, Health, Probe
from rollsafe.config.presets import BUDGETS, DEFAULT_BUDGET, SCIM_PATH, Budget, Product
from rollsafe.config.problems import KeyPath
from rollsafe.config.reaching import SshWords, http_url, via
from rollsafe.model.cluster import Node
from rollsafe.model.secret import Secret
from rollsafe.model.settings import CheckSettings, Expectation, ProbeSettings, SshSettings

# Headers whose value is a secret: it would be printed with the request's evidence.
_SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")


@dataclass(frozen=True, slots=True)
class Question:
    """One check of a service before it is asked of each node. `through_node`: over the node's own SSH."""

    name: str
    path: str | None
    expect: Expectation
    token: Secret | None = None
    timeout_s: float = 5.0
    scheme: str = "http"
    host: str | None = None
    port: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    through: SshSettings | None = None
    through_node: bool = False
    ca_file: str | None = None


def is_scim(name: str, service: Service) -> bool:
    """Is the service SCIM, by its name or by its tenants?"""
    return name == "scim" or service.tenants is not None


def questions(
    context: Context, name: str, service: Service, product: Product, context_path: str, words: SshWords
) -> list[Question]:
    """The checks of a service, and a problem where there is none."""
    path: KeyPath = ("services", name)
    tenants = _tenant_questions(context, path, service)
    if service.health is not None:
        return [
            _written(context, (*path, "health", index), health, is_scim(name, service), words)
            for index, health in enumerate(service.health)
        ]
    if tenants:
        return tenants
    if is_scim(name, service):
        sentence = "is missing, and so is health: list the SCIM directories, such as tenants: [{id: zbs848185728}]"
        context.problems.missing((*path, "tenants"), sentence)
    elif name == "web" and product.status_json is not None:
        status = Expectation(status=200, json=dict(product.status_json))
        return [Question(name, context_path.rstrip("/") + product.status_path, status)]
    else:
        context.problems.missing(
            (*path, "health"), "is missing: say what a healthy node answers, such as {path: /status}"
        )
    return []


def checks(node: Node, service: str, asked: Sequence[Question]) -> list[CheckSettings]:
    """The questions put to one node."""
    return [
        CheckSettings(
            node=node.name,
            service=service,
            host=question.host or node.host,
            port=question.port or node.ports[service],
            path=question.path,
            scheme=question.scheme,
            headers=dict(question.headers),
            expect=question.expect,
            token=question.token,
            timeout_s=question.timeout_s,
            via=node.ssh if question.through_node else question.through,
            ca_file=question.ca_file,
        )
        for question in asked
    ]


def probes(
    context: Context, name: str, service: Service, asked: Sequence[Question], words: SshWords
) -> list[ProbeSettings]:
    """The probes of a service; a `base_url` makes one of each question (of each tenant, where there are tenants)."""
    made: list[ProbeSettings] = []
    path: KeyPath = ("services", name, "probe")
    templates = _tenant_questions(context, ("services", name), service) or [q for q in asked if q.path is not None]
    for index, probe in enumerate(service.probe or ()):
        here = (*path, index)
        if (probe.url is None) == (probe.base_url is None):
            if probe.url is not None:
                context.problems.error(here, "keep url or base_url")
            else:
                context.problems.missing((*here, "url"), "is missing, and so is base_url: one of them is wanted")
            continue
        if probe.url is not None:
            made += _probe(context, here, name, probe, None, words, scim=is_scim(name, service))
        elif not templates:
            context.problems.error((*here, "base_url"), "needs tenants or a health path to ask for: write url")
        for question in templates if probe.base_url is not None else ():
            made += _probe(context, here, name, probe, question, words, scim=is_scim(name, service))
    return _unique(made)


def _tenant_questions(context: Context, path: KeyPath, service: Service) -> list[Question]:
    asked: list[Question] = []
    for index, tenant in enumerate(service.tenants or ()):
        here = (*path, "tenants", index)
        if any(question.name == tenant.id for question in asked):
            context.problems.error((*here, "id"), f'the tenant "{tenant.id}" is here twice: keep one')
        token = context.token((*here, "token"), tenant.token)
        target = SCIM_PATH.format(tenant=tenant.id)
        asked.append(Question(tenant.id, target, Expectation(status=None, scim=True), token))
    return asked


def _written(context: Context, path: KeyPath, health: Health, scim: bool, words: SshWords) -> Question:
    expect = _expectation(context, path, health, scim and health.status is None and health.json_ is None)
    tcp = health.expect == "tcp"
    if tcp and health.path is not None:
        context.problems.error((*path, "path"), "is not asked for with expect: tcp: remove one of them")
    if not tcp and health.path is None:
        told = "is missing: name what to ask for, such as /status (or write expect: tcp)"
        context.problems.missing((*path, "path"), told)
    if health.path is not None and not health.path.isascii():
        context.problems.error((*path, "path"), "holds letters that no URL has: write them percent-encoded")
    through_node = health.via == "ssh"
    return Question(
        name=health.path or "tcp",
        path=None if tcp else health.path,
        expect=expect,
        token=context.token((*path, "token"), health.token),
        timeout_s=health.timeout or 5.0,
        scheme=health.scheme,
        host=health.host,
        port=health.port,
        headers=tuple(_headers(context, path, health).items()),
        through=None if through_node else via(context, (*path, "via"), health.via, words),
        through_node=through_node,
        ca_file=context.file((*path, "ca_file"), health.ca_file),
    )


def _expectation(context: Context, path: KeyPath, answer: Answer, scim: bool) -> Expectation:
    wanted = answer.expect or ("scim" if scim else "http")
    if wanted == "http":
        return Expectation(status=answer.status or 200, json=answer.json_)
    for key, value in (("status", answer.status), ("json", answer.json_)):
        if value is not None:
            context.problems.error((*path, key), f"is not looked at with expect: {wanted}: remove one of them")
    return Expectation(status=None, scim=wanted == "scim")


def _headers(context: Context, path: KeyPath, answer: Answer) -> dict[str, str]:
    for key in answer.headers:
        if not key.isascii() or not key.replace("-", "").replace("_", "").isalnum():
            context.problems.error((*path, "headers", key), "is no name of a header")
        if key.lower() in _SECRET_HEADERS:
            context.problems.error((*path, "headers", key), "holds a secret that would be printed: use token")
    return dict(answer.headers)


def _probe(
    context: Context, path: KeyPath, service: str, probe: Probe, asked: Question | None, words: SshWords, scim: bool
) -> list[ProbeSettings]:
    key = "url" if asked is None else "base_url"
    text = probe.url if asked is None else (probe.base_url or "").rstrip("/") + (asked.path or "")
    url = context.attempt((*path, key), lambda: http_url(text or ""))
    limits = BUDGETS.get(probe.budget or "", DEFAULT_BUDGET)
    own = probe.expect or probe.status or probe.json_
    if probe.expect == "tcp":
        context.problems.error((*path, "expect"), "tcp asks for nothing: a probe expects http or scim")
    plain = scim and probe.status is None and probe.json_ is None
    expect = asked.expect if asked is not None and not own else _expectation(context, path, probe, plain)
    token = context.token((*path, "token"), probe.token)
    if url is None:
        return []
    at_home = urlsplit(url).hostname in ("localhost", "::1") or (urlsplit(url).hostname or "").startswith("127.")
    if url.startswith("http://") and not at_home and (token or (asked and asked.token)):
        context.problems.warn((*path, key), "sends the token unencrypted: use https://")
    made = ProbeSettings(
        service=service,
        name=probe.name or (asked.name if asked is not None and not asked.name.startswith("/") else service),
        url=url,
        headers=_headers(context, path, probe),
        expect=expect,
        token=token or (asked.token if asked is not None else None),
        interval_s=probe.interval or 5.0,
        timeout_s=probe.timeout or 10.0,
        max_outage_s=(max_outage_s := probe.max_outage or limits.max_outage_s),
        hold_outage_s=_hold_s(limits, max_outage_s) if probe.hold_outage is None else probe.hold_outage,
        max_failures=probe.max_failures or limits.max_failures,
        max_failures_in_a_row=probe.max_failures_in_a_row or limits.max_failures_in_a_row,
        max_rejections=limits.max_rejections if probe.max_rejections is None else probe.max_rejections,
        connect_to=probe.connect_to,
        via=via(context, (*path, "via"), probe.via, words),
        ca_file=context.file((*path, "ca_file"), probe.ca_file),
        proxy=_proxy(context, path, probe),
        node_header=probe.node_header,
    )
    _check_limits(context, path, made)
    return [made]


def _proxy(context: Context, path: KeyPath, probe: Probe) -> str | None:
    text = probe.proxy
    if text is None:
        return None
    if probe.via is not None:
        context.problems.error((*path, "proxy"), "and via don't go together: keep one of them")
    return context.attempt((*path, "proxy"), lambda: http_url(text))


def _hold_s(limits: Budget, max_outage_s: float) -> float | None:
    """The preset's soft limit, which is no longer than a hard one that the inventory names."""
    return None if limits.hold_outage_s is None else min(limits.hold_outage_s, max_outage_s)


def _check_limits(context: Context, path: KeyPath, made: ProbeSettings) -> None:
    if made.hold_outage_s is not None and made.hold_outage_s > made.max_outage_s:
        told = "hold_outage must not be longer than max_outage: hold comes before stop"
        context.problems.error((*path, "hold_outage"), told)
    if made.interval_s > made.max_outage_s:
        context.problems.warn((*path, "interval"), "is longer than max_outage: one failed probe stops the run")


def _unique(made: list[ProbeSettings]) -> list[ProbeSettings]:
    """Names that tell the probes of a service apart: a second `web` is `web-2`."""
    names: set[str] = set()
    result = []
    for probe in made:
        name, number = probe.name, 1
        while name in names:
            number += 1
            name = f"{probe.name}-{number}"
        names.add(name)
        result.append(replace(probe, name=name))
    return result


def port_of(name: str, service: Service, product: Product, scim_port: int) -> int | None:
    """The service's port: written, or the preset's."""
    if service.port is not None:
        return service.port
    if name == "scim":
        return scim_port
    return product.web_port if name == "web" else None


def valid_member(template: str) -> str:
    """A member's name with {node}, {host} and {port} in it. Raises ValueError."""
    try:
        used = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError:
        raise ValueError(f'"{template}" has a brace that is not closed: write {{node}}, {{host}} or {{port}}') from None
    unknown = [field for field in used if field not in ("node", "host", "port")]
    if unknown:
        raise ValueError(f'"{{{unknown[0]}}}" is not known in a member\'s name; allowed: {{node}}, {{host}}, {{port}}')
    if not {"node", "host"} & set(used):
        raise ValueError(f'"{template}" names the same member for every node: it needs {{node}} or {{host}}')
    return template
