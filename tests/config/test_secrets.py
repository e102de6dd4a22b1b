"""Secrets: read when they are needed, told by reference only, and never printed."""

import os
import pickle
import resource
import sys
import threading
import time
from pathlib import Path

import pytest

from rollsafe.config import secrets
from rollsafe.config.load import load_inventory
from rollsafe.config.references import check_references
from rollsafe.config.secrets import check_secret_references, make_secret, resolve_all, secrets_of
from rollsafe.errors import InvalidInput
from tests.config.test_inventory import SMALL, write


def test_each_kind_is_read_and_loses_one_newline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("from-file\n\n")
    monkeypatch.setenv("TOKEN", "from-env")
    assert make_secret("file:token", tmp_path).reveal() == "from-file\n"
    assert make_secret("env:TOKEN", tmp_path).reveal() == "from-env"
    assert make_secret("command:printf 'from command\n'", tmp_path).reveal() == "from command"
    assert make_secret("plain", tmp_path).reveal() == "plain"


def test_a_keyring_entry_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    monkeypatch.setattr(keyring, "get_password", lambda service, user: f"{service}+{user}")
    assert make_secret("keyring:team/jira/admin", tmp_path).reveal() == "team/jira+admin"


@pytest.mark.parametrize("error", [ValueError("canary-4711"), RuntimeError("canary-4711"), OSError("canary-4711")])
def test_a_keyring_that_breaks_is_told_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(_service: str, _user: str) -> str:
        raise error

    monkeypatch.setattr(pytest.importorskip("keyring"), "get_password", broken)
    with pytest.raises(InvalidInput, match=rf"can't be read \({type(error).__name__}\)") as caught:
        make_secret("keyring:jira/admin", tmp_path).reveal()
    assert "canary-4711" not in str(caught.value)


def test_a_keyring_that_never_answers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(secrets, "KEYRING_LIMIT_S", 0.3)
    monkeypatch.setattr(pytest.importorskip("keyring"), "get_password", lambda *_: end.wait(20))
    with pytest.raises(InvalidInput, match=r"no answer within 0\.3 s: is it locked"):
        make_secret("keyring:jira/admin", tmp_path).reveal()
    end.set()


def test_a_command_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(InvalidInput, match="holds more than 65536 bytes"):
        make_secret("command:sh -c 'echo $$ >pid; exec yes canary-4711'", tmp_path).reveal()
    assert time.monotonic() - began < 5, "it is not waited for"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_as_much_as_a_secret_may_hold_is_read_whole(tmp_path: Path) -> None:
    made = make_secret("command:sh -c 'yes x | head -c 30000; sleep 0.2; yes x | head -c 35536'", tmp_path)
    assert len(made.reveal()) == secrets.MAX_BYTES - 1, "its last newline is dropped"


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    secret = make_secret(f"command:touch {tmp_path / 'ran'}", tmp_path)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InvalidInput, match="is empty"):
        secret.reveal()
    assert (tmp_path / "ran").exists()


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    assert make_secret("command:echo $HOME; id | cat", tmp_path).reveal() == "$HOME; id | cat"


def test_a_command_that_hangs_is_ended_with_all_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_LIMIT_S", 0.5)
    code = "import subprocess; p = subprocess.Popen(['sleep', '60']); open('pid', 'w').write(str(p.pid)); p.wait()"
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=r"did not end within 0\.5 s"):
        make_secret(f'command:{sys.executable} -c "{code}"', tmp_path).reveal()
    assert time.monotonic() - began < 5
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("env:SURELY_NOT_SET", "SURELY_NOT_SET is not set"),
        ("file:none", "there is no such file"),
        ("command:/none/such", "there is no such program"),
        ("command:false", "ended with 1"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        make_secret(text, tmp_path).reveal()


@pytest.mark.parametrize(
    "text", ["env:", "keyring:onlyservice", "command:'open", "", "file:~nobody-at-all/x", "command:~nobody-at-all/x"]
)
def test_a_reference_that_can_not_be_is_refused_before(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        make_secret(text, tmp_path)


SECRETS = SMALL.replace("tenants: [{id: zbs1}]", "tenants: [{id: zbs1, token: env:CANARY}]").replace(
    "product: jira", "product: jira\nnotify: command:printf canary-4711\nssh: {passphrase: file:pass, known_hosts: kh}"
)


def test_all_that_can_not_be_read_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANARY", raising=False)
    cluster = load_inventory([write(tmp_path, SECRETS)]).cluster
    with pytest.raises(InvalidInput) as caught:
        resolve_all(cluster)
    assert len(caught.value.problems) == 2
    assert len(check_secret_references(cluster)) == 2
    assert check_references(cluster)[0] == f"known_hosts: {tmp_path / 'kh'}: there is no such file"


def test_what_is_named_and_not_there_is_told_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANARY", raising=False)
    file = write(tmp_path, SECRETS)
    loaded = load_inventory([file])
    told = check_references(loaded.cluster, loaded.named)
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "known_hosts" in text)
    assert told[0] == f"{file}:{line}: ssh.known_hosts: {tmp_path / 'kh'}: there is no such file"
    assert [text for text in told if not text.startswith(f"{file}:")] == []
    assert any(": services.scim.tenants[0].token: env:CANARY: " in text for text in told)
    with pytest.raises(InvalidInput) as caught:
        resolve_all(loaded.cluster, loaded.named)
    assert [text for text in caught.value.problems if text not in told] == []


@pytest.mark.parametrize("program", ["./get-token", "bin/get-token", "../get-token"])
def test_a_relative_program_starts_at_the_inventory_wherever_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    home, elsewhere = tmp_path / "inventories" / "prod", tmp_path / "elsewhere"
    (home / "bin").mkdir(parents=True)
    elsewhere.mkdir()
    text = SMALL.replace("tenants: [{id: zbs1}]", f"tenants: [{{id: zbs1, token: 'command:{program} jira'}}]")
    named = write(home, text)
    where = home / program
    where.write_text("#!/bin/sh\necho canary-$1\n")
    where.chmod(0o755)
    monkeypatch.chdir(elsewhere)
    for file in (named, Path(os.path.relpath(named))):
        cluster = load_inventory([file]).cluster
        assert check_secret_references(cluster) == []
        assert {secret.reveal() for secret in secrets_of(cluster)} == {"canary-jira"}
    where.unlink()
    (elsewhere / "get-token").write_text("#!/bin/sh\n")  # another of that name, where the command is typed
    (elsewhere / "get-token").chmod(0o755)
    told = check_secret_references(load_inventory([named]).cluster)
    assert told == [f"command:{where}: there is no such program"]


def test_no_secret_is_ever_in_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "canary-4711")
    (tmp_path / "pass").write_text("canary-4711\n")
    loaded = load_inventory([write(tmp_path, SECRETS)])
    resolve_all(loaded.cluster)
    # One reference is one secret, however many nodes use it.
    assert sorted(secret.reference for secret in secrets_of(loaded.cluster)) == [
        "command:printf",
        "env:CANARY",
        f"file:{tmp_path / 'pass'}",
    ]
    assert {secret.reveal() for secret in secrets_of(loaded.cluster)} == {"canary-4711"}
    assert "canary-4711" not in repr(loaded) + str(loaded.warnings)
    with pytest.raises(TypeError):
        pickle.dumps(secrets_of(loaded.cluster)[0])
