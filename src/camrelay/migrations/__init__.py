"""How the database's schema came to be, one step a file (alembic)."""
