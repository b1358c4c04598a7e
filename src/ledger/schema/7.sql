-- What governance set beside amounts; empty is none. A window is daily, weekly, monthly, quarterly or yearly, and what is spent is spent in it; it began at
-- `since`. What was spent in all stays beside it.
ALTER TABLE accounts ADD COLUMN team TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN max_epsilon TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN default_epsilon TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN refills TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN expires_at INTEGER;
-- A share of the pool, from 0 to 1.
ALTER TABLE accounts ADD COLUMN reserved TEXT NOT NULL DEFAULT '0';
ALTER TABLE accounts ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN life_epsilon TEXT;
ALTER TABLE accounts ADD COLUMN life_rho TEXT NOT NULL DEFAULT '0';
ALTER TABLE accounts ADD COLUMN life_delta TEXT NOT NULL DEFAULT '0';
ALTER TABLE accounts ADD COLUMN life_charges INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET life_epsilon = spent_epsilon, life_rho = spent_rho, life_delta = spent_delta, life_charges = charges;
-- Why governance stopped it; empty where it did not.
ALTER TABLE accounts ADD COLUMN held TEXT NOT NULL DEFAULT '';

-- The last one is in force.
CREATE TABLE policies (
    version     INTEGER PRIMARY KEY,
    hash        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    author      TEXT NOT NULL,
    approved_by TEXT NOT NULL,
    reason      TEXT NOT NULL,
    document    TEXT NOT NULL
) STRICT;

-- Changes that wait for somebody else's approval; `edit` is JSON.
CREATE TABLE proposals (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    author     TEXT NOT NULL,
    edit       TEXT NOT NULL,
    reason     TEXT NOT NULL,
    approvals  INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected')),
    decided_at INTEGER
) STRICT;

CREATE TABLE opinions (
    proposal INTEGER NOT NULL,
    who      TEXT NOT NULL,
    approves INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (proposal, who)
) STRICT;
