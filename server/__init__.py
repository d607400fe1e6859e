"""The server: keys, records, connectors and the operations that drive cards through stations."""
