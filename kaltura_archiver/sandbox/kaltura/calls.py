"""One call or several in one request: who may make it, what goes wrong with it, what it answers."""

from __future__ import annotations

import json
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

from kaltura_archiver.sandbox.control import Fault, Request
from kaltura_archiver.sandbox.kaltura.actions import Action
from kaltura_archiver.sandbox.kaltura.answers_of_files import Unanswered, flipped_bytes
from kaltura_archiver.sandbox.kaltura.sessions import ADMIN, KalturaSession, session_hash
from kaltura_archiver.sandbox.kaltura.wire import (
    ERRORS,
    ApiError,
    Call,
    PostedFile,
    as_bool,
    check_characters,
    error_json,
    error_xml,
    only_fields,
    split_csv,
    to_xml,
    without_nulls,
)

if TYPE_CHECKING:
    from kaltura_archiver.sandbox.kaltura.server import KalturaServer


_BEFORE_ACTING = ("drop_before", "http_500", "http_503", "empty")
_UNLOGGED = {"ks", "kalsig", "secret", "tokenHash", "clientTag", "apiVersion", "format", "service", "action", "session"}
_COMMON = ("ks", "clientTag", "apiVersion", "partnerId", "format", "ignoreNull", "responseProfile")
_REFERENCE = re.compile(r"\{(\d+):result((?::[^{}:]+)*)\}")


def run_action(owner: KalturaServer, call: Call) -> tuple[Any, Fault | None]:
    """Do one action: its answer or an ApiError, and the fault for the way back."""
    p = call.parameters
    try:
        action = owner.services.find(call.service, call.action)
        name, subject, writes = action.operation, str(p.get(action.subject, "")), action.writes
        if not subject and isinstance(p.get("filter"), dict):
            subject = str(p["filter"].get("entryIdEqual") or p["filter"].get("entryIdIn") or "")
    except ApiError as error:
        owner.control.begin("kaltura", f"{call.service}.{call.action}", writes=True, parameters=_loggable(p))
        return error, None
    ks = str(p.get("ks") or "")
    request, fault = owner.control.begin(
        "kaltura", name, subject=subject, writes=writes, parameters=_loggable(p), session=session_hash(ks)
    )
    if fault and fault.kind in _BEFORE_ACTING:
        raise Unanswered(fault)
    if fault and fault.kind == "flip" and isinstance(p.get("fileData"), PostedFile):
        p["fileData"] = PostedFile(p["fileData"].name, flipped_bytes(p["fileData"].data))
    result: Any = None
    try:
        if fault and fault.kind == "error":
            raise _named_error(fault, request)
        with owner.library.lock:
            owner.refresh()
            for needed in action.needs:
                if needed not in p:
                    raise ApiError("MISSING_MANDATORY_PARAMETER", needed)
            check_characters(p)
            session = _session(owner, action, ks)
            try:
                result = action.handler(session, p)
            finally:
                owner.index.commit()
    except ApiError as error:
        result = error
    except (TypeError, ValueError, KeyError, AttributeError):
        # As the service answers parameters of a shape it does not expect; printed, for it may be the sandbox's fault.
        traceback.print_exc(file=sys.stderr)
        result = ApiError("INTERNAL_SERVERL_ERROR")
    if fault and fault.after:
        fault.after(request)
    return result, fault


def _session(owner: KalturaServer, action: Action, ks: str) -> KalturaSession:
    """Who asks. A KS is looked at wherever one is sent, but by `session.start`; ApiError for who may not ask this."""
    nobody = KalturaSession("", owner.partner_id, "", 0, 0, ())
    if action.ignores_ks or (action.public and not ks):
        return nobody
    if not ks and not action.anyone:
        raise ApiError("SERVICE_FORBIDDEN", action.full_name)
    session = owner.sessions.check(ks) if ks else nobody
    if session.widget and not (action.public or action.widget or action.anyone):
        raise ApiError("SERVICE_FORBIDDEN", action.full_name)
    if action.admin and session.type != ADMIN:
        raise ApiError("SERVICE_FORBIDDEN", action.full_name)
    return session


def wants_json(parameters: dict[str, Any]) -> bool:
    return str(parameters.get("format", "")) == "1"


