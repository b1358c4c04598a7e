//! undertone answers SQL with differential privacy.
//!
//! A question goes one way: [`sql`] turns text into [`algebra`] or refuses it, [`governance`] prices it by policy, [`ledger`]
//! reserves the price durably, [`engine`] computes bounded integers over private rows, [`mechanism`] adds noise for a token of
//! the reservation, [`engine`] post-processes what is public now, and [`ledger`] commits the answer. [`session`] is that way as one
//! function; [`api`], [`server`] and [`cli`] put it on a wire and a command line.
//!
//! `ARCHITECTURE.md` has the map and the invariants.

#![forbid(unsafe_code)]

pub mod accounting;
pub mod algebra;
pub mod api;
pub mod catalog;
pub mod cli;
pub mod engine;
pub mod error;
pub mod governance;
mod hex;
pub mod ledger;
pub mod mechanism;
pub mod num;
pub mod policy;
pub mod proto;
pub mod server;
pub mod session;
pub mod sql;
pub mod telemetry;
