"""Kaltura's wire format: how a request is read and an answer is written (kaltura-api.md 1.1, 1.2)."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

# Code -> names of the arguments, message. The messages are the server's, for clients parse them.
ERRORS: dict[str, tuple[str, str]] = {
    "INTERNAL_SERVERL_ERROR": ("", "Internal server error occurred"),
    "INTERNAL_DATABASE_ERROR": ("", "Internal database error"),
    "SEARCH_ENGINE_QUERY_FAILED": ("", "Search engine query failed"),
    "LOCK_TIMED_OUT": ("", "Timed out while attempting to grab lock"),
    "FLAVOR_ASSET_ALREADY_EXISTS": (
        "ASSET_ID,PARAMS_ID",
        'Flavor asset id "@ASSET_ID@" already use flavor params id "@PARAMS_ID@"',
    ),
    "MISSING_KS": ("", "Missing KS, session not established"),
    "INVALID_KS": ("KSID,ERR_CODE,ERR_DESC", 'Invalid KS "@KSID@", Error "@ERR_CODE@,@ERR_DESC@"'),
    "SERVICE_NOT_SPECIFIED": ("", "Service name was not specified, please specify one"),
    "SERVICE_DOES_NOT_EXISTS": ("SRV_NAME", 'Service "@SRV_NAME@" does not exists'),
    "ACTION_NOT_SPECIFIED": ("", "Action name was not specified, please specify one"),
    "ACTION_DOES_NOT_EXISTS": (
        "ACTION_NAME,SERVICE_NAME",
        'Action "@ACTION_NAME@" does not exists for service "@SERVICE_NAME@"',
    ),
    "ACTION_BLOCKED": (
        "ACTION_NAME,SERVICE_NAME",
        'Action "@ACTION_NAME@" in service "@SERVICE_NAME@" is blocked',
    ),
    "SERVICE_FORBIDDEN_CONTENT_BLOCKED": (
        "",
        "The access to this service is forbidden since the specified partner is blocked",
    ),
    "SERVICE_FORBIDDEN": ("SERVICE", "The access to service [@SERVICE@] is forbidden"),
    "INVALID_PARAMETER_CHAR": ("XML_FIELD", 'Invalid char in "@XML_FIELD@" field'),
    "MISSING_MANDATORY_PARAMETER": ("PARAM_NAME", 'Missing parameter "@PARAM_NAME@"'),
    "OBJECT_TYPE_ABSTRACT": (
        "OBJ_TYPE",
        'The object type "@OBJ_TYPE@" is abstract, use one of the object implementations',
    ),
    "INVALID_OBJECT_TYPE": ("INVALID_OBJ_TYPE", 'Invalid object type "@INVALID_OBJ_TYPE@"'),
    "INVALID_ENUM_VALUE": (
        "ENUM_VAL,PARAM_NAME,ENUM_TYPE",
        'Invalid enumeration value "@ENUM_VAL@" for parameter "@PARAM_NAME@", expecting enumeration type "@ENUM_TYPE@"',
    ),
    "MUST_FILTER_ON_OBJECT_ID": ("", "Must filter on object id"),
    "PROPERTY_VALIDATION_CANNOT_BE_NULL": ("PROP_NAME", 'The property "@PROP_NAME@" cannot be null'),
    "PROPERTY_VALIDATION_NOT_UPDATABLE": ("PROP_NAME", 'The property "@PROP_NAME@" cannot be updated'),
    "PROPERTY_VALIDATION_ADMIN_PROPERTY": (
        "PROP_NAME",
        'The property "@PROP_NAME@" is updatable with admin session only',
    ),
    "PROPERTY_VALIDATION_ENTRY_STATUS": (
        "PROP_NAME,STATUS",
        'The property "@PROP_NAME@" cannot be set for entry status "@STATUS@"',
    ),
    "START_SESSION_ERROR": ("PID", "Error while starting session for partner [@PID@]"),
    "INVALID_WIDGET_ID": ("WIDGET_ID", "Unknown widget [@WIDGET_ID@]"),
    "APP_TOKEN_ID_NOT_FOUND": ("ID", 'Application token id "@ID@" not found'),
    "APP_TOKEN_NOT_ACTIVE": ("ID", 'Application token id "@ID@" not active'),
    "APP_TOKEN_EXPIRED": ("ID", 'Application token id "@ID@" expired'),
    "INVALID_APP_TOKEN_HASH": ("", "Invalid application token hash"),
    "ENTRY_ID_NOT_FOUND": ("ENTRY_ID", 'Entry id "@ENTRY_ID@" not found'),
    "ENTRY_ALREADY_WITH_CONTENT": ("", "Entry already associated with content"),
    "ENTRY_ID_NOT_REPLACED": ("ENTRY_ID", 'Entry id "@ENTRY_ID@" not replaced'),
    "ENTRY_REPLACEMENT_ALREADY_EXISTS": ("", "Entry already in replacement"),
    "FEATURE_RECYCLE_BIN_DISABLED": ("", "Feature recycle bin is disabled for partner"),
    "INVALID_ENTRY_STATUS_FOR_RECYCLE": ("", "The entry displayInStatus is invalid for recycle"),
    "INVALID_ENTRY_STATUS_FOR_RESTORE": ("", "Only entry in displayInStatus RECYCLED can be restored"),
    "INVALID_USER_ID": ("USER_ID", 'Invalid user id "@USER_ID@"'),
    "FEATURE_FORBIDDEN": ("FEATURE", "The usage of feature [@FEATURE@] is forbidden"),
    "RESOURCE_TYPE_NOT_SUPPORTED": ("RES_TYPE", 'Resource type "@RES_TYPE@" not supported'),
    "FILE_CONTENT_NOT_SECURE": ("", "File content is not secure"),
    "MAX_ASSETS_FOR_ENTRY_REACHED": ("ASSETS", 'Entry can contain maximum of "@ASSETS@" assets'),
    "FLAVOR_ASSET_ID_NOT_FOUND": ("ID", 'Flavor asset id "@ID@" not found'),
    "FLAVOR_ASSET_IS_NOT_READY": ("", "The flavor asset is not ready"),
    "ASSET_NOT_ALLOWED": ("ID", 'Flavor asset id "@ID@" not allowed'),
    "THUMB_ASSET_ID_NOT_FOUND": ("ID", 'The Thumbnail asset id "@ID@" not found'),
    "CATEGORY_NOT_FOUND": ("ID", 'Category id "@ID@" not found'),
    "UPLOADED_FILE_NOT_FOUND_BY_TOKEN": (
        "",
        "The uploaded file was not found by the given token id, or was already used",
    ),
    "UPLOAD_TOKEN_NOT_FOUND": ("", "Upload token not found"),
    "UPLOAD_TOKEN_INVALID_STATUS_FOR_UPLOAD": (
        "",
        "Upload token is in an invalid status for uploading a file, maybe the file was already uploaded",
    ),
    "UPLOAD_TOKEN_CANNOT_RESUME": ("", "Cannot resume the upload, original file was not found"),
    "UPLOAD_TOKEN_CANNOT_MATCH_EXPECTED_SIZE": ("", "Failed to match expected file size"),
    "UPLOAD_TOKEN_FILE_TYPE_RESTRICTED_FOR_UPLOAD": ("", "Upload token is restricted due to the file type"),
    "UPLOAD_TOKEN_MISSING_FILE_SIZE": ("", "FileSize is mandatory when enabling autoFinalize"),
    "UPLOAD_ERROR": ("", "Upload failed"),
    "MAX_ALLOWED_CHUNK_COUNT_EXCEEDED": (
        "",
        "Max allowed waiting chunks to be concatenated has exceeded allowed limit",
    ),
    "UPLOAD_PASSED_MAX_RESUME_TIME_ALLOWED": (
        "MAX_RESUME_TIME",
        "Max resume time of @MAX_RESUME_TIME@ seconds reached, cannot resume upload",
    ),
    "QUERY_EXCEEDED_MAX_MATCHES_ALLOWED": ("", "Unable to generate list. max matches value was reached"),
    "CRITERIA EXCEEDED MAX MATCHES ALLOWED": ("", "Unable to generate list. max matches value was reached"),
    "EMPTY SEARCH OPERATOR IS NOT ALLOWED": ("", "empty search operator is not allowed"),
    "EMPTY SEARCH ITEMS ARE NOT ALLOWED": ("", "empty search items are not allowed"),
    "MISSING OPERATOR TYPE": ("", "missing operator type"),
    "EMPTY SEARCH TERM IS NOT ALLOWED": (
        "FIELD,TYPE",
        " Empty search term is not allowed on Field [@FIELD@] and search type [@TYPE@]",
    ),
    "SEARCH_TYPE_NOT_ALLOWED_ON_FIELD": (
        "TYPE,FIELD",
        " Type of search [@TYPE@] not allowed on specific field [@FIELD@]",
    ),
    "OBJECTID AND OBJECTIDS NOT ALLOWED SIMULTANEOUSLY": (
        "",
        "objectId and objectIds are not allowed to use simultaneously",
    ),
}


class ApiError(Exception):
    """An API error as the server answers it: always with HTTP status 200."""

    def __init__(self, code: str, *values: object) -> None:
        names, template = ERRORS.get(code, ("", code))
        self.code = code
        self.args_by_name = dict(zip(names.split(","), map(str, values), strict=False)) if names else {}
        self.message = template
        for name, value in self.args_by_name.items():
            self.message = self.message.replace(f"@{name}@", value)
        super().__init__(f"{code}: {self.message}")


class MalformedRequest(Exception):
    """The body ended early, or is not what its headers say."""


@dataclass(frozen=True)
class PostedFile:
    """A file of a multipart request; `name` is the path as the client gave it."""

    name: str
    data: bytes

    def __repr__(self) -> str:
        return f"<{len(self.data)} bytes>"


@dataclass
class Call:
    """One service action with its parameters as parsed from a request."""

    service: str
    action: str
    parameters: dict[str, Any] = field(default_factory=dict)


_QUOTES = {'"': "&quot;", "'": "&#039;"}
_ILLEGAL_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def to_xml(value: Any, *, nulls: bool = True) -> str:
    """The content of an element: a mapping with `objectType` first is an object, any other mapping a map.

    With `nulls` an object has an empty ``relatedObjects``, too; a request with ``ignoreNull`` gets none.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return escape(value, _QUOTES) if value else ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Mapping):
        if "objectType" in value:
            parts = [f"<{name}>{to_xml(item, nulls=nulls)}</{name}>" for name, item in value.items()]
            if nulls:
                parts.insert(1, "<relatedObjects></relatedObjects>")
            return "".join(parts)
        return "".join(
            [f"<item><itemKey>{to_xml(key)}</itemKey>{to_xml(v, nulls=nulls)}</item>" for key, v in value.items()]
        )
    return "".join([f"<item>{to_xml(item, nulls=nulls)}</item>" for item in value])


