//! Answers as they are kept: encrypted, where the server has a key for it.
//!
//! AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits, which one key may have for 2^32 answers; bound to the account that paid. A sealed text is [`MARK`], the
//! first eight bytes of the key's SHA-256, the nonce, and the ciphertext with its tag. What was kept before there was a key stays readable.
//!
//! Earlier keys open what they sealed, and seal nothing more. What is lost with a key are answers, never budgets.

use super::{Account, damaged};
use crate::error::{Code, Error, Result};
use crate::hex::unhex;
use rand::{TryRng, rngs::SysRng};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// No protobuf message and no JSON begins like this.
const MARK: &[u8; 4] = b"\x07ut1";
const NAME: usize = 8;

/// The keys of a server; the first one seals.
#[derive(Clone, Default)]
pub struct Keys(Arc<Vec<([u8; NAME], LessSafeKey)>>);

impl Keys {
    /// From files that hold 64 hexadecimal digits each.
    ///
    /// Errors: `CONFIGURATION`.
    pub fn read<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Keys> {
        let key = |file: &Path| {
            let fail = |why: &str| Error::configuration(format!("encryption key {}: {why}", file.display()));
            let text = std::fs::read_to_string(file).map_err(|e| fail(&e.to_string()))?;
            let bytes = unhex(text.trim()).filter(|bytes| bytes.len() == AES_256_GCM.key_len());
            let bytes =
                bytes.ok_or_else(|| fail("it must hold 64 hexadecimal digits, as `undertone ledger key` prints"))?;
            let name = Sha256::digest(&bytes)[..NAME].try_into().unwrap_or_default();
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| fail("it cannot be used"))?;
            Ok((name, LessSafeKey::new(key)))
        };
        Ok(Keys(Arc::new(files.into_iter().map(key).collect::<Result<_>>()?)))
    }

    /// Whether there is a key.
    pub(super) fn can_seal(&self) -> bool {
        !self.0.is_empty()
    }

    /// Encrypts where there is a key.
    pub(super) fn seal(&self, account: &Account, plain: Vec<u8>) -> Result<Vec<u8>> {
        let Some((name, key)) = self.0.first() else { return Ok(plain) };
        let mut nonce = [0; NONCE_LEN];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| Error::internal("the operating system gives no randomness"))?;
        let mut text = plain;
        let sealed = key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound_to(account), &mut text);
        sealed.map_err(|_| Error::internal("an answer cannot be encrypted"))?;
        Ok([MARK.as_slice(), name, &nonce, &text].concat())
    }

    /// Decrypts what is encrypted.
    ///
    /// Errors: `LEDGER_UNAVAILABLE` where its key is not there, or it is not what was sealed for this account.
    pub(super) fn open(&self, account: &Account, kept: Vec<u8>) -> Result<Vec<u8>> {
        let Some(sealed) = kept.strip_prefix(MARK) else { return Ok(kept) };
        let (name, sealed) = sealed.split_at_checked(NAME).ok_or_else(damaged)?;
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let Some((_, key)) = self.0.iter().find(|(known, _)| known == name) else {
            let message = "this answer is encrypted with a key that the server does not have: an operator must add it to ledger.earlier_encryption_keys";
            return Err(Error::new(Code::LedgerUnavailable, message));
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut text = text.to_vec();
        let plain = key.open_in_place(nonce, bound_to(account), &mut text).map_err(|_| damaged())?;
        Ok(plain.to_vec())
    }
}

fn bound_to(account: &Account) -> Aad<Vec<u8>> {
    let Account { dataset, principal, purpose } = account;
    // No name has a space.
    Aad::from(format!("{dataset} {principal} {purpose}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(digits: &[char]) -> Keys {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<_> = digits
            .iter()
            .map(|digit| {
                let path = dir.path().join(digit.to_string());
                std::fs::write(&path, format!("{}\n", digit.to_string().repeat(64))).unwrap();
                path
            })
            .collect();
        Keys::read(files.iter().map(|path| path.as_path())).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_account_alone() {
        let ana = Account { dataset: "shop".into(), principal: "ana".into(), purpose: "service".into() };
        let ben = Account { principal: "ben".into(), ..ana.clone() };
        let plain = b"an answer".to_vec();
        let sealed = keys(&['1']).seal(&ana, plain.clone()).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"answer"));
        assert_ne!(sealed, keys(&['1']).seal(&ana, plain.clone()).unwrap(), "a nonce was used twice");
        for known in [keys(&['1']), keys(&['2', '1'])] {
            assert_eq!(known.open(&ana, sealed.clone()).unwrap(), plain);
            assert!(known.open(&ben, sealed.clone()).is_err());
        }
        for unknown in [keys(&[]), keys(&['2'])] {
            assert!(unknown.open(&ana, sealed.clone()).unwrap_err().message.contains("earlier_encryption_keys"));
        }
        for at in 4..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys(&['1']).open(&ana, changed).is_err(), "{at}");
            assert!(keys(&['1']).open(&ana, sealed[..at].to_vec()).is_err(), "{at}");
        }
        // What was kept without a key is read with one, and is not changed without any.
        assert_eq!(keys(&['1']).open(&ana, plain.clone()).unwrap(), plain);
        assert_eq!(keys(&[]).seal(&ana, plain.clone()).unwrap(), plain);
    }
}
