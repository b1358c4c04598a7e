-- What is needed to draw once more for an answer: the question, the key of its samples, and its released numbers, as JSON.
ALTER TABLE charges ADD COLUMN drawn BLOB;
