"""App tokens: credentials of the account that can be revoked one by one, with the rights that this tool needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from KalturaClient.Plugins.Core import KalturaAppToken, KalturaAppTokenHashType, KalturaSessionType

from kaltura_archiver.errors import KalturaError
from kaltura_archiver.kaltura.answers import field_text
from kaltura_archiver.kaltura.session import Session
from kaltura_archiver.redact import hide

# Without it, entries in private categories are not seen.
PRIVILEGES = "disableentitlement"


@dataclass(frozen=True)
class NewToken:
    id: str
    token: str = field(repr=False)


class AppTokens(Session):
    """The account's app tokens; whoever makes one has signed in with the admin secret. Raises KalturaError."""

    def add(self, description: str) -> NewToken:
        """A token whose sessions are an administrator's, as the user of the settings; it does not expire."""

        def call(client: Any) -> NewToken:
            wanted = KalturaAppToken(
                sessionType=KalturaSessionType.ADMIN,
                sessionUserId=self._settings.user_id or NotImplemented,
                sessionPrivileges=PRIVILEGES,
                hashType=KalturaAppTokenHashType.SHA256,
                description=description,
            )
            answer = client.appToken.add(wanted)
            return NewToken(field_text(answer.id), field_text(answer.token))

        made = self._call("add an app token", call, writes=True)
        hide(made.token)
        if not made.id or not made.token:
            raise KalturaError("add an app token: Kaltura does not say which it has made; look for it in the account")
        return made

    def delete(self, token_id: str) -> None:
        self._call("delete an app token", lambda c: c.appToken.delete(token_id), writes=True)
