#![forbid(unsafe_code)]

pub mod accounting;
pub mod algebra;
pub mod api;
pub mod catalog;
pub mod cli;
pub mod engine;
pub mod error;
pub mod governance;
pub mod ledger;
pub mod mechanism;
pub mod num;
pub mod proto;
pub mod server;
pub mod session;
pub mod sql;
