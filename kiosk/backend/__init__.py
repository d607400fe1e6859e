"""The server as the station sees it: gRPC client, TLS identity, joining."""
