"""How the server is reached and what it takes, valid from birth."""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass, field

from voxloop.errors import UsageError

__all__ = ["ServeSettings", "is_loopback", "new_token"]

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def new_token() -> str:
    """A secret of 192 random bits that fits into an address."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class ServeSettings:
    """Settings of one server.

    Attributes:
        host: address or name to bind to.
        port: TCP port, 0 for any that is free.
        token: part of every address, so that only who was given it gets in; None for no such
            part, which is allowed on loopback only.
        names: further host names by which browsers may reach the server, in lower case.
        max_body_bytes: of a request's body.
        max_json_bytes: of a body of JSON, which is held in memory.
        head_timeout_s: within which a request says what it wants.
        body_timeout_s: how long a body may stand still.
        min_body_rate: bytes per second that a body must come with on the average, once it has
            taken longer than `body_timeout_s`.
        max_image_voxels: of one answer with an image.
        lease_s: how long a query stays with somebody of whom nothing is heard.

    Raises:
        UsageError: if a value cannot be, or others than this computer could reach the server
            without a token.
    """

    host: str = "127.0.0.1"
    port: int = 8571
    token: str | None = field(default_factory=new_token, repr=False)
    names: tuple[str, ...] = ()
    max_body_bytes: int = 512 << 20
    max_json_bytes: int = 32 << 20
    head_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    min_body_rate: float = 16 << 10
    max_image_voxels: int = 300_000_000
    lease_s: float = 900.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"ports are from 0 to 65535, not {self.port}")
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"without a token only this computer may reach the server: bind to 127.0.0.1, not "
                f"to {self.host}, or leave --no-token away"
            )
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError("a token has 16 to 200 letters, digits, '-' and '_'")
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise UsageError(f"host names are like lab.example.org, not {name!r}")
        limits = (self.max_body_bytes, self.max_json_bytes, self.max_image_voxels)
        times = (self.head_timeout_s, self.body_timeout_s, self.lease_s)
        if min(limits) <= 0 or min(*times, self.min_body_rate) <= 0:
            raise UsageError("the server's limits are above zero")

    @property
    def base_path(self) -> str:
        """What every address begins with after the host; no slash at its end."""
        return "" if self.token is None else f"/t/{self.token}"

    def url(self, port: int | None = None) -> str:
        """The address of the page.

        Args:
            port: that was bound, where any was asked for.
        """
        host = "127.0.0.1" if self.host in {"", "0.0.0.0"} else self.host  # noqa: S104 # said, not bound
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port if port is None else port}{self.base_path}/"

    def answers_to(self, host: str) -> bool:
        """True if a request with this host (no port) is meant for this server.

        A name that somebody else's DNS points here is not among those. An address that is no name
        cannot be pointed anywhere, so it is fine where the server is bound to more than loopback.

        Args:
            host: of the Host header, in lower case, without brackets.
        """
        if host in {*_LOOPBACK_NAMES, *self.names, self.host.lower()}:
            return True
        return not is_loopback(self.host) and _is_address(host)


def is_loopback(host: str) -> bool:
    """True if nobody outside of this computer can reach what is bound to `host`."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
