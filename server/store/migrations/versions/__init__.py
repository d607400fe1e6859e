"""One script a version of the tables. A script that was released never changes."""
