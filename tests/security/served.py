"""A key manager on loopback, for tests."""

from __future__ import annotations

import http.client
import json
import threading
import time

from qfedfm.security.certificates import client_context, issue, make_authority
from qfedfm.security.qkd.key_manager_api import application
from qfedfm.security.qkd.key_manager_client import KeyManagerClient
from qfedfm.security.qkd.key_manager_server import make_server
from qfedfm.security.qkd.store import KeyStore


class Served:
    """A key manager in a thread.

    Args:
        folder: Where its store and certificates go.
        names: Whose certificates are made.
        pairs: Which of them share a link.
        limits: What it offers.
    """

    def __init__(self, folder, names, pairs, limits):
        self.folder = folder / "certs"
        self.authority = make_authority(self.folder)
        server = issue(self.folder, "localhost", hosts=("localhost", "127.0.0.1"))
        self.identities = {name: issue(self.folder, name) for name in names}
        self.store = KeyStore(folder / "keys.db", limits)
        app = application(self.store, pairs, ("kme-a", "kme-b"))
        self.server = make_server(app, server, self.authority.certificate)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        until = time.monotonic() + 30
        while not self.server.started and time.monotonic() < until:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"https://localhost:{self.port}"

    def client(self, name):
        return KeyManagerClient(self.url, self.identities[name], self.authority.certificate)

    def ask(self, name, method, path, body=None):
        context = client_context(self.identities[name], self.authority.certificate)
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=30)
        payload = body if body is None or isinstance(body, str) else json.dumps(body)
        connection.request(method, f"/api/v1/keys/{path}", payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = json.loads(response.read())
        connection.close()
        return response.status, content

    def stop(self):
        self.server.should_exit = True
        self.thread.join(timeout=30)
