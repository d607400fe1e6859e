"""Servicers: thin, one per service, with the interceptors that guard them."""
