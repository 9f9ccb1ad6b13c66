"""A copy of a simulation's database, and putting it back: what a restore from yesterday's backup does."""

from dataclasses import dataclass, field
from typing import Any

from harness.sim_database import Database

TABLES = (
    "SELECT c.relname AS name, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a"
    " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1"
)
SEQUENCES = (
    "SELECT quote_ident(c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'public' AND c.relkind = 'S' ORDER BY 1"
)


@dataclass(eq=False)
class Backup:
    """One copy, kept in a schema of its own."""

    database: Database
    taken: bool = False
    tables: list[Any] = field(default_factory=list)
    sequences: dict[str, tuple[int, bool]] = field(default_factory=dict)

    async def take(self) -> None:
        """Copy what is committed."""
        raw = self.database.monitor
        self.tables = [(t["name"], t["columns"]) for t in await raw.fetch(TABLES)]
        copies = "; ".join(f"CREATE TABLE backup.{t} AS SELECT {c} FROM public.{t}" for t, c in self.tables)
        await raw.execute(f"CREATE SCHEMA backup; {copies}")
        for row in await raw.fetch(SEQUENCES):
            found = await raw.fetchrow(f"SELECT last_value, is_called FROM public.{row['name']}")
            self.sequences[row["name"]] = (found["last_value"], found["is_called"])
        self.taken = True

    async def put_back(self) -> None:
        """As it was; the cluster says that it is another timeline, as after every restore. Nobody may be connected."""
        raw = self.database.monitor
        names = ", ".join(f"public.{t}" for t, _ in self.tables)
        back = "; ".join(
            f"INSERT INTO public.{t} ({c}) OVERRIDING SYSTEM VALUE SELECT {c} FROM backup.{t}" for t, c in self.tables
        )
        counts = "; ".join(
            f"SELECT setval('public.{name}', {last}, {called})" for name, (last, called) in self.sequences.items()
        )
        await raw.execute(
            f"BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE {names}; {back}; {counts};"
            " UPDATE installation SET timeline_id = timeline_id - 1; COMMIT; DROP SCHEMA backup CASCADE"
        )
