"""A loopback server that speaks the platform's HTTP: sign-in, search, catalogue, backends, jobs, results.

It is reached as an HTTP proxy: the client keeps its own host names (``http://quantum.cloud.invalid/...``),
and every request comes here with its whole address. Jobs run on a fake backend through the runtime's own
local mode and travel in the runtime's own schemas. ``faults`` says what goes wrong, request by request.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789abcdef:00000000-1111-2222-3333-4444::"
TOKEN = "loopback-api-key-3f9c1e7a5b2d4860"
BACKEND = "ibm_loopback"
_API = "quantum.cloud.invalid"


class Platform:
    """The server and what it knows.

    Attributes:
        tokens: The API keys that sign-in accepts.
        session_refused: Whether the platform refuses the access token that sign-in gave.
        hold: Whether new jobs stay queued.
        fail: If set, the reason for which new jobs fail.
        jobs: By id: the request's payload, state, tags, results.
        sessions: By id: what was asked for, and whether it is open.
        plan_has_sessions: Whether sessions can be opened.
        faults: By ``"POST /jobs"`` and the like, what happens to the next requests: an HTTP status, ``cut``
            (the connection breaks inside the answer) or ``lost`` (the request is served, the answer is not).
        seen: ``"METHOD /path"`` of every request.
    """

    def __init__(self) -> None:
        self.tokens = {TOKEN}
        self.session_refused = False
        self.hold = False
        self.fail: str | None = None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.plan_has_sessions = True
        self.faults: dict[str, list[int | str]] = defaultdict(list)
        self.seen: list[str] = []
        self._lock = threading.Lock()
        platform = self

        class Handler(_Handler):
            state = platform

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, token: str = TOKEN) -> dict[str, str]:
        """Returns the variables that bring a client here."""
        return {
            "QISKIT_IBM_TOKEN": token,
            "QISKIT_IBM_INSTANCE": CRN,
            "QISKIT_IBM_URL": "http://cloud.invalid",
            "IAM_URL": "http://iam.cloud.invalid",
            "HTTP_PROXY": self.url,
            "http_proxy": self.url,
            "NO_PROXY": "",
            "no_proxy": "",
        }

    def close(self) -> None:
        """Stops."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def release(self) -> None:
        """Runs every job that was held."""
        self.hold = False
        for job in self.jobs.values():
            if job["status"] == "Queued":
                self.finish(job)

    def submissions(self) -> int:
        """Returns how many jobs there are."""
        return len(self.jobs)

    def submit(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Takes a job."""
        with self._lock:
            number = f"loop{len(self.jobs):04d}"
            job = {
                "id": number,
                "payload": payload,
                "status": "Queued",
                "reason": None,
                "results": "",
                "created": datetime.now(UTC).isoformat(),
                "usage": 0.0,
            }
            self.jobs[number] = job
        if self.fail is not None:
            job |= {"status": "Failed", "reason": self.fail, "results": self.fail}
        elif not self.hold:
            self.finish(job)
        return {"id": number, "backend": payload["backend"]}

    def finish(self, job: dict[str, Any]) -> None:
        """Runs a job."""
        began = time.monotonic()
        job["results"] = run(job["payload"]["params"])
        job |= {"status": "Completed", "usage": round(1.0 + time.monotonic() - began, 3)}


def run(params: dict[str, Any]) -> str:
    """Returns the results of an Executor job, as the platform writes them."""
    from ibm_quantum_schemas.common import CompressedTensorModel
    from ibm_quantum_schemas.executor.version_2_0 import ParamsModel, QuantumProgramResultModel
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2
    from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
    from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
    from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import quantum_program_from_2_0

    model = ParamsModel.model_validate(params)
    program, _ = quantum_program_from_2_0(model)
    found = run_quantum_program(FakeManilaV2(), program, SimulatorOptions(seed_simulator=11))
    items = [
        {
            "results": {name: CompressedTensorModel.from_numpy(value) for name, value in dict(item).items()},
            "metadata": {},
        }
        for item in found
    ]
    result = QuantumProgramResultModel(
        data=items,
        metadata={"chunk_timing": []},
        passthrough_data=model.quantum_program.passthrough_data,
        semantic_role=model.quantum_program.semantic_role,
    )
    return result.model_dump_json()


class _Handler(BaseHTTPRequestHandler):
    state: Platform
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def do_PATCH(self) -> None:
        self.serve()

    def serve(self) -> None:
        address = urlsplit(self.path)
        host, path = address.hostname or "", address.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if host == _API:
            path = path.removeprefix("/api/v1")
        name = f"{self.command} {path}" if host == _API else f"{self.command} {host}"
        self.state.seen.append(name)
        faults = self.state.faults[self._kind(name)]
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            return self.answer(fault, {"error": {"code": fault, "message": "on purpose"}})
        status, content = self.route(host, path, parse_qs(address.query), body)
        if fault == "lost":
            self.close_connection = True
            self.connection.close()
            return None
        return self.answer(status, content, cut=fault == "cut")

    @staticmethod
    def _kind(name: str) -> str:
        parts = name.split("/")
        if len(parts) > 3 and parts[1] == "jobs":
            return f"{parts[0]}/jobs/*/{parts[3]}"
        return f"{parts[0]}/jobs/*" if len(parts) > 2 and parts[1] == "jobs" else name

    def answer(self, status: int, content: Any, *, cut: bool = False) -> None:
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()
        if cut:
            self.close_connection = True
            self.connection.close()

    def route(
        self, host: str, path: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, Any] | str]:
        if host == "iam.cloud.invalid":
            key = parse_qs(body.decode()).get("apikey", [""])[0]
            if key not in self.state.tokens:
                message = "Provided API key could not be found."
                return 400, {"errorCode": "BXNIM0415E", "errorMessage": message}
            now = int(time.time())
            signed = jwt.encode({"iat": now, "exp": now + 3600}, "loopback-" * 8, algorithm="HS256")
            return 200, {"access_token": signed, "expires_in": 3600, "expiration": now + 3600}
        if host == "api.global-search-tagging.cloud.invalid":
            row = {"crn": CRN, "name": "loopback", "doc": {"extensions": [1]}, "tags": []}
            return 200, {"items": [row | {"service_plan_unique_id": "plan"}]}
        if host == "globalcatalog.cloud.invalid":
            name = {"overview_ui": {"en": {"display_name": "Open"}}}
            return 200, name | {"metadata": {"pricing": {"type": "free"}}}
        if host != _API:
            return 404, {"error": {"code": 404, "message": f"no such host {host}"}}
        if self.state.session_refused or "Bearer " not in self.headers.get("Authorization", ""):
            return 401, {"error": {"code": 1200, "message": "Authentication failed: token expired"}}
        return self.api(path, query, body)

    def api(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, Any] | str]:
        parts = path.strip("/").split("/")
        jobs = self.state.jobs
        if path == "/instances/usage":
            return 200, {
                "usage_limit_seconds": 600,
                "usage_consumed_seconds": 0,
                "usage_limit_reached": False,
            }
        if path == "/backends":
            device = {"name": BACKEND, "status": {"name": "online"}, "qubits": 5, "queue_length": 3}
            return 200, {"devices": [device]}
        if parts[0] == "backends" and parts[1] == BACKEND:
            return 200, _backend(parts[2])
        if path == "/jobs" and self.command == "POST":
            return 200, self.state.submit(json.loads(body))
        if path == "/jobs":
            tags = set(query.get("tags", []))
            found = [self.shown(job) for job in jobs.values() if tags <= set(job["payload"].get("tags", []))]
            limit = int(query.get("limit", ["20"])[0])
            return 200, {"jobs": found[::-1][:limit], "count": len(found)}
        if path == "/sessions":
            asked = json.loads(body)
            if asked["mode"] == "dedicated" and not self.state.plan_has_sessions:
                return 403, {"error": {"code": 1352, "message": "no sessions on this plan"}}
            name = f"session{len(self.state.sessions)}"
            self.state.sessions[name] = asked | {"open": True}
            return 200, {"id": name, "backend_name": BACKEND}
        if parts[0] == "sessions":
            self.state.sessions[parts[1]]["open"] = False
            return 204, ""
        if parts[0] == "jobs" and parts[1] in jobs:
            return self.job(jobs[parts[1]], parts[2] if len(parts) > 2 else "")
        return 404, {"error": {"code": 404, "message": f"no such thing: {path}"}}

    def job(self, job: dict[str, Any], what: str) -> tuple[int, dict[str, Any] | str]:
        if what == "results":
            return 200, job["results"]
        if what == "metrics":
            return 200, {"usage": {"status": "complete", "qpu_charge_time_seconds": job["usage"]}}
        if what == "cancel":
            if job["status"] != "Queued":
                return 409, {"error": {"code": 409, "message": "it has ended"}}
            job["status"] = "Cancelled"
            return 204, ""
        return 200, self.shown(job)

    @staticmethod
    def shown(job: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": job["id"],
            "backend": job["payload"]["backend"],
            "state": {"status": job["status"], "reason": job["reason"]},
            "status": job["status"],
            "program": {"id": "executor"},
            "created": job["created"],
            "tags": job["payload"].get("tags", []),
        }


def _backend(what: str) -> dict[str, Any]:
    from pathlib import Path

    from qiskit_ibm_runtime.fake_provider.backends import manila

    if what == "status":
        return {"state": True, "status": "active", "length_queue": 3, "backend_version": "1.0"}
    name = {"configuration": "conf_manila.json", "properties": "props_manila.json"}[what]
    content: dict[str, Any] = json.loads((Path(manila.__file__).parent / name).read_text())
    return content | {"backend_name": BACKEND}
