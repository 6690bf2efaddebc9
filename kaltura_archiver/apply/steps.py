"""Which function does which step."""

from __future__ import annotations

from collections.abc import Callable

from kaltura_archiver.apply.archive import copy_original, copy_source
from kaltura_archiver.apply.marks import record_found
from kaltura_archiver.apply.pictures import set_picture
from kaltura_archiver.apply.prove import prove_again, prove_copy
from kaltura_archiver.apply.replace import put_placeholder, upload_placeholder
from kaltura_archiver.apply.restore import put_original
from kaltura_archiver.apply.settings import keep_settings, set_flavors
from kaltura_archiver.apply.swap import settle_replacement
from kaltura_archiver.apply.tags import add_archived, add_replaced, remove_replaced, remove_request
from kaltura_archiver.apply.thaw import thaw_copy
from kaltura_archiver.apply.thin import add_thin, check_kept, delete_original, drop_derived, record_kept, remove_thin
from kaltura_archiver.apply.tools import InHand, Tools
from kaltura_archiver.apply.verify import read_back
from kaltura_archiver.apply.versions import copy_beside, make_current
from kaltura_archiver.steps import Step

STEPS: dict[Step, Callable[[Tools, InHand], None]] = {
    Step.COPY: copy_original,
    Step.COPY_SOURCE: copy_source,
    Step.COPY_BESIDE: copy_beside,
    Step.MAKE_CURRENT: make_current,
    Step.PROVE: prove_copy,
    Step.ADD_ARCHIVED: add_archived,
    Step.ADD_REPLACED: add_replaced,
    Step.REMOVE_REPLACED: remove_replaced,
    Step.CHECK_COPY: prove_again,
    Step.UPLOAD_PLACEHOLDER: upload_placeholder,
    Step.PUT_PLACEHOLDER: put_placeholder,
    Step.THAW: thaw_copy,
    Step.PUT_ORIGINAL: put_original,
    Step.READ_BACK: read_back,
    Step.SETTLE: settle_replacement,
    Step.KEEP_SETTINGS: keep_settings,
    Step.SET_FLAVORS: set_flavors,
    Step.SET_PICTURE: set_picture,
    Step.NEW_PICTURE: set_picture,
    Step.RECORD: record_found,
    Step.CHECK_KEPT: check_kept,
    Step.ADD_THIN: add_thin,
    Step.DELETE_ORIGINAL: delete_original,
    Step.RECORD_KEPT: record_kept,
    Step.DROP_DERIVED: drop_derived,
    Step.REMOVE_THIN: remove_thin,
    Step.REMOVE_REQUEST: remove_request,
}
