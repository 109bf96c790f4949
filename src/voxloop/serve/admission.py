"""Who is let in: the host asked for, the token, and the site a request comes from."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from voxloop.serve.settings import ServeSettings

__all__ = ["READING", "Refusal", "admit", "headers_of"]

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

_OWN_SITE = frozenset({"same-origin", "none"})
"""`none`: the person typed the address."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let in.

    Attributes:
        status: of HTTP.
        detail: for the person.
    """

    status: int
    detail: str


def headers_of(raw: list[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The headers by lower-case name; of one that comes twice all values, joined by commas."""
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def admit(
    settings: ServeSettings, method: str, path: str, headers: Mapping[str, str]
) -> Refusal | None:
    """None if a request may go on to the application.

    Args:
        settings: of the server.
        method: of HTTP.
        path: as asked for, with the base path.
        headers: by lower-case name.
    """
    host = headers.get("host", "")
    if not settings.answers_to(_without_port(host)):
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
    if not _has_token(settings, path):
        return Refusal(
            HTTPStatus.UNAUTHORIZED, "open the address that `voxloop serve` printed, token included"
        )
    if _from_other_site(method, host, headers):
        return Refusal(HTTPStatus.FORBIDDEN, "requests from pages of other sites are refused")
    return None


def _without_port(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _has_token(settings: ServeSettings, path: str) -> bool:
    if settings.token is None:
        return True
    _, _, rest = path.partition("/t/")
    given = rest.partition("/")[0] if path.startswith("/t/") else ""
    # in constant time: nobody learns a token letter by letter
    return hmac.compare_digest(given.encode(), settings.token.encode())


def _from_other_site(method: str, host: str, headers: Mapping[str, str]) -> bool:
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and urlsplit(origin).netloc.lower() != host.strip().lower():
        return True
    if site is None or site in _OWN_SITE:
        return False
    # a link in a mail may lead here; a picture or a script of another page may not
    return method not in READING or headers.get("sec-fetch-mode") != "navigate"
