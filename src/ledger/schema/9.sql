-- The hash of the policy for which somebody approved: after another change it has to be given again.
ALTER TABLE opinions ADD COLUMN policy TEXT NOT NULL DEFAULT '';
