"""Messages and services on the wire; `convert_*` and `status` are the only places that know both them and values."""