def without_nulls(value: Any) -> Any:
    """The answer to a request with ``ignoreNull``; what is empty but not null stays."""
    if isinstance(value, Mapping):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, (list, tuple)) else value


def only_fields(value: Any, fields: frozenset[str]) -> Any:
    """The answer under a response profile: of the entries in it, the other fields are null."""
    if isinstance(value, (list, tuple)):
        return [only_fields(item, fields) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("objectType") == "KalturaMediaEntry":
        return {name: item if name in fields or name == "objectType" else None for name, item in value.items()}
    return {name: only_fields(item, fields) for name, item in value.items()}


def error_json(error: ApiError) -> dict[str, Any]:
    """An error in format 1: the bare object, its arguments as a map."""
    args = error.args_by_name
    return {"code": error.code, "message": error.message, "objectType": "KalturaAPIException", "args": args}


def error_xml(error: ApiError) -> str:
    args = "".join(
        f"<item><objectType>KalturaApiExceptionArg</objectType><name>{name}</name><value>{to_xml(value)}</value></item>"
        for name, value in error.args_by_name.items()
    )
    return (
        f"<error><code>{to_xml(error.code)}</code><message>{to_xml(error.message)}</message>"
        f"<objectType>KalturaAPIException</objectType><args>{args}</args></error>"
    )


def envelope(result: str, seconds: float) -> bytes:
    """The whole answer around a result that is XML already."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><xml><result>{result}</result>'
        f"<executionTime>{seconds:.6f}</executionTime></xml>"
    ).encode("utf-8", "replace")


def parse_body(content_type: str, body: bytes) -> dict[str, Any]:
    """The parameters of a request body, posted files among them.

    A JSON body counts only under exactly ``application/json``: with a charset behind it PHP leaves the body unread.
    """
    if content_type == "application/json":
        return _json_object(body)
    if content_type.startswith("multipart/form-data"):
        return _parse_multipart(content_type, body)
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return {}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _parse_multipart(content_type: str, body: bytes) -> dict[str, Any]:
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if not found:
        raise MalformedRequest("multipart without boundary")
    delimiter = b"\r\n--" + found.group(1).encode("latin-1")
    data = b"\r\n" + body if body.startswith(b"--") else body
    parameters: dict[str, Any] = {}
    at = data.find(delimiter)
    while at >= 0:
        start = at + len(delimiter)
        if data[start : start + 2] == b"--":
            return parameters
        end = data.find(delimiter, start)
        headers_end = data.find(b"\r\n\r\n", start)
        if end < 0 or headers_end < 0:
            break
        headers = data[start:headers_end].decode("utf-8", "replace")
        name = re.search(r'[; ]name="([^"]*)"', headers)
        filename = re.search(r'filename="([^"]*)"', headers)
        content = data[headers_end + 4 : end]
        if name and filename:
            parameters[name.group(1)] = PostedFile(filename.group(1), content)
        elif name and name.group(1) == "json":
            parameters |= _json_object(content)
        elif name:
            parameters[name.group(1)] = content.decode("utf-8", "replace")
        at = end
    raise MalformedRequest("multipart without an end")


def split_url(target: str) -> tuple[str, str, dict[str, Any]]:
    """Service, action and parameters of an API URL: pairs of its path, then its query."""
    path, _, query = target.partition("?")
    parts = [urllib.parse.unquote(part) for part in path.split("/") if part]
    if parts and parts[0] == "api_v3":
        parts = parts[1:]
    if parts and parts[0] == "index.php":
        parts = parts[1:]
    pairs: dict[str, Any] = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    pairs |= dict(zip(parts[::2], [*parts[1::2], ""], strict=False))
    return str(pairs.pop("service", "")), str(pairs.pop("action", "")), pairs


def check_characters(value: Any, name: str = "") -> None:
    """Raises INVALID_PARAMETER_CHAR for a string that XML cannot carry."""
    if isinstance(value, str):
        if _ILLEGAL_IN_XML.search(value):
            raise ApiError("INVALID_PARAMETER_CHAR", name)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_characters(item, key)
    elif isinstance(value, list):
        for item in value:
            check_characters(item, name)


def as_int(value: Any, default: int = 0) -> int:
    """As PHP's intval: the leading digits, else 0; `default` where nothing was sent."""
    if value is None or value == "":
        return default
    found = re.match(r"\s*[-+]?\d+", str(value))
    return int(found.group()) if found else 0


def as_bool(value: Any, default: bool = False) -> bool:
    if value is None:
        return default
    return str(value).strip().lower() not in ("false", "0", "")


def items_of(value: Any) -> list[Any]:
    """The elements of an array parameter; an empty one arrives as ``{"-": ""}``, PHP-style ones as ``{"0": …}``."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value[key] for key in sorted((k for k in value if k.isdigit()), key=int)]
    return []


def split_csv(value: Any) -> list[str]:
    return [part.strip() for part in str(value or "").split(",") if part.strip()]
