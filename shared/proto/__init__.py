"""Messages and services on the wire; only `convert_*` and `status` know both them and values."""
