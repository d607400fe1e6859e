"""The templates of the demo, as an administrator would write them."""

from typing import Final

EMPLOYEE: Final = """\
name = "employee-badge"
title = "Employee badge"
directory = "people"

[pin]
min-length = 6
max-length = 8
characters = "digits"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name},OU=${user.department?},O=Example"
upn = "${user.upn}"
sid = "${user.sid?}"

[[certificate]]
slot = "9C"
algorithm = "P-256"
ca = "built-in"
profile = "signature"
subject = "CN=${user.name},OU=${user.department?},O=Example"
mail = "${user.mail}"

[[certificate]]
slot = "9D"
algorithm = "P-256"
ca = "built-in"
profile = "key-management"
subject = "CN=${user.name},OU=${user.department?},O=Example"
mail = "${user.mail}"

[[certificate]]
slot = "9E"
algorithm = "P-256"
ca = "built-in"
profile = "card-authentication"
subject = "CN=${card.id},O=Example"
"""

VISITOR: Final = """\
name = "visitor"
title = "Visitor card"
directory = "guests"
expires-after-days = 30

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "piv-authentication"
subject = "CN=${user.name},OU=${user.department?},O=Guests of Example"
days = 30
"""

DAY: Final = """\
name = "day-badge"
title = "Badge for a day"
directory = "people"
expires-after-days = 1

[temporary]
hours = 12

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name},OU=${user.department?},O=Example"
upn = "${user.upn}"
sid = "${user.sid?}"
"""

TEMPLATES: Final = {"employee-badge.toml": EMPLOYEE, "visitor.toml": VISITOR, "day-badge.toml": DAY}
