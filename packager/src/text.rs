//! Makes text from outside harmless before it reaches a terminal or a log.
//!
//! File names, messages of cargo and strings of binaries are written by others. This file must never let a control character through.

use std::fmt::Write as _;

/// The text on one line: control and direction-changing characters become visible escapes.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && c != '\t' {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A line of a tool's own output: colour sequences are dropped whole, other control characters become visible.
pub fn tool_line(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.trim_end_matches(['\n', '\r']).chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' && chars.peek() == Some(&'[') {
            chars.next();
            // ECMA-48 5.4: parameters and intermediates, then one final byte from @ to ~.
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        } else {
            plain.push(c);
        }
    }
    one_line(&plain)
}

/// C0, DEL, C1, and the Unicode characters that reorder what a reader sees (Trojan Source, CVE-2021-42574).
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value as JSON for people and machines: two-space indent, a final LF.
pub fn pretty<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_dropped_and_other_controls_are_shown() {
        assert_eq!(tool_line(b"\x1b[1m\x1b[32mCompiling\x1b[0m a\x07\r\n"), "Compiling a\\u{7}");
        assert_eq!(one_line("a\u{202e}b"), "a\\u{202e}b");
    }
}
