"""The account: only from Qiskit's own saved account or the environment; the token goes nowhere else.

The token is read by qiskit-ibm-runtime, never passed through a command line, never written, never logged.
What the client says about a failure may quote it, so every text of it passes through :func:`redact`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

from qfedfm.core.errors import RequestError, RunError

CHANNEL = "ibm_quantum_platform"
HOW = (
    "save an account once with QiskitRuntimeService.save_account(channel='ibm_quantum_platform', token=..., "
    "instance=...) in Python, or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE (the CRN) in the environment"
)
_BEARER = re.compile(r"(?i)\b(bearer|apikey)[ =:]+[A-Za-z0-9._~+/=-]{8,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")


class AccountError(RequestError):
    """There is no account, or the platform refuses it."""


class PlatformError(RunError):
    """The platform could not be reached or answered with an error.

    Attributes:
        status: The HTTP status; -1 where there is none.
    """

    def __init__(self, message: str, status: int = -1) -> None:
        super().__init__(message)
        self.status = status


def _secrets() -> list[str]:
    found = [os.environ.get("QISKIT_IBM_TOKEN", "")]
    with contextlib.suppress(Exception):
        found += [str(account.get("token", "")) for account in _saved().values()]
    return [secret for secret in found if len(secret) >= 4]


def redact(text: object) -> str:
    """Returns ``text`` in which tokens of any kind are replaced by ``...``."""
    result = str(text)
    for secret in _secrets():
        result = result.replace(secret, "...")
    return _JWT.sub("...", _BEARER.sub(r"\1 ...", result))


def _saved() -> dict[str, dict[str, Any]]:
    from qiskit_ibm_runtime import QiskitRuntimeService

    return dict(QiskitRuntimeService.saved_accounts())


def has_account() -> bool:
    """Returns whether an account is saved or in the environment; asks nobody."""
    if os.environ.get("QISKIT_IBM_TOKEN"):
        return True
    with contextlib.suppress(Exception):
        return bool(_saved())
    return False


def connect() -> Any:
    """Returns the runtime's service for the saved account or that of the environment.

    Raises:
        AccountError: There is no account, or it is refused.
        PlatformError: The platform cannot be reached.
    """
    try:
        from qiskit_ibm_runtime import QiskitRuntimeService
    except ImportError as error:
        raise RequestError("IBM Quantum needs the extra qfedfm[ibm]") from error
    if not has_account():
        raise AccountError(f"there is no IBM Quantum account: {HOW}")
    with speaking():
        service = QiskitRuntimeService(channel=CHANNEL)
    _send_once(service)
    return service


def _send_once(service: Any) -> None:
    """Keeps the client from sending again what a broken connection may have delivered.

    Behind a proxy urllib3 takes a connection that breaks after a POST for one that never stood, and sends the
    job a second time. Should the client change inside, :func:`qfedfm.quantum.ibm.platform.submit` still finds
    the second job by its tag and cancels it.
    """
    for client in getattr(service, "_api_clients", {}).values():
        for adapter in getattr(getattr(client, "_session", None), "adapters", {}).values():
            adapter.max_retries = adapter.max_retries.new(other=0)


_REFUSED = (
    "IBM Quantum refuses the token (wrong, expired, or without access to the instance): make a new API key "
    "on the platform and " + HOW
)


@contextlib.contextmanager
def speaking() -> Iterator[None]:
    """Turns what goes wrong while speaking with the platform into one sentence without secrets."""
    with quiet():
        failure: Exception
        try:
            yield
            return
        except (RequestError, RunError):
            raise
        except Exception as error:
            failure = translate(error)
    # From outside the handler: the client's exceptions hold the request with its headers.
    raise failure from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the client's warnings and log lines, which may quote the token, to itself."""
    logger = logging.getLogger("qiskit_ibm_runtime")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def translate(error: BaseException) -> Exception:
    """Returns an exception of ours for one of the client's: a sentence, no secrets, no chain."""
    status = next((code for link in _chain(error) if (code := _status(link)) is not None), -1)
    text = redact(" ".join(str(error).split()))[:400]
    kind = type(error).__name__
    words = " ".join(f"{type(link).__name__} {link}" for link in _chain(error))
    refused = "IBMNotAuthorizedError" in words or "BXNIM0415E" in words or "valid API token" in words
    if kind == "AccountNotFoundError":
        return AccountError(f"there is no IBM Quantum account: {HOW}")
    if "does not have access" in words and "instance" in words:
        return AccountError(
            "this token has no access to the instance that is set; set QISKIT_IBM_INSTANCE to a CRN of the "
            "same account, or leave it out"
        )
    if kind == "QiskitBackendNotFoundError":
        return RequestError("the account has no such backend; qfedfm ibm backends lists those it has")
    if kind in ("RuntimeJobFailureError", "RuntimeJobMaxTimeoutError", "RuntimeInvalidStateError"):
        return RunError(f"the job has no result: {text}")
    if status in (401, 403) or (refused and status not in (429, 500, 502, 503, 504)):
        return AccountError(_REFUSED)
    if status == 429:
        return PlatformError("IBM Quantum asks for fewer requests (429); wait a minute and try again", 429)
    if status >= 500:
        return PlatformError(f"IBM Quantum has a problem of its own ({status}); try again later", status)
    if status >= 400:
        return PlatformError(f"IBM Quantum refuses the request ({status}): {text}", status)
    if any(type(link).__module__.split(".")[0] in ("requests", "urllib3") for link in _chain(error)) or (
        kind == "RequestsApiError"
    ):
        return PlatformError(f"the connection to IBM Quantum broke: {text}; try again")
    return PlatformError(f"{kind}: {text}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "code"):
        found = getattr(error, name, None)
        if isinstance(found, int) and 100 <= found < 600:
            return found
    response = getattr(error, "response", None)
    found = getattr(response, "status_code", None)
    if isinstance(found, int):
        return found
    match = re.search(r"\b(\d{3}) (?:Client|Server) Error|too many (\d{3}) error responses", str(error))
    return int(match[1] or match[2]) if match else None
