"""Ask Sentinels which server is the primary now. They promote replicas, and Rome follows."""

from __future__ import annotations

from dataclasses import replace

from redis import exceptions
from redis.sentinel import MasterNotFoundError, Sentinel

from rome.errors import StoreBusyError
from rome.store.redis.failures import translate
from rome.store.redis.settings import RedisSettings


def ask_sentinels(settings: RedisSettings) -> RedisSettings:
    """The settings with the primary's address in place of the Sentinels'.

    Raises:
        StoreBusyError: no Sentinel that answers knows a primary that is up.
        AuthenticationError, StoreUnavailableError: the Sentinels refuse the user, or do not answer.

    Cost: two or three round trips to the first Sentinel that answers.
    """
    assert settings.sentinel is not None
    arguments = {
        "socket_timeout": settings.connect_timeout_s,
        "socket_connect_timeout": settings.connect_timeout_s,
        "username": settings.sentinel_username,
        "password": settings.sentinel_password,
        **({"ssl": True, **settings.tls} if settings.tls is not None else {}),
    }
    sentinels = Sentinel(settings.sentinels, sentinel_kwargs=arguments)  # type: ignore[no-untyped-call]
    try:
        host, port = sentinels.discover_master(settings.sentinel)  # type: ignore[no-untyped-call]
    except MasterNotFoundError as error:
        raise StoreBusyError(
            f"no Sentinel of {settings.server} answers and knows a primary of {settings.sentinel!r} that is up; see "
            "that they can be reached there, and that ssl=true is in the URL if they speak TLS, and only then"
        ) from error
    except exceptions.RedisError as error:
        raise translate(error, settings.server) from error
    finally:
        for each in sentinels.sentinels:  # redis-py 6 does not close them itself
            each.close()
    return replace(settings, host=host, port=port, sentinel=None)
