"""Sessions of browsers: secrets, ends, and the token that only our page knows."""

from __future__ import annotations

from opcua_bms.web.sessions import IDLE_S, LONGEST_S, Sessions, csrf_is_right


def test_a_session_ends_when_idle_after_a_shift_and_by_logout() -> None:
    """A forgotten browser must not stay logged in for good."""
    sessions = Sessions()
    token, session = sessions.begin("ops", 0.0)
    assert sessions.find(token, IDLE_S) is session
    assert sessions.find(token, 2 * IDLE_S + 1) is None
    token, _ = sessions.begin("ops", 0.0)
    now_s = 0.0
    while now_s <= LONGEST_S:
        assert sessions.find(token, now_s) is not None
        now_s += IDLE_S / 2
    assert sessions.find(token, LONGEST_S + 1) is None
    token, _ = sessions.begin("ops", 0.0)
    sessions.end(token)
    assert sessions.find(token, 1.0) is None


def test_tokens_are_secret_and_bounded() -> None:
    """Memory is bounded, a token is long and never kept, and csrf is compared whole."""
    sessions = Sessions()
    tokens = [sessions.begin("ops", 0.0)[0] for _ in range(600)]
    assert len(set(tokens)) == 600
    assert min(map(len, tokens)) >= 43
    assert sessions.find(tokens[0], 1.0) is None, "the oldest made room"
    session = sessions.find(tokens[-1], 1.0)
    assert session is not None
    assert tokens[-1] not in repr(vars(sessions))
    assert csrf_is_right(session, session.csrf)
    assert not csrf_is_right(session, session.csrf[:-1])
    assert not csrf_is_right(session, "")
