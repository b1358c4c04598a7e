//! The server: configuration, assembly and shutdown.

mod config;
mod operations;
mod policy;
mod run;
mod state;
mod tls;

pub use config::{Config, load};
pub use policy::{apply as apply_policy, check_policy};
pub use run::{Running, start};
pub use state::{engines, open_datasets};
