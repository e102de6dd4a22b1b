"""The account as JUnit XML: one suite a node, one case a step, as every CI system draws it.

An unreachable node is a failure, an unstarted one is skipped, a refusal is an error. No attribute is used that the
strictest reader, the schema of Jenkins' xUnit plugin (junit-10.xsd), does not know.
"""

from xml.etree.ElementTree import Element, SubElement, tostring  # only made here, never parsed

from rollsafe.reporting.account import Account, NodeAccount, Span
from rollsafe.reporting.closing import service_words
from rollsafe.reporting.sentences import GOOD_OUTCOMES
from rollsafe.reporting.words import clean, whole

_REACH = ("reach", "ssh")  # gates whose "no" means that the node could not be reached


def junit(account: Account) -> str:
    """The whole report as JUnit XML."""
    root = Element("testsuites", name=f"rollsafe {clean(account.cluster)}".strip(), time=f"{account.duration_s:.3f}")
    _run_suite(root, account)
    for node in [*account.nodes.values(), *_others(account)]:
        _node_suite(root, account, node)
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _others(account: Account) -> list[NodeAccount]:
    """Nodes that were not to be restarted, and yet stood in the way: every node of the inventory must be reached."""
    named = dict.fromkeys(gate.node for gate in account.gates if gate.node and not gate.allowed)
    return [NodeAccount(name) for name in named if name not in account.nodes]


def _suite(root: Element, name: str, account: Account) -> Element:
    return SubElement(root, "testsuite", name=clean(name), timestamp=account.started)


def _count(suite: Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in suite.findall('testcase')):.3f}")


def _case(suite: Element, classname: str, name: str, seconds: float = 0.0) -> Element:
    return SubElement(suite, "testcase", classname=clean(classname), name=clean(name), time=f"{seconds:.3f}")


def _bad(case: Element, tag: str, message: str) -> None:
    SubElement(case, tag, message=clean(message)).text = whole(message)


def _run_suite(root: Element, account: Account) -> None:
    suite = _suite(root, "run", account)
    told = {key: clean(getattr(account, key)) for key in ("run", "cluster", "who", "host", "reason", "url")}
    properties = SubElement(suite, "properties")
    for name, value in told.items():
        SubElement(properties, "property", name=name, value=value)
    case = _case(
        suite, "rollsafe.run", f"{account.mode or 'run'} of {account.cluster}".removesuffix(" of "), account.duration_s
    )
    said = account.message or account.verdict
    if account.outcome in ("invalid", "refused", "defect"):
        _bad(case, "error", said)
    elif account.outcome != "done":
        _bad(case, "failure", said)
    for service, seen in account.probes.items():
        probe = _case(suite, "rollsafe.reachability", service)
        if seen.get("failed") and account.outcome != "done":  # within the budget it is told, and no failure
            _bad(probe, "failure", service_words(seen))
        SubElement(probe, "system-out").text = clean(service_words(seen))
    _count(suite)


def _node_suite(root: Element, account: Account, node: NodeAccount) -> None:
    suite = _suite(root, node.name, account)
    closed = [gate for gate in account.gates if gate.node == node.name and not gate.allowed]
    stuck = closed if node.untouched else []  # a gate that opened again is no failure
    for gate in stuck:
        unreachable = any(word in gate.name.lower() for word in _REACH)
        case = _case(suite, node.name, f"gate {gate.name}")
        _bad(case, "failure" if unreachable else "error", gate.words)
    for span in node.spans:
        _step_case(suite, node, span)
    if not stuck and not node.spans:
        case = _case(suite, node.name, "not begun")
        _bad(case, "skipped", f"{node.name} was not begun: {account.message or account.verdict}")
    if node.spans and not account.well(node) and not suite.findall("testcase/failure"):
        _bad(_case(suite, node.name, "outcome"), "failure", f"{node.name}: {node.outcome}. {node.message}")
    _count(suite)


def _step_case(suite: Element, node: NodeAccount, span: Span) -> None:
    name = f"{span.step} {span.service}" if span.service else span.step
    case = _case(suite, node.name, name, span.took_s or 0.0)
    if span.end_s is None:
        _bad(case, "failure", f"{name} of {node.name} has no end on record")
    elif span.outcome not in GOOD_OUTCOMES:
        _bad(case, "failure", span.message or f"{name}: {span.outcome}")