def on_the_wire(result: Any, parameters: dict[str, Any]) -> str:
    """One result on the wire: XML, or the whole answer in JSON."""
    if isinstance(result, ApiError):
        return json.dumps(error_json(result)) if wants_json(parameters) else error_xml(result)
    profile = parameters.get("responseProfile")
    if isinstance(profile, dict) and profile.get("fields"):
        result = only_fields(result, frozenset(split_csv(profile["fields"])))
    if wants_json(parameters):
        return json.dumps(without_nulls(result))
    if as_bool(parameters.get("ignoreNull")):
        return to_xml(without_nulls(result), nulls=False)
    return to_xml(result)


def all_on_the_wire(results: ApiError | list[tuple[Any, dict[str, Any]]], parameters: dict[str, Any]) -> str:
    if isinstance(results, ApiError):
        return on_the_wire(results, parameters)
    if wants_json(parameters):
        return f"[{','.join(on_the_wire(result, {**own, 'format': '1'}) for result, own in results)}]"
    return "".join([f"<item>{on_the_wire(result, own)}</item>" for result, own in results])


def multirequest(
    owner: KalturaServer, parameters: dict[str, Any]
) -> tuple[ApiError | list[tuple[Any, dict[str, Any]]], Fault | None]:
    """Run the numbered calls in order: each result with its parameters.

    A reference to what is not there becomes the empty string (1.3).
    """
    calls: list[Call] = []
    number = 0 if "0" in parameters else 1
    while isinstance(parameters.get(str(number)), dict):
        own = dict(parameters[str(number)])
        for name in _COMMON:
            if name in parameters:
                own.setdefault(name, parameters[name])
        prefix = f"{number}:"
        own |= {key[len(prefix) :]: value for key, value in parameters.items() if key.startswith(prefix)}
        calls.append(Call(str(own.pop("service", "")), str(own.pop("action", "")), own))
        number += 1
    names: list[str] = []
    writes = False
    for call in calls:
        try:
            action = owner.services.find(call.service, call.action)
            names.append(action.operation)
            writes = writes or action.writes
        except ApiError:
            names.append(f"{call.service}.{call.action}")
            writes = True
    request, fault = owner.control.begin(
        "kaltura",
        "multirequest",
        writes=writes,
        parameters={"calls": names},
        session=session_hash(str(parameters.get("ks") or (calls[0].parameters.get("ks") if calls else "") or "")),
    )
    if fault and fault.kind in _BEFORE_ACTING:
        raise Unanswered(fault)
    if fault and fault.kind == "error":
        return _named_error(fault, request), fault
    worst = fault
    results: list[Any] = []
    for call in calls:
        call.parameters = _resolve(call.parameters, results)
        result, own_fault = run_action(owner, call)
        results.append(result)
        if own_fault and own_fault.kind not in ("error", "none") and worst is None:
            worst = own_fault
    if fault and fault.after:
        fault.after(request)
    return [(result, call.parameters) for result, call in zip(results, calls, strict=True)], worst


def _resolve(value: Any, results: list[Any]) -> Any:
    """Replace references like ``{1:result:objects:0:id}``; the numbers of calls start at 1."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: _look_up(found, results), value) if "{" in value else value
    if isinstance(value, dict):
        return {key: _resolve(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, results) for item in value]
    return value


def _look_up(found: re.Match[str], results: list[Any]) -> str:
    number = int(found.group(1)) - 1
    value: Any = results[number] if 0 <= number < len(results) else None
    for step in found.group(2).split(":")[1:]:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return ""
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _loggable(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {"name": value.name, "size": len(value.data)} if isinstance(value, PostedFile) else value
        for key, value in parameters.items()
        if key not in _UNLOGGED
    }


def _named_error(fault: Fault, request: Request) -> ApiError:
    """The error a fault names; ``INVALID_KS:LOGOUT`` is a session that was ended, INVALID_KS alone an expired one."""
    code, _, detail = fault.code.partition(":")
    if code == "INVALID_KS":
        return ApiError(code, detail or "EXPIRED", "-1", "INVALID_STR")
    if code == "ACTION_BLOCKED":
        service, _, action = request.operation.partition(".")
        return ApiError(code, action, service)
    count = len(ERRORS.get(code, ("", ""))[0].split(","))
    return ApiError(code, *([request.subject] * count))
