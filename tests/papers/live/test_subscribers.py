"""Subscribe, confirm, unsubscribe: who holds which token, and for how long."""

from __future__ import annotations

import pytest
from live_parts import NOW, join
from sqlalchemy import select

from parsimony.core.errors import InputError
from parsimony.papers.live import subscribers, tokens
from parsimony.papers.live.database import Database, Subscriber, Token

TWO_DAYS = subscribers.CONFIRM_WITHIN


def test_nobody_is_subscribed_before_confirming(database: Database) -> None:
    token = subscribers.subscribe(database, "a@example.org", NOW)
    assert token is not None and subscribers.count(database) == 0
    assert subscribers.confirm(database, token, NOW + 60)
    assert subscribers.count(database) == 1
    assert subscribers.confirm(database, token, NOW + 120)  # a second click is no error
    assert subscribers.subscribe(database, "A@Example.org", NOW + 180) is None


def test_only_hashes_of_tokens_are_kept(database: Database) -> None:
    token = subscribers.subscribe(database, "a@example.org", NOW)
    with database.session() as session:
        [kept] = session.scalars(select(Token))
    assert token is not None and len(token) == 43
    assert kept.hash == tokens.hashed(token) and token not in str(vars(kept))


@pytest.mark.parametrize("token", ["", "x", "' OR 1=1", "A" * 43])
def test_other_tokens_do_nothing(database: Database, token: str) -> None:
    subscribers.subscribe(database, "a@example.org", NOW)
    assert not subscribers.confirm(database, token, NOW)
    assert not subscribers.unsubscribe(database, token, NOW)


def test_a_token_is_for_one_purpose(database: Database) -> None:
    token = subscribers.subscribe(database, "a@example.org", NOW)
    assert token is not None and not subscribers.unsubscribe(database, token, NOW)
    assert subscribers.known(database, "confirm", token, NOW)


def test_tokens_and_unconfirmed_addresses_expire(database: Database) -> None:
    token = subscribers.subscribe(database, "a@example.org", NOW)
    assert token is not None and not subscribers.confirm(database, token, NOW + TWO_DAYS)
    subscribers.subscribe(database, "b@example.org", NOW + TWO_DAYS)
    with database.session() as session:
        assert [s.address for s in session.scalars(select(Subscriber))] == ["b@example.org"]
        assert len(list(session.scalars(select(Token)))) == 1


def test_unsubscribing_forgets_the_address_and_its_tokens(database: Database) -> None:
    join(database, "a@example.org", "b@example.org")
    token = tokens.new()
    with database.session() as session:
        subscriber = session.scalar(select(Subscriber.id).order_by(Subscriber.id))
        assert subscriber is not None
        tokens.keep(session, token, "unsubscribe", subscriber, NOW + 60)
    assert subscribers.unsubscribe(database, token, NOW)
    assert not subscribers.unsubscribe(database, token, NOW)
    with database.session() as session:
        assert [s.address for s in session.scalars(select(Subscriber))] == ["b@example.org"]
        assert len(list(session.scalars(select(Token)))) == 1  # b's own


def test_what_is_no_address_is_refused(database: Database) -> None:
    with pytest.raises(InputError) as caught:
        subscribers.subscribe(database, "a@example.org\nBcc: b@example.org", NOW)
    assert str(caught.value).startswith(
        "a mail address must look like name@example.org, in plain letters, but got 'a@exam"
    )
