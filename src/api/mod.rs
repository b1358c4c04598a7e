//! The wire: gRPC messages to and from the session, callers and their tokens, errors as statuses.

mod auth;
mod flight;
mod governance;
mod grpc;
mod password;
mod status;

pub use auth::{Credential, Principals, digest, new_key, new_token};
pub use governance::{effect_message, version_message};
pub use grpc::{BudgetApi, CatalogApi, QueryApi, serve_routes};
pub use password::{check_hash as check_password_hash, hash as password_hash};
pub(crate) use status::grpc_code;
pub use status::{CODE_KEY, POSITION_KEY, with_code};
