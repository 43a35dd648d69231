"""The entry point: lazy commands, exit codes, one sentence for every error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from qfedfm.core.errors import QfedfmError, RequestError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("qfedfm.cli.run:run", "Run an experiment file to a report."),
    "compare": ("qfedfm.cli.compare:compare", "Run a comparison file: variants by seeds, one table."),
    "evaluate": ("qfedfm.cli.evaluate:evaluate", "Score a run on its test data or on yours."),
    "predict": ("qfedfm.cli.evaluate:predict", "Predict the class of raw texts with a run's model."),
    "report": ("qfedfm.cli.report:report", "Write the report of one run, or of several side by side."),
    "runs": ("qfedfm.cli.report:runs", "List the runs in a folder."),
    "circuits": ("qfedfm.cli.circuits:circuits", "Circuits: list, show, export, check, analyse."),
    "qkd": ("qfedfm.cli.qkd:qkd", "Quantum key distribution: rates, a link pulse by pulse, a key manager."),
    "ibm": ("qfedfm.cli.ibm:ibm", "IBM Quantum: backends, estimate, submit, status, fetch, cancel."),
    "serve": ("qfedfm.cli.machines:serve", "Serve an experiment to clients on other machines, and run it."),
    "join": ("qfedfm.cli.machines:join", "Take part in a served experiment with this machine's data."),
    "certs": ("qfedfm.cli.certs:certs", "Make an authority and TLS identities."),
    "aggregate": ("qfedfm.cli.aggregate:aggregate", "List the aggregation rules, measure them."),
    "bench": ("qfedfm.cli.bench:bench", "Measure against named peers."),
    "schema": ("qfedfm.cli.about:schema", "Print the JSON schema of the experiment file."),
    "doctor": ("qfedfm.cli.about:doctor", "Check the installation and what this machine can do."),
}
"""Command name: (module:attribute, one-line help)."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports and returns one command."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest command where there is none of that name."""
        from qfedfm.core.config import nearest

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise RequestError(f"there is no command {args[0]!r}{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="qfedfm")
def cli() -> None:
    """Quantum-enhanced federated foundation models.

    Exit codes: 0 done; 130 interrupted, resumable; 1 the run failed; 2 the request was wrong.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits."""
    sys.exit(invoke(sys.argv[1:] if arguments is None else list(arguments)))


def invoke(arguments: Sequence[str]) -> int:
    """Runs the command line and returns the exit code."""
    as_json = "--json" in arguments
    _log_to_stderr()
    try:
        code = cli.main(args=list(arguments), prog_name="qfedfm", standalone_mode=False)
    except click.ClickException as error:
        return _fail(error.format_message(), 2, as_json)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; what was finished is kept, continue with --resume", 130, as_json)
    except QfedfmError as error:
        return _fail(str(error), error.exit_code, as_json)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        logging.getLogger("qfedfm").debug("failed", exc_info=True)
        log = getattr(error, "log_file", None)
        where = f"the traceback is in {log}" if log else "set QFEDFM_TRACEBACK=1 to see the traceback"
        _traceback()
        return _fail(f"failed: {type(error).__name__}: {error} ({where})", 1, as_json)
    return code if isinstance(code, int) else 0


def print_json(content: Any) -> None:
    """Prints one JSON object to stdout."""
    click.echo(json.dumps(content, indent=1, allow_nan=False))


def _fail(sentence: str, code: int, as_json: bool) -> int:
    click.echo(("" if code == 130 else "error: ") + sentence, err=True)
    if as_json:
        print_json({"error": sentence, "exit_code": code})
    return code


def _traceback() -> None:
    import os
    import traceback

    if os.environ.get("QFEDFM_TRACEBACK"):
        traceback.print_exc()


class _StderrHandler(logging.Handler):
    """Writes to what ``sys.stderr`` is at that moment, so that a later call in one process is heard too."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def _log_to_stderr() -> None:
    logger = logging.getLogger("qfedfm")
    if not logger.handlers:
        handler = _StderrHandler()
        handler.setLevel(logging.WARNING)
        handler.setFormatter(logging.Formatter("warning: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False


if __name__ == "__main__":
    main()
