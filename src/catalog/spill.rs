//! Files for rows that do not fit into memory.
//!
//! They hold private rows, so they are encrypted with a key that is in this process's memory alone (ChaCha20, RFC 8439, one random key
//! for each file), and have no name: the operating system frees them whenever the process ends, however it does.

use super::reader::SpillOptions;
use bytes::Bytes;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20::{ChaCha20, Key};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::spill_file::{SpillFile, SpillWriter, TempFileFactory};
use futures::Stream;
use rand::TryRng;
use rand::rngs::SysRng;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are read or written at a time.
const CHUNK: u64 = 1 << 20;

/// Makes the files of one question, which together hold at most its share.
pub struct EncryptedFiles {
    directory: PathBuf,
    space: Arc<Space>,
}

/// Bytes on disk, and the most that there may be.
struct Space {
    used: AtomicU64,
    most: u64,
}

impl EncryptedFiles {
    pub fn new(options: &SpillOptions) -> EncryptedFiles {
        let space = Arc::new(Space { used: AtomicU64::new(0), most: options.bytes });
        EncryptedFiles { directory: options.directory.clone(), space }
    }
}

impl TempFileFactory for EncryptedFiles {
    fn create_temp_file(&self, _description: &str) -> Result<Arc<dyn SpillFile>> {
        let mut key = Key::default();
        SysRng.try_fill_bytes(&mut key).map_err(|_| io::Error::other("the operating system gives no randomness"))?;
        let file = tempfile::tempfile_in(&self.directory)?;
        let disk = Disk { file, written: AtomicU64::new(0), space: self.space.clone() };
        Ok(Arc::new(Encrypted { key, disk: Arc::new(disk) }))
    }
}

/// A file without a name. Its space is free again when nobody reads or writes it any more.
struct Disk {
    file: File,
    written: AtomicU64,
    space: Arc<Space>,
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.space.used.fetch_sub(*self.written.get_mut(), Ordering::Relaxed);
    }
}

struct Encrypted {
    key: Key,
    disk: Arc<Disk>,
}

impl Encrypted {
    /// The key stream from a place in the file on. A key is used for one file, so the nonce is fixed.
    fn cipher(&self, at: u64) -> ChaCha20 {
        let mut cipher = ChaCha20::new(&self.key, &Default::default());
        cipher.seek(at);
        cipher
    }
}

impl SpillFile for Encrypted {
    fn size(&self) -> Option<u64> {
        Some(self.disk.written.load(Ordering::Acquire))
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let (disk, cipher) = (self.disk.clone(), self.cipher(0));
        let chunks = futures::stream::try_unfold((disk, cipher, 0u64), |(disk, mut cipher, at)| async move {
            let left = disk.written.load(Ordering::Acquire) - at;
            if left == 0 {
                return Ok(None);
            }
            let mut chunk = vec![0u8; left.min(CHUNK) as usize];
            disk.file.read_exact_at(&mut chunk, at)?;
            cipher.apply_keystream(&mut chunk);
            let next = at + chunk.len() as u64;
            Ok::<_, DataFusionError>(Some((Bytes::from(chunk), (disk, cipher, next))))
        });
        Ok(Box::pin(chunks))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let at = self.disk.written.load(Ordering::Acquire);
        Ok(Box::new(Writer { disk: self.disk.clone(), cipher: self.cipher(at), buffer: Vec::new() }))
    }
}

struct Writer {
    disk: Arc<Disk>,
    cipher: ChaCha20,
    /// Not yet encrypted.
    buffer: Vec<u8>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() as u64 >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let (space, length) = (&self.disk.space, self.buffer.len() as u64);
        if space.used.fetch_add(length, Ordering::Relaxed) + length > space.most {
            space.used.fetch_sub(length, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the question's share of the disk is full"));
        }
        self.cipher.apply_keystream(&mut self.buffer);
        let at = self.disk.written.load(Ordering::Acquire);
        let written = self.disk.file.write_all_at(&self.buffer, at);
        // Counted even where the disk is full: the space is given back when the file goes.
        self.disk.written.store(at + length, Ordering::Release);
        self.buffer.clear();
        written
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        Ok(self.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    fn files(bytes: u64) -> (tempfile::TempDir, EncryptedFiles) {
        let directory = tempfile::tempdir().unwrap();
        let files = EncryptedFiles::new(&SpillOptions { directory: directory.path().to_owned(), bytes });
        (directory, files)
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_nobody_else_can() {
        let (directory, files) = files(64 << 20);
        let file = files.create_temp_file("").unwrap();
        let text: Vec<u8> = b"a row of somebody ".repeat(200_000);
        let mut writer = file.open_writer().unwrap();
        for part in text.chunks(77_777) {
            writer.write_all(part).unwrap();
        }
        writer.finish().unwrap();
        // A second writer goes on where the first one ended.
        let mut writer = file.open_writer().unwrap();
        writer.write_all(b"the end").unwrap();
        writer.finish().unwrap();
        let read: Vec<Bytes> = file.read_stream().unwrap().try_collect().await.unwrap();
        assert!(read.concat() == [&text[..], b"the end"].concat());
        assert_eq!(file.size(), Some(text.len() as u64 + 7));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

        let mut raw = vec![0; text.len()];
        let (disk, key) = (tempfile::tempfile().unwrap(), Key::default());
        let space = Arc::new(Space { used: AtomicU64::new(0), most: u64::MAX });
        let plain = Encrypted { key, disk: Arc::new(Disk { file: disk, written: AtomicU64::new(0), space }) };
        let mut writer = plain.open_writer().unwrap();
        writer.write_all(&text).unwrap();
        writer.finish().unwrap();
        plain.disk.file.read_exact_at(&mut raw, 0).unwrap();
        assert!(!raw.windows(8).any(|window| window == b"somebody"));
    }

    #[test]
    fn a_question_has_its_share_of_the_disk() {
        let (_directory, files) = files(3000);
        let (first, second) = (files.create_temp_file("").unwrap(), files.create_temp_file("").unwrap());
        let fill = |file: &Arc<dyn SpillFile>, bytes| {
            let mut writer = file.open_writer().unwrap();
            writer.write_all(&vec![1; bytes]).unwrap();
            writer.finish()
        };
        assert!(fill(&first, 2000).is_ok());
        assert!(fill(&second, 2000).is_err());
        assert!(fill(&second, 1000).is_ok());
        drop(first);
        assert!(fill(&second, 2000).is_ok());
    }
}
