"""Rules: who may do what, templates, audit."""
