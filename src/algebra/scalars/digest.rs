//! Digests of the UTF-8 bytes of a text: MD5 (RFC 1321) and SHA-2 (FIPS 180-4) by RustCrypto, and the CRC-32 of zlib.

use super::{Bounds, Overload, Scalar, Type, Value, short, unknown};
use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// Name, meaning, and what it gives, how and with which bounds.
macro_rules! digest {
    ($name:literal, $about:literal, $gives:ident, $of:expr, $bounds:expr) => {
        Scalar {
            name: $name,
            aliases: &[],
            overloads: &[Overload { takes: &[Type::Text], gives: Type::$gives, of: $of, bounds: $bounds }],
            about: $about,
            form: concat!($name, "(text)"),
        }
    };
}

pub const ALL: &[Scalar] = &[
    digest!("md5", "The MD5 digest of the text, as 32 hexadecimal digits.", Text, hex::<Md5>, unknown),
    digest!("sha224", "The SHA-224 digest of the text, as 56 hexadecimal digits.", Text, hex::<Sha224>, unknown),
    digest!("sha256", "The SHA-256 digest of the text, as 64 hexadecimal digits.", Text, hex::<Sha256>, unknown),
    digest!("sha384", "The SHA-384 digest of the text, as 96 hexadecimal digits.", Text, hex::<Sha384>, unknown),
    digest!("sha512", "The SHA-512 digest of the text, as 128 hexadecimal digits.", Text, hex::<Sha512>, unknown),
    digest!("crc32", "The CRC-32 checksum of the text, as zlib has it: from 0 to 4294967295.", Int, crc32, |_| {
        Bounds::new(0.0, f64::from(u32::MAX))
    }),
];

fn hex<D: Digest>(arguments: &[Value]) -> Option<Value<'static>> {
    match arguments {
        [Value::Text(text)] => short(D::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => None,
    }
}

/// Bit by bit, the lowest first, with the IEEE 802.3 polynomial in that order of bits.
fn crc32(arguments: &[Value]) -> Option<Value<'static>> {
    let [Value::Text(text)] = arguments else {
        return None;
    };
    let shifted = |rest: u32, _| if rest & 1 == 1 { (rest >> 1) ^ 0xEDB8_8320 } else { rest >> 1 };
    let rest = text.bytes().fold(!0, |rest, byte| (0..8).fold(rest ^ u32::from(byte), shifted));
    Some(Value::Int(i64::from(!rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, text: &str) -> Option<Value<'static>> {
        let scalar = ALL.iter().find(|scalar| scalar.name == name).expect(name);
        (scalar.overloads[0].of)(&[Value::Text(text.into())])
    }

    /// By `md5sum`, `sha224sum` and so on.
    #[test]
    fn known_digests() {
        for (name, text, expected) in [
            ("md5", "", "d41d8cd98f00b204e9800998ecf8427e"),
            ("md5", "abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("md5", "é", "66ddcd97cfdeabb2f6fb8a999b4bc76f"),
            ("sha224", "", "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"),
            ("sha224", "abc", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            ("sha256", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("sha256", "é", "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"),
            (
                "sha384",
                "",
                "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
            ),
            (
                "sha384",
                "abc",
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                "sha512",
                "",
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            ),
            (
                "sha512",
                "abc",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            assert!(call(name, text) == Some(Value::Text(expected.into())), "{name}({text})");
        }
    }

    #[test]
    fn known_checksums() {
        let highest = (ALL[5].overloads[0].bounds)(&[None]).map(|bounds| bounds.high);
        assert!(highest == Some(4294967295.0), "bounds");
        for (text, expected) in [("", 0), ("123456789", 0xCBF4_3926), ("abc", 891568578), ("é", 235179326)] {
            assert!(call("crc32", text) == Some(Value::Int(expected)), "crc32({text})");
        }
        assert!(call("crc32", &"𝄞".repeat(256)) == Some(Value::Int(370123577)), "long");
    }
}
