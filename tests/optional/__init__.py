"""Jobs that no run of the tests needs: what they prove, other tests prove with doubles."""
