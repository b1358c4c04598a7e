-- Amounts are decimal text in units of 1, so that an auditor can read them; NULL epsilon is infinite.
-- The pool of a dataset is the account with empty principal and purpose.
CREATE TABLE accounts (
    dataset          TEXT NOT NULL,
    principal        TEXT NOT NULL,
    purpose          TEXT NOT NULL,
    active           INTEGER NOT NULL,
    epsilon          TEXT NOT NULL,
    delta_key        TEXT NOT NULL,
    delta_conversion TEXT NOT NULL,
    rho_limit        TEXT NOT NULL,
    spent_epsilon    TEXT,
    spent_rho        TEXT NOT NULL,
    spent_delta      TEXT NOT NULL,
    charges          INTEGER NOT NULL,
    PRIMARY KEY (dataset, principal, purpose)
) STRICT, WITHOUT ROWID;

CREATE TABLE charges (
    principal   TEXT NOT NULL,
    query_id    TEXT NOT NULL,
    dataset     TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    request     BLOB NOT NULL,
    question    BLOB NOT NULL,
    releases    INTEGER NOT NULL,
    epsilon     TEXT,
    rho         TEXT NOT NULL,
    delta       TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('reserved', 'answered', 'failed')),
    attempts    INTEGER NOT NULL,
    charged_at  INTEGER NOT NULL,
    answered_at INTEGER,
    answer      BLOB,
    PRIMARY KEY (principal, query_id)
) STRICT;

CREATE INDEX charges_by_question ON charges (dataset, principal, purpose, question) WHERE state = 'answered';

CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    body     TEXT NOT NULL,
    previous BLOB NOT NULL,
    hash     BLOB NOT NULL
) STRICT;
