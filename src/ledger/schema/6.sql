-- What the pool paid, where that is less than the account did; NULL rho is the same.
ALTER TABLE charges ADD COLUMN pool_epsilon TEXT;
ALTER TABLE charges ADD COLUMN pool_rho TEXT;
