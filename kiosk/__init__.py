"""The station: readers, the relay and the faces that people meet."""
