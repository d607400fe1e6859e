"""The templates that every installation begins with: the System Owner's card, and operators'.

They are ordinary templates, applied once by `kiosk-server init`. What is changed later is theirs to change: an installation
that brings a template of the same name keeps its own.
"""

import json
from collections.abc import Collection
from typing import Final

from server.authority.first_start import BUILT_IN
from server.authority.services import TemplateText

SYSTEM_OWNER_TEMPLATE: Final = "system-owner"
OPERATOR_TEMPLATE: Final = "operator"

_OWNER: Final = """\
name = "system-owner"
title = "System Owner"
directory = "{directory}"
operator = true
system-owner = true

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "piv-authentication"
days = 3650
subject = {subject}
"""

_OPERATOR: Final = """\
name = "operator"
title = "Operator"
directory = "{directory}"
operator = true
limit = 1

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "piv-authentication"
subject = {subject}
"""


def operator_templates(organisation: str, directory: str, own: Collection[str] = ()) -> list[TemplateText]:
    """Return the templates for an installation, but those whose names are among its `own`.

    Operators are chosen from `directory`; an empty one is for people who are in none.
    """
    escaped = "".join(f"\\{char}" if char in ',+"\\<>;=#' else char for char in organisation)
    subject = json.dumps(f"CN=${{user.name}},O={escaped}", ensure_ascii=False)
    texts = {
        SYSTEM_OWNER_TEMPLATE: _OWNER.format(directory=BUILT_IN, subject=subject),
        OPERATOR_TEMPLATE: _OPERATOR.format(directory=directory or BUILT_IN, subject=subject),
    }
    return [TemplateText(source=f"{name}.toml", text=text) for name, text in texts.items() if name not in own]
