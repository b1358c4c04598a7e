//! All integration tests in one binary: it links the engine once.

mod answers;
mod generated;
mod sql;
mod world;
