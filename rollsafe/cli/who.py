"""Who runs rollsafe, from where: the user, or in a pipeline its actor and the job's address."""

import getpass
import os
import re
import secrets
import socket
from collections.abc import Mapping

from rollsafe.clock import SystemClock
from rollsafe.errors import InvalidInput
from rollsafe.model.claim import Who

_WORD = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")

# environment variables of the pipelines: who, and where the job can be looked at
_PIPELINES = (
    ("GITHUB_ACTIONS", "GITHUB_ACTOR", ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")),
    ("GITLAB_CI", "GITLAB_USER_LOGIN", ("CI_JOB_URL",)),
    ("TF_BUILD", "BUILD_REQUESTEDFOR", ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID")),
    ("JENKINS_URL", "BUILD_USER_ID", ("BUILD_URL",)),
    ("BITBUCKET_BUILD_NUMBER", "BITBUCKET_STEP_TRIGGERER_UUID", ("BITBUCKET_GIT_HTTP_ORIGIN",)),
)


def who(reason: str, clock: SystemClock) -> Who:
    """The person or the pipeline behind this process."""
    name, url = _pipeline(os.environ)
    reason = reason.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # of a locale that is not UTF-8
    since = clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")
    return Who(name or _user(), socket.gethostname() or "unknown", os.getpid(), since, reason, url)


def holder() -> str:
    """A word for this very process, that no other has."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:40] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def run_id(told: str | None, clock: SystemClock) -> str:
    """The run's name: told, or made. Raises InvalidInput for a word that can't be part of a file or a claim."""
    if told:
        if not _WORD.match(told):
            raise InvalidInput([f"--run-id {told!r}: at most 100 of A-Z a-z 0-9 . _ -, and a letter or digit first"])
        return told
    return f"{clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid {os.getuid()}"


def _pipeline(environment: Mapping[str, str]) -> tuple[str, str]:
    for mark, actor, parts in _PIPELINES:
        if environment.get(mark):
            return environment.get(actor, ""), _url(environment, parts)
    return "", ""


def _url(environment: Mapping[str, str], parts: tuple[str, ...]) -> str:
    words = [environment.get(part, "") for part in parts]
    if not all(words):
        return ""
    if parts[0] == "GITHUB_SERVER_URL":
        return f"{words[0]}/{words[1]}/actions/runs/{words[2]}"
    if parts[0] == "SYSTEM_COLLECTIONURI":
        return f"{words[0]}{words[1]}/_build/results?buildId={words[2]}"
    return words[0]
