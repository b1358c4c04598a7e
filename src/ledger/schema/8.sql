-- When the answer was deleted, because policy keeps it no longer; it stays charged.
ALTER TABLE charges ADD COLUMN expired_at INTEGER;
