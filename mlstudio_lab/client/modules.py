"""A studio's modules and versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlstudio_lab.client.session import Session
from mlstudio_lab.core.errors import BadInput
from mlstudio_lab.core.names import Name, Ref


class Version:
    """One immutable version of a module.

    Args:
        session: The connection it was found through.
        view: The service's VersionView as JSON.

    Attributes:
        name: The module's `namespace/name`.
        number: Its number, counted from 1.
        id: The bundle's digest.
        ref: The name with this version, such as "flights/delay@v3".
    """

    def __init__(self, session: Session, view: Mapping[str, Any]) -> None:
        self._session = session
        self._view = dict(view)
        self.name = str(view["name"])
        self.number = int(view["number"])
        self.id = str(view["id"])
        self.ref = str(view.get("ref") or f"{self.name}@v{self.number}")

    @property
    def source(self) -> str:
        """The exact text of the cell or function."""
        return str(self._view.get("source", ""))

    @property
    def wheel(self) -> Path:
        """The path of its wheel, built by the service and kept in the home's `wheels` folder.

        Raises:
            BadInput: A cell module, which has no wheel.
        """
        return self.save_wheel(self._session.settings.home / "wheels")

    def save_wheel(self, folder: str | Path = ".") -> Path:
        """Writes its wheel into a folder and gives its path; the same version gives the same bytes everywhere.

        Raises:
            BadInput: A cell module, which has no wheel, or a folder that cannot be written.
        """
        name = Name.parse(self.name)
        data, headers = self._session.transport.get_bytes(f"/modules/{name}/versions/v{self.number}/wheel")
        _, _, quoted = headers.get("content-disposition", "").partition("filename=")
        file = quoted.strip('" ') or str(self._view.get("wheel", "")) or f"{name.import_name}-{self.number}-py3-none-any.whl"
        path = Path(folder) / Path(file).name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise BadInput(f"{folder} cannot be written: {error.strerror}", subject=str(folder), hint="choose another folder") from error
        return path

    def to_json(self) -> dict[str, Any]:
        """What is known about it."""
        return dict(self._view)

    def __repr__(self) -> str:
        return f"Version({self.ref})"


class Modules:
    """A studio's modules.

    Args:
        session: The connection to use.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def publish(
        self, function_or_source: Callable[..., Any] | str, name: str, *, tests: Sequence[str] | None = None, entry: str | None = None
    ) -> Version:
        """Keeps a function, or source text, as a version and moves the shared tag `latestAlpha` to it.

        Args:
            function_or_source: A function of this process with all it needs, or Python source.
            name: The module's `namespace/name`.
            tests: Sources of tests that belong to the version.
            entry: Which function of the source is called; needed where it defines several public ones.

        Raises:
            BadName: The name is malformed.
            CaptureRefused: The source cannot be made a module faithfully; the hint has the fix.
            Conflict: Somebody else moved `latestAlpha` meanwhile.

        Example:
            >>> studio.modules.publish(delay, name="flights/delay").ref  # doctest: +SKIP
            'flights/delay@v1'
        """
        Name.parse(name)
        texts = tuple(tests or ())
        if isinstance(function_or_source, str):
            from mlstudio_lab.capture import capture_source

            captured = capture_source(function_or_source, name=name, entry=entry, tests=texts)
        else:
            from mlstudio_lab.capture import capture_function

            function = getattr(function_or_source, "__mlstudio_function__", function_or_source)
            if not hasattr(function, "__globals__"):
                raise BadInput(f"a {type(function).__name__} is not a function", subject=name, hint="hand in a function or source text")
            captured = capture_function(function, function.__globals__, name=name, tests=texts)
        return self.put(name, captured.bundle.to_json())

    def put(self, name: str, bundle: dict[str, Any], *, tag: str = "latestAlpha") -> Version:
        """Keeps a bundle as a version and moves a tag to it.

        Args:
            name: The module's `namespace/name`.
            bundle: `Bundle.to_json()`.
            tag: A shared tag, `dev` for the person's own, "" for none.
        """
        version = Version(self._session, self._session.transport.post("/modules", {"name": name, "bundle": bundle, "tag": tag}))
        self._session.known_versions.add(version.id)
        return version

    def forward_dev(self, view: Mapping[str, Any]) -> bool:
        """Moves the person's `dev` forward to a version, never back; whether it stands there now.

        Args:
            view: The version's VersionView as JSON.
        """
        if "dev" in view.get("tags", ()):
            return True
        number = int(view["number"])
        if not view.get("new") and int(self.describe(str(view["name"])).get("dev") or 0) > number:
            return False
        self._session.transport.put(f"/modules/{view['name']}/tags/dev", {"version": f"v{number}"})
        return True

    def get(self, ref: str) -> Version:
        """The version a reference names.

        Raises:
            NotFound: There is none; the hint has near matches.
            BadName: The reference is malformed.
        """
        parsed = Ref.parse(ref)
        which = parsed.tag or (f"v{parsed.number}" if parsed.number else parsed.digest) or "default"
        return Version(self._session, self._session.transport.get(f"/modules/{parsed.name}/versions/{which}"))

    def describe(self, name: str) -> dict[str, Any]:
        """A module with its versions, tags and last run, as JSON.

        Raises:
            NotFound: There is none; the hint has near matches.
        """
        return dict(self._session.transport.get(f"/modules/{Name.parse(name)}"))

    def list(self, query: str = "") -> list[dict[str, Any]]:
        """Modules whose name contains a text, as JSON, by name."""
        return list(self._session.transport.get("/modules", q=query)["modules"])

    def diff(self, name: str, a: str, b: str) -> dict[str, Any]:
        """What differs between two versions, as JSON: `units` with unified diffs, `lock`, `same_code`."""
        return dict(self._session.transport.get(f"/modules/{Name.parse(name)}/diff", a=a, b=b))

    def __repr__(self) -> str:
        return "Modules(publish, get, list, diff)"
