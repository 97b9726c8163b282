//! A catalogue of likely causes of a difference. A guess, and it says so; the verdict never depends on it.

use std::fmt;

use serde::Serialize;

mod find;
mod guess;

pub(super) use find::find;

/// What is likely behind a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The source is another.
    Source,
    /// Settings of the release or files of the environment are others.
    Configuration,
    /// Compiler, linker or standard library are others.
    Toolchain,
    /// The same compiler was called otherwise.
    Flags,
    /// A variable of the environment.
    Environment,
    /// The clock.
    Time,
    /// A path of the machine.
    Path,
    /// The user or the host.
    UserHost,
    /// Language and character set of the machine.
    Locale,
    /// The number of processors.
    Processors,
    /// An address in memory.
    Address,
    /// The same things in another order.
    Order,
    /// Random numbers.
    Random,
    /// None of the known ones.
    Unknown,
    /// Only what follows from a difference elsewhere.
    Identity,
}

/// A likely cause and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The cause.
    pub cause: Cause,
    /// The file in which it shows.
    pub member: String,
    /// Where in that file: a section, function, key or line.
    pub place: Option<String>,
    /// What is there on each side.
    pub evidence: [Option<String>; 2],
    /// The crate that brought it, if that can be told.
    pub krate: Option<String>,
    /// What usually removes it.
    pub remedy: &'static str,
}

impl Cause {
    /// All of them, the most telling first.
    pub const ALL: [Self; 15] = [
        Self::Source,
        Self::Configuration,
        Self::Toolchain,
        Self::Flags,
        Self::Environment,
        Self::Time,
        Self::Path,
        Self::UserHost,
        Self::Locale,
        Self::Processors,
        Self::Address,
        Self::Order,
        Self::Random,
        Self::Unknown,
        Self::Identity,
    ];

    /// What usually removes it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Source => "compare the two commits (git diff), and build both sides from the one that was reviewed",
            Self::Configuration => "compare proofmark.toml and the files it names in both commits; sign only the one that was reviewed",
            Self::Toolchain => {
                "build both from one proofmark.lock; where the operating system is the host's, with the compilers that buildinfo.json names"
            }
            Self::Flags => "build both with the flags that buildinfo.json records; keep RUSTFLAGS and CFLAGS out of the machine",
            Self::Environment => "declare the variable under [build.env] of proofmark.toml, or keep the build script from reading it",
            Self::Time => "take the time from SOURCE_DATE_EPOCH, which is the commit's, or leave it out",
            Self::Path => {
                "keep that path out: include!() of a relative path instead of env!(\"OUT_DIR\") in a string, -ffile-prefix-map for C"
            }
            Self::UserHost => "leave user and host out of the program; whoever needs them asks at run time",
            Self::Locale => "set LC_ALL=C where the build script calls other programs, and sort by bytes",
            Self::Processors => "do not ask for the number of processors in a build script; ask at run time",
            Self::Address => "do not write addresses, or hashes and orders that come from them; number things by their order of appearance",
            Self::Order => "sort what code is generated from: BTreeMap instead of HashMap, sorted directory listings",
            Self::Random => "use a fixed seed, and BTreeMap or sorted keys instead of HashMap, where code is generated",
            Self::Unknown => {
                "build again: what differs each time is a build script's or macro's doing; a published side that alone differs is a case for your security team"
            }
            Self::Identity => "look for the difference in the other files; a build id follows from the bytes it is made of",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "another source: the code itself was changed",
            Self::Configuration => "another configuration: proofmark.toml, or a file of the environment",
            Self::Toolchain => "another compiler, linker or C library",
            Self::Flags => "other flags, features or another profile for the same compiler",
            Self::Environment => "an environment variable that a build script, env!() or a macro reads",
            Self::Time => "the clock: a build script, a macro or __DATE__ that writes the time of the build",
            Self::Path => "a path of the machine in the program (env!(\"OUT_DIR\"), file!(), a C compiler's __FILE__)",
            Self::UserHost => "the user or host name of the machine that built",
            Self::Locale => "the locale: language, character set or sorting of the machine that built",
            Self::Processors => "the number of processors, asked for by a build script",
            Self::Address => "an address in memory, which address space layout randomisation changes with each run",
            Self::Order => "the same things in another order: a HashMap or directory listing in a build script or macro",
            Self::Random => "randomness: a random number or the seed of a hash, in a build script or macro",
            Self::Unknown => "something that the inputs do not determine (clock, randomness, directory order), or a side not made from the inputs it names",
            Self::Identity => "the build id or another part that follows from a difference elsewhere",
        })
    }
}
