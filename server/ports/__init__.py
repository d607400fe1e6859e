"""What the server needs from outside: one file per role, with its requests and responses. No drivers here."""
