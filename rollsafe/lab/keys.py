"""SSH keys of one lab: made at its start, gone with its folder."""

from pathlib import Path

import paramiko


def make_key(path: Path) -> str:
    """Write a fresh private key (mode 0600) and its `.pub`; returns the public half: type and base64."""
    key = paramiko.ECDSAKey.generate(bits=256)
    path.touch(mode=0o600)
    key.write_private_key_file(str(path))
    public = f"{key.get_name()} {key.get_base64()}"
    path.with_suffix(".pub").write_text(public + " lab\n")
    return public


def known_hosts_line(host: str, port: int, public: str) -> str:
    """As OpenSSH writes it for a port of its own."""
    return f"[{host}]:{port} {public}\n"
