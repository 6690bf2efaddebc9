"""What people have set on flavor assets, language, label and tags: kept with the stored copy, and set again.

Every replacement takes them away, of the original and of derived flavors: the server links the new assets over the old
ones, these fields included (kaltura-api 10.16, 4.6; `flavorAsset::linkFromAsset`). So they are written beside the copy,
`settings/<entry id>.json`, and set again when a swap is over. An object tag would be too short, and there are only ten.

They are written right before a swap, not by `s3copy`: people set them at any time, and what counts is what is lost.
At that moment some may be lost already, for an earlier run did not get to set them again. So what is there now is put
over what is kept, and an empty field takes nothing away: it cannot be told from a lost one. (Who removes a label for
good removes it after the swap.)

The object tag `settings` of the stored copy says that there are any, and whether they have yet to be set again: `due`,
written before a replacement, is what is left of a run that was cut, and `set` follows it. Entries without any cost
nothing. (A restore that was cut is known by the tag flavors_deleted, and what is kept is looked at when that goes.)

Tags are kept where they are others than those that a conversion gives by itself: those of the flavor parameters, and
`web` on an original that browsers play.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from kaltura_archiver.model import Facts, FlavorAsset, FlavorStatus, split_tags

# An original that browsers play gets it with its media information.
WEB_TAG = "web"
# An entry has up to 500 assets; a label may be long.
MAX_BYTES = 2**22
AWAY = (FlavorStatus.DELETED, FlavorStatus.TEMP, FlavorStatus.NOT_APPLICABLE)


@dataclass(frozen=True)
class FlavorSettings:
    """What a person has set on a flavor asset; empty fields were not set."""

    language: str = ""
    label: str = ""
    tags: str = ""
    # These a swap leaves; they are lost where the assets are new ones (--allow-in-place).
    partner_data: str = ""
    partner_description: str = ""
    is_default: str = ""

    def over(self, older: FlavorSettings) -> FlavorSettings:
        """These, and what is empty here as it was before."""
        return FlavorSettings(*(getattr(self, f.name) or getattr(older, f.name) for f in fields(self)))

    def missing_on(self, flavor: FlavorAsset) -> dict[str, str]:
        """The fields that the flavor asset has otherwise, as they are to be."""
        wanted = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in wanted.items() if value and value != getattr(flavor, name)}


# By flavor parameters, 0 for the original: the assets themselves may be others after a swap.
SettingsOfFlavors = Mapping[int, FlavorSettings]


def settings_of(facts: Facts) -> dict[int, FlavorSettings]:
    """What people have set on the flavors as they are now; tags only where it is known which are usual."""
    found: dict[int, FlavorSettings] = {}
    for flavor in facts.flavors:
        if flavor.flavor_params_id is None or flavor.status in AWAY:
            continue
        tags = "" if facts.usual_tags is None or _usual(flavor, facts.usual_tags) else flavor.tags
        names = [f.name for f in fields(FlavorSettings)]
        one = FlavorSettings(**{name: getattr(flavor, name) for name in names} | {"tags": tags})
        if one != FlavorSettings():
            found[flavor.flavor_params_id] = one
    return found


def _usual(flavor: FlavorAsset, usual_tags: Mapping[int, frozenset[str]]) -> bool:
    tags = set(split_tags(flavor.tags))
    usual = usual_tags.get(flavor.flavor_params_id or 0)
    if usual is None:
        return not tags
    return tags == usual or (flavor.is_original and tags == usual | {WEB_TAG})
