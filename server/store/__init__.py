"""The record in a database. SQL lives here only."""
