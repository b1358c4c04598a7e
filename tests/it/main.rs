//! All integration tests in one binary: it links the engine once.

mod answers;
mod audit;
mod bounds;
mod clause;
mod commands;
mod configuration;
mod consistent;
mod crash;
mod faults;
mod files;
mod generated;
mod keep;
mod known_answers;
mod ledger;
mod logic;
mod postgres;
mod price;
mod refine;
mod reload;
mod sql;
mod statistics;
mod telemetry;
mod tls;
mod tpch;
mod wire;
mod world;
