"""What boto3 knows of S3 is read and worked out once for a process, not by every run of the tool in it.

Nothing of an account, an address or a connection is shared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from botocore.client import ClientCreator
from botocore.compat import accepts_kwargs
from botocore.endpoint_provider import EndpointProvider
from botocore.errorfactory import ClientExceptionsFactory
from botocore.hooks import EventAliaser
from botocore.loaders import create_loader
from botocore.model import ServiceModel


def _shared(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The same result for the same arguments; boto3's own constants count by identity."""
    made: dict[tuple[Any, ...], tuple[Any, list[Any]]] = {}

    def make(*arguments: Any, **named: Any) -> Any:
        given = [*arguments, *named.values()]
        key = tuple(id(value) if isinstance(value, dict | set) else value for value in given)
        if key not in made:
            made[key] = factory(*arguments, **named), given  # kept, so that an id stays theirs
        return made[key][0]

    return make


@contextmanager
def shared_work() -> Iterator[None]:
    """Until the end of this."""

    def with_shared_aliases(self: EventAliaser, *arguments: Any, **named: Any) -> None:
        plain_aliaser(self, *arguments, **named)
        self._alias_name_cache = aliases

    def shared_class(self: ClientCreator, service_name: str, service_model: ServiceModel) -> type:
        # What a session adds to the classes of its clients, as boto3's do, is of that session alone.
        event = f"creating-client-class.{service_model.service_id.hyphenize()}"
        key = service_name, tuple(self._event_emitter._emitter._handlers.prefix_search(event))
        if key not in classes:
            classes[key] = plain_class(self, service_name, service_model)
        return classes[key]

    aliases: dict[str, str] = {}
    classes: dict[tuple[str, tuple[Any, ...]], type] = {}
    plain_class = ClientCreator._create_client_class
    plain_aliaser = EventAliaser.__init__
    exceptions = ClientExceptionsFactory()
    takes_keywords = functools.lru_cache(maxsize=1024)(accepts_kwargs)
    instead = {
        "botocore.session.create_loader": functools.cache(create_loader),
        "botocore.session.ClientExceptionsFactory": lambda: exceptions,
        "botocore.client.ServiceModel": _shared(ServiceModel),
        "botocore.client.ClientCreator._create_client_class": shared_class,
        "botocore.regions.EndpointProvider": _shared(EndpointProvider),
        "botocore.hooks.EventAliaser.__init__": with_shared_aliases,
        "botocore.hooks.accepts_kwargs": lambda handler: takes_keywords(getattr(handler, "__func__", handler)),
    }
    with ExitStack() as stack:
        for name, value in instead.items():
            stack.enter_context(patch(name, value))
        yield
