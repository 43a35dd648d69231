"""``qfedfm join``: a SuperNode that passes the server's messages to this process, which has the data."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from qfedfm.core.errors import RunError
from qfedfm.experiment.machines.member import Member
from qfedfm.experiment.machines.programs import (
    JOIN,
    end_left_over,
    flower_environment,
    flower_program,
    running,
)
from qfedfm.experiment.machines.tickets import Ticket
from qfedfm.experiment.machines.traffic import Traffic
from qfedfm.experiment.machines.worker import Worker
from qfedfm.experiment.machines.workplace import Joining

LOOK_SECONDS, RETRY_SECONDS = 0.3, 3.0
RECENT_BYTES = 1 << 13
AFTERWARDS_SECONDS = 30.0
"""For how long a client stays after its last reply: a server that was killed meanwhile asks again."""
LOG = "supernode.txt"
AWAY = "is not there"
REASONS = {
    "[code: 2004]": "does not know this client's key, or still counts the connection of a SuperNode that was "
    "killed, for a minute",
    "401 Unauthorized": "does not accept this client's key; the clocks of both machines must agree to a few "
    "seconds",
    "certificate verify failed": "has a certificate that the ticket's authority did not sign",
}
"""What a SuperNode writes before it ends, and what that means."""


def join(
    joining: Joining,
    ticket: Ticket,
    say: Callable[[str], None],
    server: str | None = None,
    patience: float = 600.0,
) -> None:
    """Takes part until the last round is done; a SuperNode that ends, as with the server, starts again.

    Args:
        joining: Whose data, and where the state lies.
        ticket: The way in.
        say: Told what happens, one sentence each.
        server: Host and port, where they are not the ticket's.
        patience: Seconds without any message of the server after which an ended SuperNode is given up.

    Raises:
        RunError: The server was not there, or did not let this client in, for so long.
    """
    state = joining.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    address = server or ticket.server
    if ":" not in address:
        address += ":" + ticket.server.rpartition(":")[2]
    member, heard, traffic = Member(joining, say), time.monotonic(), Traffic(state, say)

    def answer(message: bytes) -> bytes:
        nonlocal heard
        traffic.arrived(len(message))
        reply = member.answer(message)
        traffic.leaves(len(reply))
        heard = time.monotonic()
        return reply

    worker = Worker(state, answer, lambda: member.training_seconds)
    say(f"joining {address} as {ticket.name} ({'TLS and node key' if ticket.secure else 'no TLS'})")
    told: tuple[str, float] | None = None

    def over(reason: str) -> bool:
        """Says why the server does not answer; returns whether this client has no more to do."""
        nonlocal told
        silence = time.monotonic() - heard
        if member.finished and silence > AFTERWARDS_SECONDS:
            say("the last round is done and the server has ended, so this client ends too")
            return True
        if silence > patience:
            raise RunError(f"the server at {address} {reason}; {state / LOG} says more")
        if not member.finished and told != (reason, heard):
            say(f"the server at {address} {reason}; trying again")
            told = reason, heard
        return False

    def look(away: bool) -> bool:
        traffic.look()
        return away and over(AWAY)

    try:
        while True:
            reason = _run(state, ticket, address, look)
            if not reason or over(reason):
                return
            time.sleep(RETRY_SECONDS)
    finally:
        worker.close()


def _run(state: Path, ticket: Ticket, address: str, look: Callable[[bool], bool]) -> str:
    """Runs a SuperNode until it ends; returns why, or nothing where ``look`` ended it.

    Args:
        state: The client's folder.
        ticket: The way in.
        address: Host and port of the server.
        look: Called again and again, with whether the SuperNode tries in vain to reach the server.
    """
    command, environment = _supernode(state, ticket, address), flower_environment(state, JOIN)
    end_left_over(state)
    log = state / LOG
    before = log.stat().st_size if log.exists() else 0
    with running(state, "supernode", command, environment) as supernode:
        while supernode.poll() is None:
            if look(_away(log, before)):
                return ""
            time.sleep(LOOK_SECONDS)
    said = _since(log, before)
    return next((reason for sign, reason in REASONS.items() if sign in said), AWAY)


def _away(log: Path, before: int) -> bool:
    """Returns whether the last that a SuperNode says of its server is that it does not answer."""
    said = _since(log, max(before, log.stat().st_size - RECENT_BYTES))
    return said.rfind("Connection attempt failed") > said.rfind("Connection successful")


def _since(log: Path, place: int) -> str:
    with log.open("rb") as stream:
        stream.seek(place)
        return stream.read().decode(errors="replace")


def _supernode(state: Path, ticket: Ticket, address: str) -> list[str]:
    (state / "flower").mkdir(exist_ok=True)
    command = [*flower_program("supernode"), "--superlink", address, "--port", str(_free_port())]
    if not ticket.secure:
        return [*command, "--insecure"]
    authority, key = state / "authority.pem", state / "node.key"
    authority.write_text(ticket.authority)
    key.touch(mode=0o600)
    key.write_text(ticket.key)
    return [*command, "--root-certificates", str(authority), "--auth-supernode-private-key", str(key)]


def _free_port() -> int:
    """Returns a port for the SuperNode's own loopback interface."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
