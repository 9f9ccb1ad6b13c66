"""PostgreSQL: a module for each noun with its SQL beside it, and the migrations. `save(conn, decisions)` is the only way to change a noun.

Anything that commits several rows does it set-based, one statement for each table.
"""
