"""The PIV card application: identifiers, objects, conversations, profiles.

Sources: [SP 800-73-5] parts 1 and 2, [SP 800-78-5]; the vendor extensions as published by Yubico.
"""
