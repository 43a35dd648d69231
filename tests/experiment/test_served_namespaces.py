"""Federations over Flower with server and clients in network namespaces of their own, as on five machines.

Each client has one wire, to the server; there is no way from one client to another, nor from this machine.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import socket
import subprocess

import pytest
from quickstart_machines import CLIENTS, assert_same, quickstart, serve
from served_machines import FILE, Served

import qfedfm

pytestmark = pytest.mark.slow
SERVER = "10.77.0.1"


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@contextlib.contextmanager
def namespaces():
    """Makes the server's namespace and the clients', wired as a star; yields their names by process."""
    names = {
        name: f"qfedfm-{os.getpid()}-{name}" for name in ("server", *map("client-{}".format, range(CLIENTS)))
    }
    try:
        for name in names.values():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        hub = names["server"]
        ip("-n", hub, "address", "add", f"{SERVER}/32", "dev", "lo")
        for k in range(CLIENTS):
            far, port = names[f"client-{k}"], f"client{k}"
            ip("link", "add", port, "netns", hub, "type", "veth", "peer", "name", "wire", "netns", far)
            for place, device, address in ((hub, port, 1), (far, "wire", 2)):
                ip("-n", place, "address", "add", f"10.77.{k + 1}.{address}/30", "dev", device)
                ip("-n", place, "link", "set", device, "up")
            ip("-n", far, "route", "add", "default", "via", f"10.77.{k + 1}.1")
        yield names
    finally:
        for name in names.values():
            with contextlib.suppress(OSError):
                ip("netns", "delete", name)


@pytest.fixture
def wired():
    """Returns the namespaces; skips where this machine does not let us make them."""
    if shutil.which("ip") is None:
        pytest.skip("the program ip (iproute2) is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    with contextlib.ExitStack() as stack:
        try:
            names = stack.enter_context(namespaces())
        except OSError as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield names


class Apart(Served):
    """A federation whose processes each run in a namespace."""

    def __init__(self, folder, content, names) -> None:
        super().__init__(folder, content)
        self.names = names

    def inside(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", self.names[name]]

    def serve(self):
        place = ["--host", SERVER, "--port", str(self.port), "--state", "state", "--out", str(self.out)]
        return self.start("server", "serve", str(self.file), *place)


def reachable(port: int, namespace: str | None = None) -> bool:
    """Returns whether somebody at ``namespace`` (by default here) can connect to the server."""
    if namespace is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2):
            return True
        return False
    code = f"import socket; socket.create_connection(({SERVER!r}, {port}), 5)"
    command = ["ip", "netns", "exec", namespace, "python3", "-c", code]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def small():
    """Returns an experiment whose rounds take no time: what is tested is the way between machines."""
    content = copy.deepcopy(FILE)
    content["data"]["partition"]["clients"] = CLIENTS
    return content


@pytest.mark.parametrize("experiment", [small, quickstart])
def test_machines_that_only_a_wire_joins_give_the_same_bits(experiment, wired, tmp_path):
    content = experiment()
    content["federation"]["batch_clients"] = 1
    here = qfedfm.run(content, out=tmp_path / "local").folder
    seen = []
    with Apart(tmp_path / "served", content, wired) as served:
        there = serve(
            served,
            lambda out: seen.extend(reachable(served.port, name) for name in (wired["client-0"], None)),
        )
        assert f"joining {SERVER}:{served.port} as client-3" in served.said("client-3")
    assert seen == [True, False]
    assert_same(there, here)
