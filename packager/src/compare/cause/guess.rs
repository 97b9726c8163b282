//! Guesses a cause from text that differs.

use super::Cause;

/// The cause that two texts in the same place speak for, if any.
pub(super) fn guess(a: &str, b: &str) -> Option<Cause> {
    // Rust's strings have no end, so that what is near a difference need not belong to it: numbers count only where they touch it.
    let (word_a, word_b) = around_difference(a, b, |c| c.is_whitespace() || matches!(c, '"' | '\'' | '`'));
    let (number_a, number_b) = changed_word(a, b);
    let both = |test: fn(&str) -> bool| test(a) && test(b);
    let touched = |test: fn(&str) -> bool| test(word_a) && test(word_b);
    let either = |words: &[&str]| [a, b].iter().any(|text| words.iter().any(|word| text.to_ascii_lowercase().contains(word)));
    // The order matters: a time may be part of a path, and a path looks like anything.
    if both(is_tool_version) {
        return Some(Cause::Toolchain);
    }
    if let Some(name) = variable(a).filter(|name| variable(b) == Some(name)) {
        return Some(match name {
            "USER" | "LOGNAME" | "USERNAME" | "HOSTNAME" | "HOST" => Cause::UserHost,
            "LANG" | "LANGUAGE" => Cause::Locale,
            _ if name.starts_with("LC_") => Cause::Locale,
            "RUSTFLAGS" | "CFLAGS" | "CXXFLAGS" | "LDFLAGS" => Cause::Flags,
            "NUM_JOBS" => Cause::Processors,
            "SOURCE_DATE_EPOCH" | "TZ" => Cause::Time,
            _ => Cause::Environment,
        });
    }
    if touched(looks_like_address) {
        return Some(Cause::Address);
    }
    let (times_a, times_b) = (times(a), times(b));
    if !times_a.is_empty() && !times_b.is_empty() && times_a != times_b {
        return Some(Cause::Time);
    }
    if touched(looks_like_locale) {
        return Some(Cause::Locale);
    }
    if either(&["-o0", "-o1", "-o2", "-o3", "-march=", "-mtune=", "target-cpu", "opt-level", "codegen-units"]) {
        return Some(Cause::Flags);
    }
    if is_reordered(a, b) {
        return Some(Cause::Order);
    }
    if either(&["cpu", "core", "processor", "thread", "parallel", "jobs"]) && touched(|text| small_number(text).is_some()) {
        return Some(Cause::Processors);
    }
    let names = ["hostname", "host=", "host:", "user=", "user:", "username", "built by", "builder=", "built on"];
    if either(&names) || touched(is_account) {
        return Some(Cause::UserHost);
    }
    if touched(|word| word.matches('/').count() >= 2) && [word_a, word_b].iter().all(|word| begins_as_path(word, word_a, word_b)) {
        return Some(Cause::Path);
    }
    if looks_random(number_a) && looks_random(number_b) {
        return Some(Cause::Random);
    }
    let rest = |text: &str| text.trim_start_matches(|c: char| !c.is_ascii_digit()).len() <= 3;
    (both(|text| small_number(text).is_some()) && rest(a) && rest(b)).then_some(Cause::Processors)
}

/// The letters and digits in which two texts differ.
pub(super) fn changed_word<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    around_difference(a, b, |c| !c.is_alphanumeric())
}

/// The parts of both texts in which they differ: from the last end of a part before the difference to the first after it.
fn around_difference<'a>(a: &'a str, b: &'a str, ends: impl Fn(char) -> bool + Copy) -> (&'a str, &'a str) {
    let front: usize = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
    let (rest_a, rest_b) = (&a[front..], &b[front..]);
    let back: usize = rest_a.chars().rev().zip(rest_b.chars().rev()).take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
    let start = a[..front].rfind(ends).map_or(0, |at| at + a[at..].chars().next().map_or(1, char::len_utf8));
    let word = |text: &'a str| {
        let end = text.len() - back;
        let after = text[end..].find(ends).map_or(text.len(), |at| end + at);
        &text[start..after]
    };
    (word(a), word(b))
}

/// Whether a slash stands before or in the difference of two words: behind it, it is only what follows in memory.
fn begins_as_path(word: &str, a: &str, b: &str) -> bool {
    let back = a.bytes().rev().zip(b.bytes().rev()).take_while(|(x, y)| x == y).count();
    word.as_bytes()[..word.len().saturating_sub(back)].contains(&b'/')
}

/// Clock times, dates, and seconds since 1970 of this century (ten digits that begin with 1 or 2, or finer units).
fn times(text: &str) -> Vec<&str> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let starts = (0..text.len()).filter(|&at| text.is_char_boundary(at) && (at == 0 || !text.as_bytes()[at - 1].is_ascii_digit()));
    let time = |rest: &str| -> Option<usize> {
        let count = digits(rest);
        let epoch = matches!(count, 10 | 13 | 16 | 19) && (rest.starts_with('1') || rest.starts_with('2'));
        let pair = |at: usize, mark: char| rest.get(at..).and_then(|rest| rest.strip_prefix(mark)).is_some_and(|rest| digits(rest) == 2);
        // __DATE__: three letters of the month, the day padded with a space, the year.
        let c_date = || MONTHS.iter().any(|month| rest.strip_prefix(month).is_some_and(|rest| digits(rest.trim_start()) > 0));
        match () {
            () if epoch => Some(count),
            () if count == 2 && pair(2, ':') => Some(if pair(5, ':') { 8 } else { 5 }),
            () if count == 4 && pair(4, '-') && pair(7, '-') => Some(10),
            () if count == 0 && c_date() => Some(11),
            () => None,
        }
    };
    starts.map(|at| &text[at..]).filter_map(|rest| time(rest).map(|length| rest.get(..length).unwrap_or(rest))).collect()
}

