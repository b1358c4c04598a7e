//! The generated messages and services of `proto/`, checked in so that nobody needs protoc.

#[allow(clippy::all, clippy::pedantic, missing_docs)]
#[rustfmt::skip]
#[path = "undertone.v1.rs"]
mod generated;

pub use generated::*;

/// The encoded file descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// A mechanism's number as its name, in JSON.
fn mechanism_name<S: serde::Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(Mechanism::try_from(*number).map_or("MECHANISM_UNKNOWN", |m| m.as_str_name()))
}
