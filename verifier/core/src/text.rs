//! Text from outside, made safe for a terminal or a log line.

/// Escapes control characters, non-ASCII and backslashes (`\u{1b}`), and cuts after 200 characters with `...`.
pub fn escape(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == LONGEST {
            out.push_str("...");
            break;
        }
        match c {
            ' '..='~' if c != '\\' => out.push(c),
            _ => out.extend(c.escape_default()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn terminal_escapes_and_bidi_marks_do_not_survive() {
        assert_eq!(escape("a\x1b[31m\u{202e}\n"), "a\\u{1b}[31m\\u{202e}\\n");
        assert_eq!(escape("\"it's\""), "\"it's\"", "what is printable stays as it is");
        assert_eq!(escape("a\\b ~"), "a\\\\b ~", "an escape of the text's own is told from ours");
        assert_eq!(escape(&"x".repeat(200)), "x".repeat(200));
        assert_eq!(escape(&"x".repeat(10_000)), "x".repeat(200) + "...");
    }
}
