-- 1 where a charged question of the principal failed: nothing more is run until someone has looked.
ALTER TABLE accounts ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;
-- The query id of the same principal's earlier charge whose answer stands under this id too; then nothing was charged here.
ALTER TABLE charges ADD COLUMN same_as TEXT;
DROP INDEX charges_by_question;
CREATE INDEX charges_by_question ON charges (dataset, principal, purpose, question) WHERE state = 'answered' AND same_as IS NULL;
