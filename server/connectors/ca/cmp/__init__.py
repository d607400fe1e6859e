"""Certificate authorities that speak the Certificate Management Protocol."""
