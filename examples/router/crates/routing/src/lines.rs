//! Lines of bounded length from an untrusted reader.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// The longest line any peer may send, in bytes, without the line feed.
pub const MAX_LINE: usize = 4096;

/// Reads lines that end in a line feed.
#[derive(Debug)]
pub struct Lines<R> {
    reader: BufReader<R>,
}

/// Why there is no next line. After any of these the stream is of no more use.
#[derive(Debug)]
pub enum LineError {
    /// Longer than [`MAX_LINE`].
    TooLong,
    /// The stream ended within a line: half an order is not an order.
    Unfinished,
    /// Not UTF-8.
    NotUtf8,
    /// Reading failed.
    Io(io::Error),
}

impl<R: Read> Lines<R> {
    /// Lines of `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader) }
    }

    fn read(&mut self) -> Result<Option<String>, LineError> {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        self.reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(LineError::Io)?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => String::from_utf8(line).map(Some).map_err(|_| LineError::NotUtf8),
            Some(_) if line.len() == MAX_LINE => Err(LineError::TooLong),
            Some(_) => Err(LineError::Unfinished),
        }
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<String, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(out, "a line is longer than {MAX_LINE} bytes"),
            Self::Unfinished => out.write_str("the stream ended within a line"),
            Self::NotUtf8 => out.write_str("a line is not UTF-8"),
            Self::Io(error) => write!(out, "{error}"),
        }
    }
}

impl std::error::Error for LineError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_come_through() {
        let lines: Vec<String> = Lines::new(&b"one\n\ntwo\n"[..]).map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "", "two"]);
    }

    #[test]
    fn a_line_has_a_longest_length() {
        let longest = [vec![b'x'; MAX_LINE], vec![b'\n']].concat();
        assert_eq!(Lines::new(&longest[..]).next().unwrap().unwrap().len(), MAX_LINE);
        let longer = [vec![b'x'; MAX_LINE + 1], vec![b'\n']].concat();
        assert!(matches!(Lines::new(&longer[..]).next(), Some(Err(LineError::TooLong))));
    }

    #[test]
    fn half_a_line_is_no_line() {
        assert!(matches!(Lines::new(&b"half"[..]).next(), Some(Err(LineError::Unfinished))));
        assert!(matches!(Lines::new(&b"\xff\n"[..]).next(), Some(Err(LineError::NotUtf8))));
    }
}
