"""The schema as numbered steps that only go forward. They are written as SQLite takes them; other stores translate."""

from __future__ import annotations

from signalbox.core.errors import StoreError

# Ends the statement of a table that databases which can do so hold in partitions by day.
BY_DAY = " BY DAY"
# Of a key that the database numbers by itself; no number is given twice.
NUMBERED = " NUMBERED"

# Steps are never edited once released: a change is a new step. The position in this tuple is its number, from 1.
MIGRATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "attempts, refusals, shipping, keys, facts",
        (
            """
            CREATE TABLE attempts (
                attempt_id TEXT NOT NULL PRIMARY KEY,
                call_id TEXT NOT NULL,
                time_ms INTEGER NOT NULL,
                tenant TEXT NOT NULL,
                team TEXT NOT NULL,
                key_id TEXT NOT NULL,
                workload TEXT NOT NULL,
                deployment TEXT NOT NULL,
                environment TEXT NOT NULL,
                model TEXT NOT NULL,
                api TEXT NOT NULL,
                labels TEXT NOT NULL,           -- JSON array of names
                reason TEXT NOT NULL,
                config TEXT NOT NULL,
                attempt INTEGER NOT NULL,
                stream INTEGER NOT NULL,
                state TEXT NOT NULL,            -- open, then its end
                tokens_in INTEGER NOT NULL,
                cache_read INTEGER NOT NULL,
                cache_write_5m INTEGER NOT NULL,
                cache_write_1h INTEGER NOT NULL,
                tokens_out INTEGER NOT NULL,
                reasoning INTEGER NOT NULL,
                audio_in INTEGER NOT NULL,
                audio_out INTEGER NOT NULL,
                usage_unknown TEXT NOT NULL,    -- JSON array of field names
                usage_source TEXT NOT NULL,
                cost_pico INTEGER,              -- NULL when unpriced
                status INTEGER NOT NULL,
                error TEXT NOT NULL,
                ttft_ms INTEGER NOT NULL,
                duration_ms INTEGER NOT NULL
            ) STRICT
            """,
            "CREATE INDEX attempts_time ON attempts (time_ms, attempt_id)",
            """
            CREATE TABLE refused (
                chain TEXT NOT NULL,
                position INTEGER NOT NULL,      -- end of the batch it came with, then its place in it: unique
                place INTEGER NOT NULL,
                call_id TEXT NOT NULL,
                time_ms INTEGER NOT NULL,
                tenant TEXT NOT NULL,
                team TEXT NOT NULL,
                key_id TEXT NOT NULL,
                workload TEXT NOT NULL,
                labels TEXT NOT NULL,
                reason TEXT NOT NULL,
                config TEXT NOT NULL,
                PRIMARY KEY (chain, position, place)
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX refused_time ON refused (time_ms)",
            """
            CREATE TABLE shipped (
                chain TEXT NOT NULL PRIMARY KEY,
                segment INTEGER NOT NULL,
                byte_offset INTEGER NOT NULL,
                seq INTEGER NOT NULL,
                hash TEXT NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE virtual_keys (
                id TEXT NOT NULL PRIMARY KEY,
                name TEXT NOT NULL,
                secret_hmac BLOB NOT NULL,
                tenant TEXT NOT NULL,
                team TEXT NOT NULL,
                created_ms INTEGER NOT NULL,
                workloads TEXT,                 -- JSON array, NULL for all of the tenant's
                deployments_granted TEXT NOT NULL,
                default_workload TEXT,
                labels TEXT NOT NULL,
                budget_usd TEXT,                -- decimal
                expires_ms INTEGER,
                revoked_ms INTEGER
            ) STRICT
            """,
            "CREATE TABLE facts (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
            "CREATE TABLE keys_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT",
            "INSERT INTO keys_version (one, version) VALUES (1, 0)",
        ),
    ),
    (
        "where labels came from",
        (
            "ALTER TABLE attempts ADD COLUMN found TEXT NOT NULL DEFAULT '{}'",  # JSON object: kind to number
            "ALTER TABLE refused ADD COLUMN found TEXT NOT NULL DEFAULT '{}'",
        ),
    ),
    (
        "whom attempts are for, rare usage, service tiers",
        (
            "ALTER TABLE attempts ADD COLUMN end_user TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE attempts ADD COLUMN session TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE attempts ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",  # JSON array of names
            "ALTER TABLE attempts ADD COLUMN rare TEXT NOT NULL DEFAULT '{}'",  # JSON object: class to count
            "ALTER TABLE attempts ADD COLUMN tier TEXT NOT NULL DEFAULT ''",
        ),
    ),
    (
        "budgets: what is spent, and what is leased",
        (
            """
            CREATE TABLE budget_spent (
                account TEXT NOT NULL,
                start_ms INTEGER NOT NULL,      -- of the period
                end_ms INTEGER NOT NULL,
                spent INTEGER NOT NULL,         -- by leases that have ended; pico-dollars, tokens or calls
                PRIMARY KEY (account, start_ms)
            ) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE budget_leases (
                account TEXT NOT NULL,
                start_ms INTEGER NOT NULL,
                end_ms INTEGER NOT NULL,
                holder TEXT NOT NULL,           -- the journal chain of a process
                lease INTEGER NOT NULL,         -- its number there
                granted INTEGER NOT NULL,
                spent INTEGER NOT NULL,         -- of it, as far as was told
                PRIMARY KEY (account, start_ms, holder, lease)
            ) STRICT, WITHOUT ROWID
            """,
        ),
    ),
    (
        "roles and scopes of keys",
        (
            "ALTER TABLE virtual_keys ADD COLUMN role TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE virtual_keys ADD COLUMN creator TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE virtual_keys ADD COLUMN apis TEXT",  # JSON array, NULL for all; so are the next two
            "ALTER TABLE virtual_keys ADD COLUMN models TEXT",
            "ALTER TABLE virtual_keys ADD COLUMN networks TEXT",
        ),
    ),
    (
        "spend by hour",
        (
            """
            CREATE TABLE spend_hours (time_ms INTEGER NOT NULL, tenant TEXT NOT NULL, team TEXT NOT
                NULL, key_id TEXT NOT NULL, workload TEXT NOT NULL, deployment TEXT NOT NULL,
                environment TEXT NOT NULL, model TEXT NOT NULL, api TEXT NOT NULL, tier TEXT NOT
                NULL, state TEXT NOT NULL, usage_source TEXT NOT NULL, config TEXT NOT NULL,
                attempts INTEGER NOT NULL, tokens_in INTEGER NOT NULL, cache_read INTEGER NOT NULL,
                cache_write INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost_micro INTEGER NOT
                NULL, cost_rest INTEGER NOT NULL, unpriced INTEGER NOT NULL, PRIMARY KEY (time_ms,
                tenant, team, key_id, workload, deployment, environment, model, api, tier, state,
                usage_source, config)) STRICT, WITHOUT ROWID
            """,
            """
            INSERT INTO spend_hours (time_ms, tenant, team, key_id, workload, deployment,
                environment, model, api, tier, state, usage_source, config, attempts, tokens_in,
                cache_read, cache_write, tokens_out, cost_micro, cost_rest, unpriced) SELECT time_ms
                / 3600000 * 3600000, tenant, team, key_id, workload, deployment, environment, model,
                api, tier, state, usage_source, config, COUNT(*), SUM(tokens_in + audio_in),
                SUM(cache_read), SUM(cache_write_5m + cache_write_1h), SUM(tokens_out + reasoning +
                audio_out), COALESCE(SUM(cost_pico / 1000000), 0), COALESCE(SUM(cost_pico %
                1000000), 0), COUNT(*) - COUNT(cost_pico) FROM attempts WHERE state <> 'open' GROUP
                BY time_ms / 3600000 * 3600000, tenant, team, key_id, workload, deployment,
                environment, model, api, tier, state, usage_source, config ORDER BY time_ms /
                3600000 * 3600000, tenant, team, key_id, workload, deployment, environment, model,
                api, tier, state, usage_source, config
            """,
        ),
    ),
    (
        "spend by day",
        (
            """
            CREATE TABLE spend_days (time_ms INTEGER NOT NULL, tenant TEXT NOT NULL, team TEXT NOT
                NULL, key_id TEXT NOT NULL, workload TEXT NOT NULL, deployment TEXT NOT NULL,
                environment TEXT NOT NULL, model TEXT NOT NULL, api TEXT NOT NULL, tier TEXT NOT
                NULL, state TEXT NOT NULL, usage_source TEXT NOT NULL, config TEXT NOT NULL,
                attempts INTEGER NOT NULL, tokens_in INTEGER NOT NULL, cache_read INTEGER NOT NULL,
                cache_write INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost_micro INTEGER NOT
                NULL, cost_rest INTEGER NOT NULL, unpriced INTEGER NOT NULL, PRIMARY KEY (time_ms,
                tenant, team, key_id, workload, deployment, environment, model, api, tier, state,
                usage_source, config)) STRICT, WITHOUT ROWID
            """,
            """
            INSERT INTO spend_days (time_ms, tenant, team, key_id, workload, deployment,
                environment, model, api, tier, state, usage_source, config, attempts, tokens_in,
                cache_read, cache_write, tokens_out, cost_micro, cost_rest, unpriced) SELECT time_ms
                / 86400000 * 86400000, tenant, team, key_id, workload, deployment, environment,
                model, api, tier, state, usage_source, config, COUNT(*), SUM(tokens_in + audio_in),
                SUM(cache_read), SUM(cache_write_5m + cache_write_1h), SUM(tokens_out + reasoning +
                audio_out), COALESCE(SUM(cost_pico / 1000000), 0), COALESCE(SUM(cost_pico %
                1000000), 0), COUNT(*) - COUNT(cost_pico) FROM attempts WHERE state <> 'open' GROUP
                BY time_ms / 86400000 * 86400000, tenant, team, key_id, workload, deployment,
                environment, model, api, tier, state, usage_source, config ORDER BY time_ms /
                86400000 * 86400000, tenant, team, key_id, workload, deployment, environment, model,
                api, tier, state, usage_source, config
            """,
        ),
    ),
    ("how urgent a key is", ("ALTER TABLE virtual_keys ADD COLUMN criticality TEXT NOT NULL DEFAULT ''",)),
    (
        "where labels went, by day",
        (
            """
            CREATE TABLE label_days (time_ms INTEGER NOT NULL, tenant TEXT NOT NULL, workload TEXT
                NOT NULL, environment TEXT NOT NULL, deployment TEXT NOT NULL, labels TEXT NOT NULL,
                attempts INTEGER NOT NULL, PRIMARY KEY (time_ms, tenant, workload, environment,
                deployment, labels)) STRICT, WITHOUT ROWID
            """,
            """
            INSERT INTO label_days (time_ms, tenant, workload, environment, deployment, labels,
                attempts) SELECT time_ms / 86400000 * 86400000, tenant, workload, environment,
                deployment, labels, COUNT(*) FROM attempts WHERE state <> 'open' GROUP BY time_ms /
                86400000 * 86400000, tenant, workload, environment, deployment, labels ORDER BY
                time_ms / 86400000 * 86400000, tenant, workload, environment, deployment, labels
            """,
        ),
    ),
    ("pages of refusals", ("CREATE INDEX refused_time_call ON refused (time_ms, call_id)",)),
    ("what kept answers saved", ("ALTER TABLE attempts ADD COLUMN saved_pico INTEGER NOT NULL DEFAULT 0",)),
    ("what guards said", ("ALTER TABLE attempts ADD COLUMN guards TEXT NOT NULL DEFAULT '{}'",)),
    (
        "attempts that have ended, by day; spend by user and session",
        (
            # Numbers first: PostgreSQL then leaves no gaps between them.
            """
            CREATE TABLE attempt_days (time_ms INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
                cache_read INTEGER NOT NULL, cache_write_5m INTEGER NOT NULL, cache_write_1h INTEGER
                NOT NULL, tokens_out INTEGER NOT NULL, reasoning INTEGER NOT NULL, audio_in INTEGER
                NOT NULL, audio_out INTEGER NOT NULL, cost_pico INTEGER, saved_pico INTEGER NOT
                NULL, attempt INT NOT NULL, stream INT NOT NULL, status INT NOT NULL, ttft_ms INT
                NOT NULL, duration_ms INT NOT NULL, attempt_id TEXT NOT NULL, call_id TEXT NOT NULL,
                tenant TEXT NOT NULL, team TEXT NOT NULL, key_id TEXT NOT NULL, workload TEXT NOT
                NULL, deployment TEXT NOT NULL, environment TEXT NOT NULL, model TEXT NOT NULL, api
                TEXT NOT NULL, labels TEXT NOT NULL, reason TEXT NOT NULL, config TEXT NOT NULL,
                found TEXT NOT NULL, end_user TEXT NOT NULL, session TEXT NOT NULL, tags TEXT NOT
                NULL, state TEXT NOT NULL, usage_unknown TEXT NOT NULL, rare TEXT NOT NULL, tier
                TEXT NOT NULL, usage_source TEXT NOT NULL, error TEXT NOT NULL, guards TEXT NOT
                NULL, PRIMARY KEY (time_ms, attempt_id)) STRICT, WITHOUT ROWID BY DAY
            """,
            "CREATE INDEX attempt_days_id ON attempt_days (attempt_id)",
            """
            CREATE TABLE spend_user_days (time_ms INTEGER NOT NULL, tenant TEXT NOT NULL, team TEXT
                NOT NULL, key_id TEXT NOT NULL, workload TEXT NOT NULL, deployment TEXT NOT NULL,
                environment TEXT NOT NULL, model TEXT NOT NULL, api TEXT NOT NULL, tier TEXT NOT
                NULL, state TEXT NOT NULL, usage_source TEXT NOT NULL, config TEXT NOT NULL, labels
                TEXT NOT NULL, end_user TEXT NOT NULL, tag TEXT NOT NULL, attempts INTEGER NOT NULL,
                tokens_in INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT
                NULL, tokens_out INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest INTEGER
                NOT NULL, unpriced INTEGER NOT NULL, PRIMARY KEY (time_ms, tenant, team, key_id,
                workload, deployment, environment, model, api, tier, state, usage_source, config,
                labels, end_user, tag)) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE spend_session_days (time_ms INTEGER NOT NULL, tenant TEXT NOT NULL, team
                TEXT NOT NULL, key_id TEXT NOT NULL, workload TEXT NOT NULL, deployment TEXT NOT
                NULL, environment TEXT NOT NULL, state TEXT NOT NULL, session TEXT NOT NULL,
                attempts INTEGER NOT NULL, tokens_in INTEGER NOT NULL, cache_read INTEGER NOT NULL,
                cache_write INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost_micro INTEGER NOT
                NULL, cost_rest INTEGER NOT NULL, unpriced INTEGER NOT NULL, PRIMARY KEY (time_ms,
                tenant, team, key_id, workload, deployment, environment, state, session)) STRICT,
                WITHOUT ROWID
            """,
        ),
    ),
    (
        "what conversations keep sealed",
        (
            """
            CREATE TABLE sealed_scopes (scope BLOB NOT NULL PRIMARY KEY, expires_ms INTEGER NOT NULL)
                STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX sealed_scopes_expiry ON sealed_scopes (expires_ms)",
            """
            CREATE TABLE sealed_entries (scope BLOB NOT NULL, mark BLOB NOT NULL, name BLOB NOT NULL,
                place INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (scope, mark)) STRICT,
                WITHOUT ROWID
            """,
        ),
    ),
    (
        "captured content, and the keys of whom it is about",
        (
            """
            CREATE TABLE content (call_id TEXT NOT NULL PRIMARY KEY, time_ms INTEGER NOT NULL, subjects
                TEXT NOT NULL, hash TEXT NOT NULL, wrapped BLOB NOT NULL, sealed BLOB NOT NULL) STRICT
            """,
            "CREATE INDEX content_time ON content (time_ms)",
            """
            CREATE TABLE content_keys (subject TEXT NOT NULL PRIMARY KEY, wrapped BLOB, erased_ms
                INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID
            """,
        ),
    ),
    (
        "sums by numbers of names",
        (
            # Where an attempt is summed up: '' in the tables of older versions.
            "ALTER TABLE attempt_days ADD COLUMN summed TEXT NOT NULL DEFAULT ''",
            """
            CREATE TABLE sum_who (id INTEGER PRIMARY KEY NUMBERED, tenant TEXT NOT NULL,
                team TEXT NOT NULL, key_id TEXT NOT NULL, last_ms INTEGER NOT NULL, UNIQUE
                (tenant, team, key_id)) STRICT
            """,
            """
            CREATE TABLE sum_what (id INTEGER PRIMARY KEY NUMBERED, workload TEXT NOT NULL,
                deployment TEXT NOT NULL, environment TEXT NOT NULL, model TEXT NOT NULL,
                api TEXT NOT NULL, tier TEXT NOT NULL, state TEXT NOT NULL, usage_source
                TEXT NOT NULL, config TEXT NOT NULL, labels TEXT NOT NULL, last_ms INTEGER
                NOT NULL, UNIQUE (workload, deployment, environment, model, api, tier,
                state, usage_source, config, labels)) STRICT
            """,
            """
            CREATE TABLE sum_whom (id INTEGER PRIMARY KEY NUMBERED, end_user TEXT NOT NULL,
                tag TEXT NOT NULL, last_ms INTEGER NOT NULL, UNIQUE (end_user, tag)) STRICT
            """,
            """
            CREATE TABLE sum_session (id INTEGER PRIMARY KEY NUMBERED, session TEXT NOT
                NULL, last_ms INTEGER NOT NULL, UNIQUE (session)) STRICT
            """,
            """
            CREATE TABLE sum_hours (time_ms INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
                cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, tokens_out
                INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest INTEGER NOT NULL,
                who INT NOT NULL, what INT NOT NULL, whom INT NOT NULL, attempts INT NOT
                NULL, unpriced INT NOT NULL, PRIMARY KEY (time_ms, who, what, whom)) STRICT,
                WITHOUT ROWID
            """,
            """
            CREATE TABLE sum_days (time_ms INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
                cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, tokens_out
                INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest INTEGER NOT NULL,
                who INT NOT NULL, what INT NOT NULL, attempts INT NOT NULL, unpriced INT NOT
                NULL, PRIMARY KEY (time_ms, who, what)) STRICT, WITHOUT ROWID
            """,
            """
            CREATE TABLE sum_whom_days (time_ms INTEGER NOT NULL, tokens_in INTEGER NOT
                NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, tokens_out
                INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest INTEGER NOT NULL,
                whom INT NOT NULL, who INT NOT NULL, what INT NOT NULL, attempts INT NOT
                NULL, unpriced INT NOT NULL, PRIMARY KEY (time_ms, whom, who, what)) STRICT,
                WITHOUT ROWID
            """,
            """
            CREATE TABLE sum_session_days (time_ms INTEGER NOT NULL, tokens_in INTEGER NOT
                NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, tokens_out
                INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest INTEGER NOT NULL,
                session INTEGER NOT NULL, who INT NOT NULL, what INT NOT NULL, attempts INT
                NOT NULL, unpriced INT NOT NULL, PRIMARY KEY (time_ms, session, who, what))
                STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX sum_whom_last ON sum_whom (last_ms)",
            "CREATE INDEX sum_session_last ON sum_session (last_ms)",
        ),
    ),
    (
        "sums of sessions by hour, side by side",
        (
            """
            CREATE TABLE sum_session_hours (session INTEGER NOT NULL, time_ms INTEGER NOT NULL,
                tokens_in INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT
                NULL, tokens_out INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest
                INTEGER NOT NULL, who INT NOT NULL, what INT NOT NULL, attempts INT NOT NULL,
                unpriced INT NOT NULL, PRIMARY KEY (session, time_ms, who, what)) STRICT,
                WITHOUT ROWID
            """,
            """
            CREATE TABLE sum_in_session_days (time_ms INTEGER NOT NULL, tokens_in INTEGER NOT
                NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, tokens_out
                INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest INTEGER NOT NULL,
                who INT NOT NULL, what INT NOT NULL, attempts INT NOT NULL, unpriced INT NOT
                NULL, PRIMARY KEY (time_ms, who, what)) STRICT, WITHOUT ROWID
            """,
        ),
    ),
    (
        "which rules refused",
        ("ALTER TABLE refused ADD COLUMN rules TEXT NOT NULL DEFAULT '[]'",),  # JSON array of rule ids
    ),
    (
        "what guards said of calls that were refused",
        ("ALTER TABLE refused ADD COLUMN guards TEXT NOT NULL DEFAULT '{}'",),
    ),
    ("whose budget a rotated key spends", ("ALTER TABLE virtual_keys ADD COLUMN purse TEXT NOT NULL DEFAULT ''",)),
    (
        "sums of the last hours, in one table",
        (
            """
            CREATE TABLE sum_fresh (time_ms INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
                cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL, tokens_out
                INTEGER NOT NULL, cost_micro INTEGER NOT NULL, cost_rest INTEGER NOT NULL,
                who INT NOT NULL, what INT NOT NULL, whom INT NOT NULL, attempts INT NOT
                NULL, unpriced INT NOT NULL, PRIMARY KEY (time_ms, who, what, whom)) STRICT,
                WITHOUT ROWID
            """,
        ),
    ),
)


def pending(version: int) -> list[tuple[int, str, tuple[str, ...]]]:
    """(number, name, statements) of the steps that a database at `version` lacks. Raises StoreError for one that
    a newer version of this program wrote."""
    if version > len(MIGRATIONS):
        raise StoreError(f"the database has schema {version}, this version knows up to {len(MIGRATIONS)}: upgrade")
    steps = enumerate(MIGRATIONS[version:], start=version + 1)
    return [(number, name, statements) for number, (name, statements) in steps]
