"""Reading ``redis://`` URLs and their relatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from taskq.errors import ConfigError

if TYPE_CHECKING:
    import ssl

_FORM = (
    "redis://[user][:password@]host[:port][/db], rediss:// the same with TLS, "
    "or unix://[user:password@]/path.sock[?db=N]"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to get in. The password is not part of its repr."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    """Of a unix socket; then host and port do not matter."""
    db: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_cert_reqs: str = "required"
    ssl_check_hostname: bool = True
    socket_timeout: float | None = None
    socket_connect_timeout: float | None = None
    client_name: str = "taskq"
    prefix: str | None = None

    @property
    def url(self) -> str:
        """For people: without the password."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        if self.path is not None:
            return f"unix://{user}{quote(self.path)}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{user}{host}:{self.port}/{self.db}"

    @property
    def name(self) -> str:
        """What to call the server in a message."""
        return self.path if self.path is not None else f"{self.host}:{self.port}"

    def ssl_context(self) -> ssl.SSLContext:
        """
        :raises ConfigError: a certificate or a key cannot be read.
        """
        import ssl  # 5 MB, for those who use TLS

        context = ssl.create_default_context()
        context.check_hostname = self.ssl_check_hostname and self.ssl_cert_reqs == "required"
        context.verify_mode = {
            "none": ssl.CERT_NONE,
            "optional": ssl.CERT_OPTIONAL,
            "required": ssl.CERT_REQUIRED,
        }[self.ssl_cert_reqs]
        try:
            if self.ssl_ca_certs:
                context.load_verify_locations(cafile=self.ssl_ca_certs)
            if self.ssl_certfile:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"the TLS files of {self.url} cannot be used ({error}); ssl_ca_certs, "
                f"ssl_certfile and ssl_keyfile name files in PEM form"
            ) from error
        return context


def parse(url: str) -> Address:
    """
    :raises ConfigError: it says what is wrong and what would be right, and never shows the URL
        itself, for that may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(f"the Redis URL cannot be read; the form is {_FORM}") from None
    if parts.scheme not in ("redis", "rediss", "valkey", "valkeys", "unix"):
        raise ConfigError(f"a Redis URL begins with redis://, rediss:// or unix://: {_FORM}")
    if parts.fragment:
        raise ConfigError(
            f"the Redis URL has a '#': within a password it is written as %23; the form is {_FORM}"
        )
    options = _options(parts.query)
    try:
        port = parts.port
    except ValueError:
        raise ConfigError(
            f"the port of the Redis URL is not a number from 0 to 65535 (a password with "
            f"'@', ':', '/' or '#' in it has to be percent-encoded); the form is {_FORM}"
        ) from None
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        if not parts.path or parts.hostname:
            raise ConfigError("a unix URL holds an absolute path: unix:///run/redis.sock?db=0")
        return Address(path=unquote(parts.path), user=user, password=password, **options)
    db = parts.path.strip("/")
    if db:
        if "db" in options:
            raise ConfigError("the Redis URL names the database twice: in its path and as db=")
        options["db"] = _number("the database (after the host)")(db)
    return Address(
        host=unquote(parts.hostname) if parts.hostname else "localhost",
        port=port or 6379,
        user=user,
        password=password,
        tls=parts.scheme in ("rediss", "valkeys"),
        **options,
    )


def _number(name: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise ConfigError(f"{name} of a Redis URL is a whole number such as 0, not {text!r}")
        return int(text)

    return read


def _seconds(name: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < 1e6:
            raise ConfigError(f"{name} of a Redis URL is a number of seconds above 0, not {text!r}")
        return value

    return read


def _yes(name: str) -> Callable[[str], bool]:
    def read(text: str) -> bool:
        known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in known:
            raise ConfigError(f"{name} of a Redis URL is true or false, not {text!r}")
        return known[text.lower()]

    return read


def _requirement(text: str) -> str:
    if text not in ("none", "optional", "required"):
        raise ConfigError(f"ssl_cert_reqs is none, optional or required, not {text!r}")
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "db": _number("db"),
    "prefix": str,
    "client_name": str,
    "socket_timeout": _seconds("socket_timeout"),
    "socket_connect_timeout": _seconds("socket_connect_timeout"),
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_cert_reqs": _requirement,
    "ssl_check_hostname": _yes("ssl_check_hostname"),
}
assert set(_READERS) <= {each.name for each in fields(Address)}


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _READERS:
            raise ConfigError(
                f"a Redis URL has no option {name!r}; known: {', '.join(sorted(_READERS))}"
            )
        found[name] = _READERS[name](text)
    return found