/// Hex of 16 digits or more, or a decimal number of more than 10 digits.
fn looks_random(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_hexdigit())
        .any(|word| word.len() >= 16 || (word.len() > 10 && word.bytes().all(|b| b.is_ascii_digit())))
}

/// An address where Linux puts stacks, libraries and position-independent programs on x86-64 and AArch64 (47 and 48 bits).
fn looks_like_address(text: &str) -> bool {
    text.split("0x").skip(1).any(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        digits == 12 && ["7f", "7e", "55", "56", "aa", "ff"].iter().any(|start| rest.starts_with(start))
    })
}

/// `de_DE`, `tr_TR.UTF-8`, or a name of a character set.
fn looks_like_locale(text: &str) -> bool {
    let is_name = |word: &str| {
        let word = word.as_bytes();
        word.len() >= 5
            && word[2] == b'_'
            && word[..2].iter().all(u8::is_ascii_lowercase)
            && word[3..5].iter().all(u8::is_ascii_uppercase)
            && !word.get(5).is_some_and(u8::is_ascii_alphanumeric)
    };
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))
        .any(|word| is_name(word) || matches!(word, "C.UTF-8" | "POSIX" | "UTF-8" | "ISO-8859-1" | "ISO-8859-15" | "ANSI_X3.4-1968"))
}

/// What compilers and linkers leave in `.comment`, and what `rustc -vV` prints.
fn is_tool_version(text: &str) -> bool {
    ["rustc version ", "rustc 1.", "GCC: (", "clang version ", "Linker: ", "LLVM version", "gcc version ", "mold "]
        .iter()
        .any(|mark| text.contains(mark))
}

/// `someone@somewhere`.
fn is_account(text: &str) -> bool {
    text.split_whitespace().any(|word| word.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()))
}

/// The name in the first `NAME=value` that is spelled as a variable.
fn variable(text: &str) -> Option<&str> {
    text.match_indices('=').find_map(|(at, _)| {
        let name = text[..at].rsplit(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).next()?;
        (name.len() >= 2 && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
    })
}

/// The last number of a text, if it has at most three digits.
fn small_number(text: &str) -> Option<u16> {
    let text = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let start = text.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let digits = &text[start..];
    (1..=3).contains(&digits.len()).then(|| digits.parse().ok())?
}

/// The same words, at least three, in another order.
fn is_reordered(a: &str, b: &str) -> bool {
    let words = |text: &str| {
        let mut words: Vec<String> =
            text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        words.sort();
        words
    };
    let (x, y) = (words(a), words(b));
    a != b && x.len() >= 3 && x == y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_leaks_are_told_apart() {
        for (a, b, want) in [
            ("built 2026-11-23 10:00:01", "built 2026-11-23 10:00:05", Some(Cause::Time)),
            ("STAMP: &str = \"1795392001123456789\"", "STAMP: &str = \"1795392005123456789\"", Some(Cause::Time)),
            ("Nov  1 2026", "Nov 23 2026", Some(Cause::Time)),
            ("/tmp/a/src/main.rs", "/tmp/bb/src/main.rs", Some(Cause::Path)),
            ("seed 9f86d081884c7d65", "seed 60303ae22b998861", Some(Cause::Random)),
            ("cpus=2", "cpus=1", Some(Cause::Processors)),
            ("threads: 16", "threads: 8", Some(Cause::Processors)),
            ("alpha beta gamma", "gamma alpha beta", Some(Cause::Order)),
            ("table at 0x7ffc12345678", "table at 0x7ffd87654321", Some(Cause::Address)),
            ("rustc version 1.95.0 (abc)", "rustc version 1.94.0 (def)", Some(Cause::Toolchain)),
            ("GCC: (Debian 12.2.0-14) 12.2.0", "GCC: (Debian 14.2.0-1) 14.2.0", Some(Cause::Toolchain)),
            ("cc -O2 -c x.c", "cc -O3 -c x.c", Some(Cause::Flags)),
            ("BUILD_MODE=fast", "BUILD_MODE=slow", Some(Cause::Environment)),
            ("USER=alice", "USER=bob", Some(Cause::UserHost)),
            ("built by alice", "built by bob", Some(Cause::UserHost)),
            ("root@build-1", "root@build-2", Some(Cause::UserHost)),
            ("LC_ALL=C", "LC_ALL=tr_TR.UTF-8", Some(Cause::Locale)),
            ("de_DE.UTF-8", "tr_TR.UTF-8", Some(Cause::Locale)),
            ("alpha", "beta", None),
            // What merely follows in memory is not what differs.
            ("one/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/x.rs", "two/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/x.rs", None),
            ("2026-11-24 alpha", "2026-11-24 beta", None),
        ] {
            assert_eq!(guess(a, b), want, "{a}");
        }
    }

    #[test]
    fn no_text_makes_a_guess_panic() {
        for text in ["", "é", "=", "0x", "日本語 12:0", "\u{10ffff}5", "A=é", "12:é", "2026-é", "é-12"] {
            guess(text, text);
            guess(text, "12:00:00 é");
        }
    }
}
