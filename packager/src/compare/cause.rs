//! A catalogue of likely causes of a difference. A guess, and it says so; the verdict never depends on it.

use std::fmt;

use serde::Serialize;

/// What is likely behind a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// A path of the machine.
    Path,
    /// The clock.
    Time,
    /// Random numbers, addresses or the order of a hash map.
    Random,
    /// The number of processors.
    Processors,
    /// Code came out in another order or form.
    Code,
    /// Only the identity of the file, which follows from the rest.
    Identity,
    /// None of the known ones.
    Unknown,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "a path of the machine in the program (env!(\"OUT_DIR\"), file!(), a C compiler's __FILE__)",
            Self::Time => "the clock: a build script, a macro or __DATE__ that writes the time of the build",
            Self::Random => "randomness: a random number, an address, or the order of a HashMap, in a build script or macro",
            Self::Processors => "the number of processors, asked for by a build script",
            Self::Code => "generated code in another order: a HashMap or directory listing in a build script or macro",
            Self::Identity => "the build id, which follows from a difference elsewhere",
            Self::Unknown => "a build script or macro that uses clock, randomness, processor count or directory order",
        })
    }
}

impl Cause {
    /// What usually removes it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Path => {
                "keep that path out: include!() of a relative path instead of env!(\"OUT_DIR\") in a string, -ffile-prefix-map for C"
            }
            Self::Time => "take the time from SOURCE_DATE_EPOCH, which is the commit's, or leave it out",
            Self::Random => "use a fixed seed, and BTreeMap or sorted keys instead of HashMap, where code is generated",
            Self::Processors => "do not ask for the number of processors in a build script; ask at run time",
            Self::Code => "sort what code is generated from: BTreeMap instead of HashMap, sorted directory listings",
            Self::Identity | Self::Unknown => {
                "make the build script or macro write the same bytes each time: no clock, no random numbers, sorted maps and listings"
            }
        }
    }
}

/// Guesses from the section and the strings on both sides.
pub(super) fn guess(section: Option<&str>, strings: &[Option<String>; 2], same_size: bool) -> Cause {
    if let [Some(a), Some(b)] = strings {
        let both = |test: fn(&str) -> bool| test(a) && test(b);
        if both(looks_like_time) {
            return Cause::Time;
        }
        if both(|text| text.contains('/') && text.split('/').count() > 2) {
            return Cause::Path;
        }
        if both(looks_random) {
            return Cause::Random;
        }
        let (a, b) = (a.trim_start_matches(|c: char| !c.is_ascii_digit()), b.trim_start_matches(|c: char| !c.is_ascii_digit()));
        if a.len() <= 3 && b.len() <= 3 && a.parse::<u16>().is_ok() && b.parse::<u16>().is_ok() {
            return Cause::Processors;
        }
    }
    match section {
        Some(".note.gnu.build-id") => Cause::Identity,
        Some(".text") if !same_size => Cause::Code,
        _ => Cause::Unknown,
    }
}

/// A clock time, a date, or seconds since 1970 of this century (ten digits that begin with 1 or 2, or finer units).
fn looks_like_time(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let starts = (0..text.len()).filter(|&at| text.is_char_boundary(at) && (at == 0 || !text.as_bytes()[at - 1].is_ascii_digit()));
    starts.map(|at| &text[at..]).any(|rest| {
        let count = digits(rest);
        let epoch = matches!(count, 10 | 13 | 16 | 19) && (rest.starts_with('1') || rest.starts_with('2'));
        let clock = count == 2 && rest[2..].starts_with(':') && digits(&rest[3..]) == 2;
        let date = count == 4 && rest[4..].starts_with('-') && digits(&rest[5..]) == 2;
        epoch || clock || date
    })
}

/// Hex of 16 digits or more, or a decimal number of more than 10 digits.
fn looks_random(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_hexdigit())
        .any(|word| word.len() >= 16 || (word.len() > 10 && word.bytes().all(|b| b.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_leaks_are_told_apart() {
        for (a, b, want) in [
            ("built 2026-11-23 10:00:01", "built 2026-11-23 10:00:05", Cause::Time),
            ("STAMP=1795392001123456789;", "STAMP=1795392005123456789;", Cause::Time),
            ("/tmp/a/src/main.rs", "/tmp/bb/src/main.rs", Cause::Path),
            ("seed 9f86d081884c7d65", "seed 60303ae22b998861", Cause::Random),
            ("cpus=2", "cpus=1", Cause::Processors),
            ("alpha", "beta", Cause::Unknown),
        ] {
            assert_eq!(guess(Some(".rodata"), &[Some(a.into()), Some(b.into())], true), want, "{a}");
        }
        assert_eq!(guess(Some(".note.gnu.build-id"), &[None, None], true), Cause::Identity);
    }
}
