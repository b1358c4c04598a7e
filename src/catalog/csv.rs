//! A strict look at a CSV file before it is opened.
//!
//! A lenient reader makes something of anything: a quote left open swallows the rows of other units, and a row with a field too many
//! is an error of whichever question reads it. So a file is read through once, and one that is not RFC 4180 (with any of the three
//! line ends) in UTF-8 is refused, with the line and without its content.

use bytes::Bytes;
use datafusion::error::DataFusionError;
use futures::stream::{BoxStream, TryStreamExt};

/// Longest record: more is a quote left open.
const MAX_RECORD_BYTES: usize = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within a quoted field: its end, or the first of two.
    Quote,
}

/// Reads the text to its end. Every record must have as many fields as the first one. Errors name the line.
pub async fn check(
    mut text: BoxStream<'_, Result<Bytes, DataFusionError>>,
    newlines_in_values: bool,
) -> Result<(), String> {
    let mut scan = Scan::new(newlines_in_values);
    let at = |scan: &Scan, why| format!("line {}: {why}", scan.line);
    while let Some(chunk) = text.try_next().await.map_err(|e| e.strip_backtrace())? {
        chunk.iter().try_for_each(|byte| scan.byte(*byte)).map_err(|why| at(&scan, why))?;
    }
    scan.end().map_err(|why| at(&scan, why))
}

/// Reads the text to its end. No line may be so long that a reader, which holds whole lines, would exhaust memory.
pub async fn check_lines(mut text: BoxStream<'_, Result<Bytes, DataFusionError>>) -> Result<(), String> {
    let (mut line, mut length) = (1, 0);
    while let Some(chunk) = text.try_next().await.map_err(|e| e.strip_backtrace())? {
        for byte in chunk {
            (line, length) = if byte == b'\n' { (line + 1, 0) } else { (line, length + 1) };
            if length > MAX_RECORD_BYTES {
                return Err(format!("line {line}: a record has more than 16 MiB"));
            }
        }
    }
    Ok(())
}

struct Scan {
    newlines_in_values: bool,
    state: State,
    record: Vec<u8>,
    separators: usize,
    /// Separators of the first record.
    header: Option<usize>,
    line: usize,
    after_return: bool,
}

impl Scan {
    fn new(newlines_in_values: bool) -> Scan {
        Scan {
            newlines_in_values,
            state: State::FieldStart,
            record: Vec::new(),
            separators: 0,
            header: None,
            line: 1,
            after_return: false,
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        let line_end = matches!(byte, b'\n' | b'\r');
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, _) if line_end && !self.newlines_in_values => {
                return Err("a quoted field goes on in the next line; close its quote, or declare newlines_in_values");
            }
            (State::Quoted, _) => State::Quoted,
            (State::Quote, b'"') => State::Quoted,
            (_, b',') => {
                self.separators += 1;
                State::FieldStart
            }
            (_, b'\n' | b'\r') => {
                self.end_record()?;
                State::FieldStart
            }
            (State::FieldStart, b'"') => State::Quoted,
            (State::Quote, _) => return Err("a quoted field goes on after its closing quote; double quotes within it"),
            (State::Plain, b'"') => return Err("a quote stands within a field; quote the whole field and double it"),
            (State::FieldStart | State::Plain, _) => State::Plain,
        };
        if !line_end || self.state == State::Quoted {
            self.record.push(byte);
        }
        if self.record.len() > MAX_RECORD_BYTES {
            return Err("a record has more than 16 MiB");
        }
        self.line += usize::from(byte == b'\r' || (byte == b'\n' && !self.after_return));
        self.after_return = byte == b'\r';
        Ok(())
    }

    /// Readers skip empty lines, so they are no records.
    fn end_record(&mut self) -> Result<(), &'static str> {
        if !self.record.is_empty() {
            std::str::from_utf8(&self.record).map_err(|_| "text is not UTF-8")?;
            if *self.header.get_or_insert(self.separators) != self.separators {
                return Err("a record has more or fewer fields than the header");
            }
        }
        self.record.clear();
        self.separators = 0;
        Ok(())
    }

    fn end(&mut self) -> Result<(), &'static str> {
        match self.state {
            State::Quoted => Err("a quote is not closed"),
            State::FieldStart | State::Plain | State::Quote => self.end_record(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8], newlines_in_values: bool) -> Result<(), (usize, &'static str)> {
        let mut scan = Scan::new(newlines_in_values);
        let done = bytes.iter().try_for_each(|b| scan.byte(*b)).and_then(|()| scan.end());
        done.map_err(|why| (scan.line, why))
    }

    #[test]
    fn well_formed_files_pass() {
        for good in [
            &b"a,b\n1,2\n"[..],
            b"a,b\r\n1,2\r\n\r\n3,\"x, \"\"y\"\"\"",
            b"a,b\r1,2\r",
            b"a\n\"\"\n\n",
            b"",
            "a,b\n\u{e4},\u{1f600}\n".as_bytes(),
        ] {
            assert_eq!(scan(good, false), Ok(()), "{}", String::from_utf8_lossy(good));
        }
        assert_eq!(scan(b"a,b\n\"1\r\n2\",3\n", true), Ok(()));
    }

    #[test]
    fn what_a_lenient_reader_would_make_something_of_is_refused() {
        for (bad, line, words) in [
            (&b"a,b\n1,2,3\n"[..], 2, "more or fewer fields"),
            (b"a,b\n1\n", 2, "more or fewer fields"),
            (b"a,b\n1,2\r\n3,\xff\n", 3, "not UTF-8"),
            (b"a,b\n1,\"2\n3,4\n", 2, "in the next line"),
            (b"a,b\n1,\"2", 2, "not closed"),
            (b"a,b\n1,\"2\"3\n", 2, "after its closing quote"),
            (b"a,b\n1,2\"\n", 2, "within a field"),
        ] {
            let (at, why) = scan(bad, false).unwrap_err();
            assert!(at == line && why.contains(words), "{}: {at} {why}", String::from_utf8_lossy(bad));
        }
        assert!(scan(b"a,b\n1,\"2\n3,4\n5,6\n", true).unwrap_err().1.contains("not closed"));
    }
}
