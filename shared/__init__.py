"""The vocabulary and the card engine that the station and the server have in common. Does no I/O."""
