"""What a fresh, migrated database costs a test."""

import time

from harness import shared, templates

from bench import Figure

CLONES = 20


def measure() -> list[Figure]:
    """On both majors: the service's start, the migrations, a clone."""
    figures = []
    for major in (15, 18):
        begin = time.perf_counter()
        server = shared.service(f"postgres{major}")["url"]
        up = time.perf_counter()
        source = templates.template(major)
        migrated = time.perf_counter()
        for number in range(CLONES):
            templates.clone(server, f"bench_{number}", source)
        cloned = (time.perf_counter() - migrated) / CLONES
        figures += [
            Figure(what=f"PostgreSQL {major}: made and started", amount=up - begin, unit="s"),
            Figure(what=f"PostgreSQL {major}: all migrations", amount=migrated - up, unit="s"),
            Figure(what=f"PostgreSQL {major}: one clone", amount=cloned * 1000, unit="ms"),
        ]
    return figures
