"""The key delivery interface ETSI GS QKD 014 V1.1.1, as a web application over a key store.

The caller's identity is the common name of its TLS certificate, which :mod:`key_manager_server` reads;
nothing that a request says about its sender is believed.
"""

# FastAPI reads annotations at run time: no ``from __future__ import annotations`` here.

import base64
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.store import KeyStore, NoKeysError, StoredKey, UsedKeyError

SAE = "sae"
"""Under this name the server puts the caller's identity into a request's state."""


class EncKeys(BaseModel):
    """The body of ``POST enc_keys``."""

    model_config = ConfigDict(extra="ignore", strict=True)
    number: int = 1
    size: int | None = None
    additional_slave_SAE_IDs: list[str] = Field(default_factory=list)


class KeyId(BaseModel):
    """One key's name."""

    key_ID: Annotated[str, Field(min_length=1, max_length=64)]


class DecKeys(BaseModel):
    """The body of ``POST dec_keys``."""

    key_IDs: Annotated[list[KeyId], Field(min_length=1)]


class _Refused(Exception):
    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def application(store: KeyStore, pairs: Sequence[tuple[str, str]], names: tuple[str, str]) -> FastAPI:
    """Returns the application.

    Args:
        store: Where keys lie.
        pairs: Which applications share a link.
        names: (source_KME_ID, target_KME_ID).
    """
    app = FastAPI(title="ETSI GS QKD 014 key delivery", docs_url=None, redoc_url=None, openapi_url=None)
    linked = {frozenset(pair) for pair in pairs}

    def caller(request: Request, other: str) -> str:
        sae = getattr(request.state, SAE, None)
        if not isinstance(sae, str) or frozenset((sae, other)) not in linked:
            raise _Refused(401, "this certificate's SAE shares no link with the SAE in the path")
        return sae

    @app.get("/api/v1/keys/{slave}/status")
    def status(request: Request, slave: str) -> dict[str, Any]:
        master, limits = caller(request, slave), store.limits
        return {
            "source_KME_ID": names[0],
            "target_KME_ID": names[1],
            "master_SAE_ID": master,
            "slave_SAE_ID": slave,
            "key_size": limits.key_size,
            "stored_key_count": store.stored_key_count(master, slave),
            "max_key_count": limits.max_key_count,
            "max_key_per_request": limits.max_key_per_request,
            "max_key_size": limits.max_key_size,
            "min_key_size": limits.min_key_size,
            "max_SAE_ID_count": limits.max_sae_id_count,
        }

    def draw(master: str, slave: str, wanted: EncKeys) -> dict[str, Any]:
        more = wanted.additional_slave_SAE_IDs
        if len(more) > store.limits.max_sae_id_count:
            raise _Refused(400, f"additional_slave_SAE_IDs: at most {store.limits.max_sae_id_count}")
        for other in more:
            if frozenset((master, other)) not in linked:
                raise _Refused(400, f"additional_slave_SAE_IDs: {other} shares no link with {master}")
        slaves = list(dict.fromkeys([slave, *more]))
        return _container(store.draw(master, slaves, wanted.number, wanted.size))

    @app.get("/api/v1/keys/{slave}/enc_keys")
    def get_enc(request: Request, slave: str, number: int = 1, size: int | None = None) -> dict[str, Any]:
        return draw(caller(request, slave), slave, EncKeys(number=number, size=size))

    @app.post("/api/v1/keys/{slave}/enc_keys")
    def post_enc(request: Request, slave: str, wanted: EncKeys) -> dict[str, Any]:
        return draw(caller(request, slave), slave, wanted)

    @app.get("/api/v1/keys/{master}/dec_keys")
    def get_dec(request: Request, master: str, key_ID: str) -> dict[str, Any]:
        return _container(store.fetch(master, caller(request, master), [key_ID]))

    @app.post("/api/v1/keys/{master}/dec_keys")
    def post_dec(request: Request, master: str, wanted: DecKeys) -> dict[str, Any]:
        slave = caller(request, master)
        return _container(store.fetch(master, slave, [entry.key_ID for entry in wanted.key_IDs]))

    _errors(app)
    return app


def _errors(app: FastAPI) -> None:
    def answer(code: int, sentence: str) -> JSONResponse:
        return JSONResponse({"message": sentence}, status_code=code)

    @app.exception_handler(_Refused)
    def refused(_: Request, error: _Refused) -> JSONResponse:
        return answer(error.code, str(error))

    @app.exception_handler(RequestError)
    def wrong(_: Request, error: RequestError) -> JSONResponse:
        return answer(400, str(error))

    @app.exception_handler(UsedKeyError)
    def used(_: Request, error: UsedKeyError) -> JSONResponse:
        return answer(400, str(error))

    @app.exception_handler(NoKeysError)
    def empty(_: Request, error: NoKeysError) -> JSONResponse:
        return answer(503, str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return answer(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _container(keys: list[StoredKey]) -> dict[str, Any]:
    return {"keys": [{"key_ID": key.key_id, "key": base64.b64encode(key.key).decode()} for key in keys]}
