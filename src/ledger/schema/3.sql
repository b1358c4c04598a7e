-- Bounds that an account found out and paid for: noisy counts by which limits of contributions are chosen, as JSON, by the digest of what
-- was asked. They belong to the account as answers do.
CREATE TABLE bounds (
    dataset   TEXT NOT NULL,
    principal TEXT NOT NULL,
    purpose   TEXT NOT NULL,
    asked     BLOB NOT NULL,
    found     TEXT NOT NULL,
    query_id  TEXT NOT NULL,
    found_at  INTEGER NOT NULL,
    PRIMARY KEY (dataset, principal, purpose, asked)
) STRICT, WITHOUT ROWID;
