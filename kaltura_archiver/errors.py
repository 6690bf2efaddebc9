"""The error families and their exit codes; every text is one line that says what is wrong and what to do."""

from __future__ import annotations

from enum import IntEnum

from kaltura_archiver.model.words import Cause, Outcome


class Exit(IntEnum):
    """What the process tells its caller (README, "Exit codes")."""

    OK = 0
    FAILED = 1
    USAGE = 2
    WAITING = 3
    LIMIT = 4
    LOCKED = 5
    INTERRUPTED = 130
    TERMINATED = 143


class ArchiverError(Exception):
    """Anything that this program says in one line; `exit_code` applies when it ends the whole run, `outcome` when it
    ends one entry."""

    exit_code = Exit.FAILED
    outcome = Outcome.FAILED


class ConfigError(ArchiverError):
    """Settings, credentials or the environment are missing or wrong."""

    exit_code = Exit.USAGE


class SelectionError(ArchiverError):
    """The selection criteria are missing, unreadable or contradict each other."""

    exit_code = Exit.USAGE


class ServiceError(ArchiverError):
    """A service answered with an error, or not at all. `retryable` is about the same call made again later."""

    def __init__(self, text: str, *, code: str = "", retryable: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.retryable = retryable


class KalturaError(ServiceError):
    """Kaltura refused, failed, or could not be reached. `code` is Kaltura's, empty when it never answered."""


class OddAnswer(KalturaError):
    """An answer about one object that cannot be understood: it costs that entry, not the run."""


class StoreError(ServiceError):
    """S3 refused, failed, or could not be reached. `code` is S3's."""


class DirectoryError(ServiceError):
    """The directory failed, or could not be reached. `code` is LDAP's result, empty when it never answered."""


class MailError(ServiceError):
    """The mail server failed, or could not be reached, for whatever message. `code` is SMTP's, if it answered."""


class InputError(ArchiverError):
    """A file or stdin does not hold what the command reads."""

    exit_code = Exit.USAGE


class OutputError(ArchiverError):
    """What is to be written cannot be: by default since another file has to be named, else since the disk is full."""

    def __init__(self, text: str, *, exit_code: Exit = Exit.USAGE) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class EntryFailed(ArchiverError):
    """This entry could not be brought to the goal; it was left in a named state."""


class Gone(EntryFailed):
    """There is no such entry, or none that this user may see."""


class Cancelled(EntryFailed):
    """Kaltura could not convert the new content; the replacement was cancelled and the old content is in place."""


class Changed(EntryFailed):
    """Somebody else changed the entry while it was being worked on: their change stands."""


class Refused(EntryFailed):
    """A person has to decide about this entry first; `cause` is what a summary counts it under."""

    exit_code = Exit.WAITING
    outcome = Outcome.REFUSED

    def __init__(self, text: str, cause: Cause | None = None) -> None:
        super().__init__(text)
        self.cause = cause


class Waiting(EntryFailed):
    """Nothing is wrong, but Glacier, a conversion or a person is not finished: run the command again later."""

    exit_code = Exit.WAITING
    outcome = Outcome.WAITING


class Locked(ArchiverError):
    """Another run of this command holds the lock."""

    exit_code = Exit.LOCKED


class Stopped(ArchiverError):
    """The process was asked to end (SIGINT, SIGTERM) and left the entry in a named state."""

    exit_code = Exit.INTERRUPTED
    outcome = Outcome.INTERRUPTED
