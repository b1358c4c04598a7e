-- What bounds cost whoever found them. Those of the pool's account are for all accounts of the dataset: each pays for them once.
ALTER TABLE bounds ADD COLUMN epsilon TEXT;
ALTER TABLE bounds ADD COLUMN rho TEXT;
