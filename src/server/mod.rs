//! The server: configuration, assembly and shutdown.

mod config;
mod operations;
mod run;
mod state;
mod tls;

pub use config::{Config, load};
pub use run::{Running, start};
pub use state::{engines, open_datasets};
