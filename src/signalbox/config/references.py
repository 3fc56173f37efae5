"""What stands outside the file: `${NAME}` environment variables and `file:/path` secrets, read when the file is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path as FilePath

from signalbox.core.secret import Secret

SECRET_BYTES_MAX = 64 * 1024
FILE_PREFIX = "file:"
# The installation's own secrets. Whoever may change the configuration could have them sent to an address of theirs.
OWN = frozenset(("SIGNALBOX_ADMIN_SECRET", "SIGNALBOX_PEPPER"))

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ReferenceProblem(Exception):
    """A reference that leads nowhere; never holds a secret's text."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class References:
    """Resolves references against one environment and one directory; remembers the files that were read.

    files: paths whose change changes the configuration.
    """

    def __init__(self, environ: Mapping[str, str], directory: FilePath) -> None:
        self._environ = environ
        self._directory = directory
        self.files: list[str] = []

    def variable(self, name: str) -> str | None:
        """The variable's text, or None when it is missing or empty."""
        return self._environ.get(name) or None

    def text(self, text: str) -> str:
        """`text` with every `${NAME}` replaced."""
        if text.count("${") != len(_REFERENCE.findall(text)):
            raise ReferenceProblem("a '${' without its '}'", "Write ${NAME}")
        return _REFERENCE.sub(lambda match: self._variable(match.group(1)), text)

    def _variable(self, name: str) -> str:
        if not _VARIABLE.fullmatch(name):
            raise ReferenceProblem(
                "'${…}' does not hold the name of an environment variable", "Write ${NAME} with letters, digits and _"
            )
        if name in OWN:
            raise ReferenceProblem(f"{name} is this installation's own secret", "Give what it is for one of its own")
        value = self._environ.get(name)
        if value is None:
            raise ReferenceProblem(f"environment variable {name} is not set", f"Export {name} before starting")
        if not value:
            raise ReferenceProblem(f"environment variable {name} is empty", f"Give {name} a value")
        return value

    def secret(self, text: str, *, document: bool = False) -> Secret:
        """The secret that `text` names, or is. document: it may have lines, and text of any script."""
        value = self._file(text.removeprefix(FILE_PREFIX)) if text.startswith(FILE_PREFIX) else self.text(text)
        if not value:
            raise ReferenceProblem("the secret is empty", "Give it a value")
        if document:
            return Secret(value)
        # A secret travels in a header: anything else would let its file write headers of its own.
        if not value.isascii() or not value.isprintable():
            raise ReferenceProblem(
                "the secret holds a line break, a control character or text that is not ASCII", "Store the bare key"
            )
        return Secret(value)

    def located(self, path: str, *, watched: bool) -> str:
        """A path of the file as an absolute one. watched: its content is part of the configuration."""
        full = os.path.abspath(self._directory / path)
        if watched:
            self.files.append(full)
        return full

    def path(self, path: str) -> FilePath:
        """A path of the file, relative to the file's own folder; its content is part of the configuration."""
        full = self._directory / path
        self.files.append(str(full))
        return full

    def content(self, path: str, bytes_max: int) -> bytes:
        """What the file at such a path holds. Raises OSError when it cannot be read, ValueError when it is larger or no
        file."""
        full = self.path(path)
        if may_block(full):
            raise ValueError("it is a pipe or a device, not a file")
        with full.open("rb") as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise ValueError(f"it is larger than {bytes_max} bytes")
        return content

    def _file(self, path: str) -> str:
        full = str(self._directory / path)
        own = (self._environ.get(f"{name}_FILE") for name in OWN)
        if any(each and os.path.realpath(each) == os.path.realpath(full) for each in own):
            raise ReferenceProblem(
                f"secret file {full!r} holds this installation's own secret", "Give what it is for one of its own"
            )
        try:
            return self.content(path, SECRET_BYTES_MAX).decode("utf-8").strip()
        except OSError as error:
            raise ReferenceProblem(
                f"secret file {full!r} cannot be read: {error.strerror}", "Check the path and who may read it"
            ) from None
        except UnicodeDecodeError:
            raise ReferenceProblem(f"secret file {full!r} is not text", "Store the bare key") from None
        except ValueError as error:
            raise ReferenceProblem(f"secret file {full!r} cannot be used: {error}", "Store the bare key") from None


def may_block(path: FilePath) -> bool:
    """Whether reading it may wait for somebody who writes: a pipe, or a terminal."""
    return path.is_fifo() or path.is_char_device()


def is_reference(text: str) -> bool:
    """Whether the text leads elsewhere, rather than being the value itself."""
    return text.startswith(FILE_PREFIX) or "${" in text
