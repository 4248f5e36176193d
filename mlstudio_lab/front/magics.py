"""The cell and line magics: they translate what a person wrote into one call each, and show what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from mlstudio_lab.core.errors import BadInput, CaptureRefused

if TYPE_CHECKING:
    from mlstudio_lab.client.session import Session
    from mlstudio_lab.front.line import ModuleLine
    from mlstudio_lab.front.shown import Shown


@magics_class
class StudioMagics(Magics):
    """`%%module`, `%%test` and `%studio` of one shell.

    Args:
        shell: The running IPython.
        shown: What shows cards here.
    """

    def __init__(self, shell: Any, shown: Shown) -> None:
        super().__init__(shell)
        self._shown = shown

    @cell_magic
    def module(self, line: str, cell: str) -> None:
        """Makes the cell a versioned module: definitions become a callable handle, anything else runs at once."""
        from mlstudio_lab.front.line import parse_module_line

        try:
            options = parse_module_line(line)
            if options.sql:
                raise BadInput(
                    "SQL cells come with a later release",
                    subject="--sql",
                    hint='use pl.SQLContext(frames).execute("...") in a plain cell for now',
                )
            self._module(options, cell)
        except BaseException as error:
            from mlstudio_lab.front.errors import show_own_lines

            show_own_lines(self.shell, error)
            raise

    @cell_magic
    def test(self, line: str, cell: str) -> None:
        """Tells how to keep tests with a version until this magic does it."""
        from mlstudio_lab.front.line import parse_name_line

        name = parse_name_line(line, "%%test")
        raise BadInput(
            "%%test comes with a later release",
            subject=name,
            hint="keep tests with a version by studio.modules.publish(source, name=..., tests=[...])",
        )

    @line_magic
    def studio(self, line: str) -> None:
        """Runs a command of the `mlstudio` program in this process, such as `%studio runs list`."""
        import shlex

        from mlstudio_lab.front.cli.notebook import run_line

        try:
            words = shlex.split(line)
        except ValueError as error:
            raise BadInput(f"%studio: {error}", subject="%studio", hint="close the quotation mark") from None
        run_line(words, self._session())

    def _session(self) -> Session:
        from mlstudio_lab.client.studio import connect

        return connect().session

    def _module(self, options: ModuleLine, cell: str) -> None:
        from mlstudio_lab.capture import kind_of, strays
        from mlstudio_lab.front.cell_source import lines_below_magic

        with lines_below_magic():
            kind = kind_of(cell)
            if options.entry and kind == "cell":
                line, text = (strays(cell) or [(1, cell.strip().splitlines()[0])])[0]
                raise CaptureRefused(
                    f"--entry is for cells of definitions, and line {line} is not one: {text[:80]}",
                    subject=options.name,
                    hint="move that line to a cell of its own, or leave --entry out",
                )
            if kind == "function":
                from mlstudio_lab.front.definitions import define

                define(self.shell, self._session(), self._shown, options, cell)
            else:
                from mlstudio_lab.front.cells import run_cell

                run_cell(self.shell, self._session(), options, cell)
