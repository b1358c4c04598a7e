//! The generated messages and services of `proto/`, checked in so that nobody needs protoc.

#[allow(clippy::all, clippy::pedantic, missing_docs)]
#[rustfmt::skip]
#[path = "undertone.v1.rs"]
mod generated;

pub use generated::*;

/// The encoded file descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");
