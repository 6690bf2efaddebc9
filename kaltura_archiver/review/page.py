"""A plan as one HTML file, in which a person who is no programmer unticks entries and saves what is left as a plan.

The page holds the lines of the plan as they are, and saves those that stay: to `apply` it is as if the others had been
deleted by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kaltura_archiver import __version__
from kaltura_archiver.output.page import environment, rendered
from kaltura_archiver.output.tables import readable_bytes
from kaltura_archiver.redact import one_line
from kaltura_archiver.review.shown import ShownPlan

ASSETS = Path(__file__).with_name("assets")
_TITLES = {"archive": "Videos to be archived", "replace": "Videos to be replaced by a placeholder",
           "thin": "Videos whose original leaves Kaltura", "restore": "Videos to be brought back"}  # fmt: skip
# What happens to the entries that stay, for who has never heard of a plan.
_WHAT = {
    "archive": "Their originals will be copied to the archive. They stay where they are, and can be played as before.",
    "replace": "Their originals leave Kaltura; the archive has a copy of each. Who plays one then sees a short notice, "
    "and the video is brought back within days.",
    "thin": "Their originals leave Kaltura; the archive has a copy of each. A smaller version stays, and is played as "
    "before.",
    "restore": "Their originals will be brought back from the archive and played as before.",
}


def make_page(plan: ShownPlan) -> str:
    templates = environment(ASSETS)
    templates.filters |= {"bytes": readable_bytes, "line": one_line}
    return rendered(
        ASSETS, "plan", templates,
        title=_TITLES[plan.action],
        what=_WHAT[plan.action] + (f" Planned with: {plan.asked}." if plan.asked else ""),
        plan=plan,
        streams=any(entry.parent for entry in plan.acting),
        sums=[(kind, rows) for kind, rows in _sums(plan) if rows],
        names={entry.owner: entry.owner_name for entry in plan.entries},
        data={
            "first": plan.first,
            "last": plan.last,
            "acting": [[entry.text, entry.size_bytes] for entry in plan.acting],
            "leftOut": [entry.text for entry in plan.left_out],
            "file": f"reviewed-{plan.action}-{plan.plan}.jsonl",
        },
        made_by=f"Made by kaltura-archiver {__version__} from plan {plan.plan} of {plan.made}, for {plan.filter}.",
    )  # fmt: skip


def _sums(plan: ShownPlan) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    yield "Owner", plan.sums(lambda entry: entry.owner)
    if plan.has_units:
        yield "Unit", plan.sums(lambda entry: entry.unit)
