"""A client of ETSI GS QKD 014: any key manager, simulated or in a laboratory, by its URL."""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from qfedfm.core.errors import RequestError, RunError
from qfedfm.security.certificates import Files, client_context
from qfedfm.security.qkd.store import NoKeysError, StoredKey, UsedKeyError


class RefusedIdentityError(RequestError):
    """The key manager does not let this certificate ask for keys of that link (401)."""


class KeyManagerClient:
    """One application's connection to its key manager.

    Args:
        url: ``https://host:port``.
        identity: The application's certificate; its common name is the SAE id.
        authority: The authority that signed the key manager's certificate.
        timeout: Seconds to wait for an answer.
    """

    def __init__(self, url: str, identity: Files, authority: Path, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise RequestError(f"{url}: a key manager's URL begins with https:// and names a host")
        self._host, self._port = parts.hostname, parts.port or 443
        self._base = parts.path.rstrip("/")
        self._context = client_context(identity, authority)
        self._timeout = timeout

    def status(self, slave: str) -> dict[str, Any]:
        """Returns the status of the link to ``slave``.

        Raises:
            RefusedIdentityError: The certificate's SAE shares no link with the other (401).
            RunError: The key manager does not answer, or not as it should.
        """
        return self._ask("GET", f"{quote(slave, safe='')}/status")

    def enc_keys(
        self, slave: str, number: int = 1, size: int | None = None, additional: Sequence[str] = ()
    ) -> list[StoredKey]:
        """Returns new keys shared with ``slave``.

        Raises:
            NoKeysError: The key manager has none (503).
        """
        body: dict[str, Any] = {"number": number}
        if size is not None:
            body["size"] = size
        if additional:
            body["additional_slave_SAE_IDs"] = list(additional)
        return _keys(self._ask("POST", f"{quote(slave, safe='')}/enc_keys", body))

    def dec_keys(self, master: str, key_ids: Sequence[str]) -> list[StoredKey]:
        """Returns the keys that ``master`` drew, by their ids.

        Raises:
            UsedKeyError: One was delivered before or is unknown.
        """
        body = {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]}
        try:
            return _keys(self._ask("POST", f"{quote(master, safe='')}/dec_keys", body))
        except RefusedIdentityError:
            raise
        except RequestError as error:
            raise UsedKeyError(str(error)) from error

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._context
        )
        try:
            payload = None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json"} if payload else {}
            connection.request(method, f"{self._base}/api/v1/keys/{path}", payload, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, ssl.SSLError, http.client.HTTPException) as error:
            raise RunError(
                f"the key manager at {self._host}:{self._port} does not answer: {error}"
            ) from error
        finally:
            connection.close()
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise RunError(f"the key manager answers {response.status} without JSON") from error
        if response.status == 200 and isinstance(answer, dict):
            return answer
        said = answer.get("message", "") if isinstance(answer, dict) else ""
        sentence = f"the key manager answers {response.status}: {said}"
        if response.status == 503:
            raise NoKeysError(sentence)
        if response.status == 401:
            raise RefusedIdentityError(sentence)
        if response.status == 400:
            raise RequestError(sentence)
        raise RunError(sentence)


def _keys(answer: dict[str, Any]) -> list[StoredKey]:
    try:
        return [
            StoredKey(str(entry["key_ID"]), base64.b64decode(entry["key"], validate=True))
            for entry in answer["keys"]
        ]
    except (KeyError, TypeError, binascii.Error) as error:
        raise RunError("the key manager's answer is not a list of keys") from error
