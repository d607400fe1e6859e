"""Third-party programs, started for real: services that the product talks to, and judges of what it made."""
