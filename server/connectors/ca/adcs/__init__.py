"""Microsoft Active Directory Certificate Services, by the interfaces that it offers over HTTPS."""
