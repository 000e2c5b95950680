"""The address of a store as it may be shown: without user, password or key."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_WEB_USER = re.compile(r"://[^/?#@\s]*@")
_DATABASE_USER = re.compile(r"://[^:/@\s]*(?::[^@]*)?@")  # as SQLAlchemy reads it
_SECRET = re.compile(r"(?i)([?&][^=&\s]*(?:pass|pwd|secret|token|key)[^=&\s]*=)[^&\s'\"]*")
_SHORTEST = 3  # letters of a password that is looked for in texts


def shown(uri: str) -> str:
    """A URI without user and password."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in ("sqlite", "file", ""):  # whose paths may hold an @
        return uri
    user = _WEB_USER if scheme in ("http", "https") else _DATABASE_USER
    return _SECRET.sub(r"\1***", user.sub("://", uri, count=1))


def hidden(text: str, uri: str) -> str:
    """A text, an error's say, without what :func:`shown` takes from ``uri``, or any other URI."""
    text = text.replace(uri, shown(uri))
    before, after = uri, shown(uri)
    if before != after:
        user = before[len(before.partition("://")[0]) + 3 :].rpartition("@")[0]
        password = user.partition(":")[2]
        for one in {password, unquote(password)}:
            if len(one) >= _SHORTEST:
                text = text.replace(one, "***")
    text = re.sub(r"(?<=://)[^/@\s'\"]*:[^/@\s'\"]*@", "", text)
    return _SECRET.sub(r"\1***", text)


def is_database(uri: str) -> bool:
    """Whether a URI is of a database server's."""
    return urlsplit(uri).scheme.startswith("postgres")
