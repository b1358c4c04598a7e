//! All integration tests in one binary: it links the engine once.

mod generated;
