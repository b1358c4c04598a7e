//! Bytes as lower-case hexadecimal: digests, tokens, query ids.

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
