"""gRPC: listeners, the gate that every call passes, thin servicers. Knows neither connectors nor the store."""

import os

# gRPC's C core writes failed handshakes (a port scan is enough) to standard error, past every log setting;
# it reads this once, when it is loaded
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
