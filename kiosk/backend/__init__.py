"""The server as the station sees it: identity, joining, gRPC client."""

import os

# gRPC's C core writes failed handshakes to standard error, across the screen and past every log setting; it
# reads this once, when it is loaded
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
