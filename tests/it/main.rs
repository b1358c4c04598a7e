//! All integration tests in one binary: it links the engine once.

mod answers;
mod configuration;
mod generated;
mod sql;
mod wire;
mod world;
