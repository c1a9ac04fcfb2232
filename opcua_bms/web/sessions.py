"""Who is logged in at a browser. Pure: the time comes in (seconds, monotonic)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

IDLE_S, LONGEST_S = 2 * 3600.0, 12 * 3600.0
_MOST = 500


@dataclass(slots=True)
class Session:
    """One login; `csrf` must come with every request that changes something."""

    user: str
    csrf: str
    began_s: float
    seen_s: float


class Sessions:
    """Sessions by secret token; only hashes of tokens are kept. They end when idle, after a shift, or by logout."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, user: str, now_s: float) -> tuple[str, Session]:
        """A new token (for the cookie) and its session."""
        token = secrets.token_urlsafe(32)
        session = Session(user, secrets.token_urlsafe(32), now_s, now_s)
        self._sessions[_key(token)] = session
        while len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return token, session

    def find(self, token: str, now_s: float) -> Session | None:
        """The session of a token, while it lives."""
        session = self._sessions.get(_key(token))
        if session is None:
            return None
        if now_s - session.seen_s > IDLE_S or now_s - session.began_s > LONGEST_S:
            self.end(token)
            return None
        session.seen_s = now_s
        return session

    def end(self, token: str) -> None:
        """Forget it."""
        self._sessions.pop(_key(token), None)


def csrf_is_right(session: Session, presented: str) -> bool:
    """Whether a request comes from our own page."""
    return hmac.compare_digest(session.csrf.encode(), presented.encode())


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
