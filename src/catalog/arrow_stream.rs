//! A strict look at an Arrow IPC stream before it is opened.
//!
//! A reader takes the end of the file for the end of the stream, and what follows the end of a stream for nothing. So a file that was cut
//! between two messages, or that holds several streams, would be read in part. Source: the Arrow columnar format, "IPC Streaming Format".

use arrow::ipc::root_as_message;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What an Arrow IPC file begins with; such a file has a footer, which its reader needs.
const FILE_MAGIC: &[u8; 6] = b"ARROW1";
/// Before each message since version 0.15 of the format.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Longest description of a message.
const MAX_METADATA_BYTES: u32 = 64 << 20;

/// Reads a stream to its end marker, after which there must be nothing. Files with a footer pass unread.
pub async fn check(mut bytes: impl AsyncRead + Unpin) -> Result<(), &'static str> {
    const CUT: &str = "is cut off: an Arrow stream must go on to its end marker";
    let mut first = true;
    loop {
        let mut prefix = [0; 8];
        bytes.read_exact(&mut prefix).await.map_err(|_| CUT)?;
        if first && prefix.starts_with(FILE_MAGIC) {
            return Ok(());
        }
        first = false;
        let (marker, length) = prefix.split_at(4);
        if marker != CONTINUATION {
            return Err("is no Arrow IPC file or stream of format version 5 (Arrow 0.15 or later)");
        }
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        if length == 0 {
            let mut more = [0; 1];
            return match bytes.read(&mut more).await {
                Ok(0) => Ok(()),
                _ => Err("goes on after the end of its stream: write one stream to a file"),
            };
        }
        if length > MAX_METADATA_BYTES {
            return Err("has a message of an absurd size");
        }
        let mut metadata = vec![0; length as usize];
        bytes.read_exact(&mut metadata).await.map_err(|_| CUT)?;
        let message = root_as_message(&metadata).map_err(|_| "has a message that cannot be read")?;
        let body = u64::try_from(message.bodyLength()).map_err(|_| "has a message that cannot be read")?;
        let skipped = tokio::io::copy(&mut (&mut bytes).take(body), &mut tokio::io::sink()).await;
        if skipped.ok() != Some(body) {
            return Err(CUT);
        }
    }
}
