"""A whole desk on this machine: a server as a child process, virtual readers and cards, sample people."""
