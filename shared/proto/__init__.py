"""Messages and services on the wire; `convert` and `status` are the only places that know both them and values."""
