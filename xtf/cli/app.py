"""The application: what all commands share, and how a mistake becomes one message."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from xtf.display import ESCAPE, visible
from xtf.errors import XTFError
from xtf.runs.worker import Worker

_NO_UTF8 = "this locale has no such characters in names of files. Run the command with PYTHONUTF8=1 before it."


class _Commands(TyperGroup):
    """Turns a user's mistake into one clear message and exit code 2, and Ctrl-C into a hint and 130."""

    def invoke(self, ctx: Any) -> Any:
        errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        try:
            return super().invoke(ctx)
        except XTFError as error:
            if os.environ.get("XTF_TRACEBACK"):
                raise
            errors.print("[bold red]error:[/] ", end="")
            errors.print("\n".join(visible(line) for line in str(error).split("\n")), markup=False)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            raise  # whoever read the output has left, as `head` does
        except OSError as error:
            if os.environ.get("XTF_TRACEBACK"):
                raise
            errors.print("[bold red]error:[/] ", end="")
            errors.print(visible(_about_files(error)), markup=False)
            raise typer.Exit(2) from error
        except UnicodeEncodeError as error:
            if sys.getfilesystemencoding() == "utf-8" or os.environ.get("XTF_TRACEBACK"):
                raise
            errors.print("[bold red]error:[/] ", end="")
            errors.print(visible(f"{error.object}: {_NO_UTF8}"), markup=False)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            errors.print("\nInterrupted. Everything finished so far is kept; run the same command again to go on.")
            raise typer.Exit(130) from None


def _about_files(error: OSError) -> str:
    """What the operating system refused, by the name of the file or folder that a person can do something about."""
    if error.filename is None:
        return f"input or output: {error.strerror or error}"
    place = Path(os.fsdecode(error.filename))
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{place}: {error.strerror or error}"
    is_ours = place.name.startswith(".") and place.name.endswith(".tmp")  # written beside the file that is meant
    while is_ours or not os.path.lexists(place):
        if place == place.parent:
            break
        place, is_ours = place.parent, False
    what = "folder" if place.is_dir() else "file"
    return f"{place}: {(error.strerror or '').lower()}. Change the permissions of this {what}, or name another one."


app = typer.Typer(
    name="xtf",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See which tokens of your fine-tuning data are worth learning, and why; train with the rest masked.",
)

WIDTH_OF_A_PIPE = 140


def as_text(word: str) -> str:
    """A word of the command line that names something in the data, as UTF-8 whatever the locale takes it for."""
    return os.fsencode(word).decode("utf-8", "surrogateescape")


ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", readable=False, help="A YAML file; `xtf init` writes one.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", readable=False, help="A run folder.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", parser=as_text, help="Override a setting; may be repeated."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace another run in the same folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a page for people.")]


def out() -> Console:
    """Standard output, at the terminal's width; silent in all but the first of several processes."""
    width = None if sys.stdout.isatty() else WIDTH_OF_A_PIPE
    return Console(highlight=False, emoji=False, width=width, quiet=not Worker.speaks())


def escape_what_cannot_be_shown() -> None:
    """Let output that the terminal's encoding lacks be written in other characters, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with contextlib.suppress(OSError):  # one whose file was exchanged beneath it stays as it is
                stream.reconfigure(errors=ESCAPE)


def _writes_unicode() -> bool:
    return codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf-8")


def print_json(value: Any) -> None:
    """Print a value as JSON, in the first of several processes."""
    if not Worker.speaks():
        return
    text = json.dumps(value, indent=1, ensure_ascii=not _writes_unicode(), allow_nan=False)
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")  # half of a surrogate pair: \udXXX


def _print_versions(wanted: bool) -> None:
    if wanted:
        from xtf.runs.versions import versions

        others = versions()
        own = others.pop("xtf-tokens")
        typer.echo(f"xtf {own} ({', '.join(f'{package} {version}' for package, version in others.items())})")
        raise typer.Exit


@app.callback()
def _before_any_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            is_eager=True,
            callback=_print_versions,
            help="Print the versions of XTF and of what decides its results, and exit.",
        ),
    ] = False,
) -> None:
    pass
