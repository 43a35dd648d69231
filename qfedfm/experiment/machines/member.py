"""A client that joins: it learns the experiment from the server's first message and builds its side of it.

Its data is a file that its own command line names, or a numbered part of the experiment's data for a
rehearsal. The server can name neither. State lies in a folder of its own for each experiment, so keys and
variates of one never meet another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import QfedfmError, RequestError, UpdateRefusedError
from qfedfm.core.files import write_atomic
from qfedfm.experiment.machines.server import key_of, read_invitation
from qfedfm.experiment.machines.workplace import Joining, Material, gathered, workplace_of
from qfedfm.federation.engines.flower.node import Node, Workplace
from qfedfm.federation.engines.flower.sealing import SERVER, Fetch
from qfedfm.federation.engines.flower.wire import HELLO, PHASE, REFUSED, TRAIN, Envelope, parse

if TYPE_CHECKING:
    from qfedfm.experiment.config import Experiment
    from qfedfm.federation.store import ClientStore

INVITATION, CURRENT = "invitation.json", "current.json"
Gather = Callable[[str, Path | None], Material]


class Member:
    """Answers a server's messages, from the first one on.

    Args:
        joining: How it joins.
        say: Told what happens, one sentence each.
        gather: Returns data and model for an invitation and this client's own file.
    """

    def __init__(
        self,
        joining: Joining,
        say: Callable[[str], None] | None = None,
        gather: Gather | None = None,
    ) -> None:
        self._joining = joining
        self._say = say or (lambda sentence: None)
        self._gather = gather or (lambda text, file: gathered(*read_invitation(json.loads(text)), file))
        self._node: Node | None = None
        self._store: ClientStore | None = None
        self._key = ""
        self._rounds = 0
        self.finished = False
        """Whether this client has replied to a message of the last round."""

    def close(self) -> None:
        """Closes its store; its state is on the disk."""
        if self._store is not None:
            self._store.close()

    @property
    def training_seconds(self) -> float:
        """Seconds of local training in the last reply."""
        return self._node.training_seconds if self._node is not None else 0.0

    def answer(self, message: bytes) -> bytes:
        """Returns the reply to ``message``; what cannot be served is refused in one sentence."""
        token = ""
        try:
            request = parse(message)
            token = request.token
            if request.kind == HELLO:
                self._meet(request.fields)
            elif self._node is None:
                self._remember()
        except QfedfmError as error:
            self._say(f"refused: {error}")
            # What does not fit may name this client's file, columns or labels: the server is not told which.
            wrong = isinstance(error, RequestError)
            reason = "the experiment and what is on this machine do not fit" if wrong else str(error)
            return Envelope(REFUSED, token, {"reason": reason}).to_bytes()
        assert self._node is not None
        reply = self._node.answer(message)
        if request.kind in (TRAIN, PHASE):
            self.finished = request.fields.get("round") == self._rounds - 1
        return reply

    def _meet(self, fields: Any) -> None:
        """Takes an invitation and makes it the current one."""
        key = key_of(dict(fields))
        if self._node is not None and self._key == key:
            return
        text, folder = json.dumps(dict(fields)), self._joining.state / key
        read_invitation(fields)
        write_atomic(folder / INVITATION, text)
        write_atomic(self._joining.state / CURRENT, json.dumps({"key": key}))
        self._open(text, folder, key)

    def _remember(self) -> None:
        """Goes on with the experiment that this client joined before it was restarted."""
        current = self._joining.state / CURRENT
        if not current.exists():
            raise UpdateRefusedError("this client has not been told the experiment yet")
        key = json.loads(current.read_text())["key"]
        folder = self._joining.state / key
        self._open((folder / INVITATION).read_text(), folder, key)

    def _open(self, text: str, folder: Path, key: str) -> None:
        experiment, _ = read_invitation(json.loads(text))
        self._rounds = experiment.federation.rounds
        self._say(f"joining experiment {experiment.name!r} ({experiment.federation.rounds} rounds)")
        material = self._gather(text, self._joining.data)
        work = workplace_of(material, self._joining, folder)
        self.close()
        self._node, self._store, self._key = Node(work, folder, self._fetch(), self._say), work.store, key

    def _fetch(self) -> Fetch | None:
        if self._joining.keys is None:
            return None
        from qfedfm.security.qkd.store import KeyStore

        store = KeyStore(self._joining.keys)
        return lambda client, key_id: store.fetch(SERVER, client, [key_id])[0].key


@lru_cache(maxsize=1)
def _kept(text: str, file: Path | None) -> Material:
    return gathered(*read_invitation(json.loads(text)), file)


def answer_once(joining: Joining, message: bytes, say: Callable[[str], None] | None = None) -> bytes:
    """Returns the reply of a client whose next message may be another process's, and ours another client's.

    Data and model stay in this process; everything of the client itself is read from its disk.
    """
    member = Member(joining, say, _kept)
    try:
        return member.answer(message)
    finally:
        member.close()


def workplace(
    experiment: Experiment, label_names: tuple[str, ...], joining: Joining, folder: Path
) -> Workplace:
    """Returns what a client of ``experiment`` works with.

    Args:
        experiment: All options, ``auto`` resolved by the server.
        label_names: The classes, as the server has them.
        joining: Whose data.
        folder: Where its state lies.

    Raises:
        RequestError: Its data do not fit the experiment.
    """
    return workplace_of(gathered(experiment, label_names, joining.data), joining, folder)
