"""What all resolving needs: where a key stands, the folder its paths start at, and the secrets made so far."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rollsafe.config.problems import KeyPath, Problems
from rollsafe.config.secrets import is_reference, make_secret, make_token, no_token
from rollsafe.model.secret import Secret

T = TypeVar("T")


class Context:
    """Collects problems, and turns texts into paths and secrets by the file that names them."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.named: dict[str, str] = {}  # each file and secret that the inventory names, and where it does first
        self._secrets: dict[tuple[Path, str], Secret] = {}
        self._tokens: dict[int, Secret] = {}  # by the id of the secret behind each

    def file(self, path: KeyPath, text: str | None) -> str | None:
        """The path that the key names, absolute: relative to the file that the key is in, `~` expanded."""
        if text is None:
            return None
        try:
            named = Path(text).expanduser()
        except RuntimeError:
            self.problems.error(path, f'"{text}" begins with ~ of a user that is not known here')
            return text
        found = str(self._folder(path) / named)
        self.named.setdefault(found, self.problems.where(path))
        return found

    def secret(self, path: KeyPath, text: str | None) -> Secret | None:
        """The secret behind the key. One reference is one secret, so that a command runs once."""
        if text is None:
            return None
        folder = self._folder(path)
        if (folder, text) not in self._secrets:
            made = self.attempt(path, lambda: make_secret(text, folder))
            if made is None:
                return None
            self._secrets[folder, text] = made
        if not is_reference(text):
            self.problems.warn(path, "is a literal secret: keep it elsewhere and write env:NAME, file:PATH or the like")
        made = self._secrets[folder, text]
        self.named.setdefault(made.reference, self.problems.where(path))
        return made

    def token(self, path: KeyPath, text: str | None) -> Secret | None:
        """The secret behind a key that is sent in a header. One that no header can carry is refused when it is read;
        a literal one, which can be read here, at once."""
        made = self.secret(path, text)
        if made is None or text is None:
            return None
        if not is_reference(text) and (why := no_token(text)):
            self.problems.error(path, why)
        return self._tokens.setdefault(id(made), make_token(made))

    def attempt(self, path: KeyPath, make: Callable[[], T]) -> T | None:
        """What `make` gives; its ValueError becomes a problem at the key."""
        try:
            return make()
        except ValueError as error:
            self.problems.error(path, str(error))
            return None

    def _folder(self, path: KeyPath) -> Path:
        return self.problems.place(path)[1].file.absolute().parent
