"""Templates that the scenarios issue by."""

EMPLOYEE = """\
name = "employee"
title = "Employee badge"
directory = "people"

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
subject = "CN=${user.name},O=Example"
mail = "${user.mail}"

[[certificate]]
slot = "9D"
algorithm = "P-256"
ca = "built-in"
profile = "key-management"
subject = "CN=${user.name},O=Example"
mail = "${user.mail}"

[[certificate]]
slot = "9E"
algorithm = "P-256"
ca = "built-in"
profile = "card-authentication"
subject = "CN=${card.id},O=Example"
"""
