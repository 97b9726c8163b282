//! The deterministic machine: everything that a program inside can ask the machine for, and that is not an input of the build, has
//! one answer. docs/determinism.md lists the answers and says what is beyond them.
//!
//! Three means: constant files (most of /proc, /dev/urandom), settings of the worker (no address randomisation, limits), and a library
//! in every dynamic program, for what only the C library is asked. The library is the C source in `machine/`, compiled inside the
//! sandbox by the compiler that the build itself uses: no binary of ours is shipped. It is compiled anew wherever that compiler is not
//! locked; else once, and kept under a seal beside the layers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use proofmark_core::Digest;

use super::{BUILDER, Machine, Outside, SandboxError, Spec, run};
use crate::exit::{IoContext, IoError};
use crate::files;
use crate::progress::Silent;

/// How many processors there are; also how many jobs cargo runs.
pub const PROCESSORS: u32 = 4;

/// Bytes of memory.
const MEMORY: u64 = 8 << 30;

/// Release of the kernel.
const KERNEL: &str = "6.1.0";

const SOURCES: [(&str, &str); 4] = [
    ("machine.h", include_str!("machine/machine.h")),
    ("machine.c", include_str!("machine/machine.c")),
    ("files.c", include_str!("machine/files.c")),
    ("witness.c", include_str!("machine/witness.c")),
];

/// The library inside /proofmark.
const LIBRARY: &str = "machine.so";

/// Writes what the machine answers with: into `settings`, which is /proofmark inside, and into the new directory `proc`.
pub fn write(settings: &Path, proc: &Path, time: u64) -> Result<(), IoError> {
    files::write(&settings.join("clock"), format!("{time}\n").as_bytes(), false, time)?;
    // Mount points: of the real /proc, and of the log.
    for name in ["proc", "log"] {
        files::create(&settings.join(name))?;
    }
    random(&settings.join("random"), time)?;
    files::create(proc)?;
    for (name, text) in constants(time) {
        if let Some((parent, _)) = name.rsplit_once('/') {
            files::directory(proc, Path::new(parent))?;
        }
        files::write(&proc.join(name), text.as_bytes(), false, time)?;
    }
    for (name, target) in
        [("self", "/proofmark/proc/self"), ("thread-self", "/proofmark/proc/thread-self"), ("mounts", "self/mounts"), ("net", "self/net")]
    {
        files::symlink(target, &proc.join(name), time)?;
    }
    files::settle(proc, time)
}

/// Has every dynamic program of the operating system with this /etc load the library: the loader reads this file whatever the
/// environment of the program, ld.so(8).
pub fn load(etc: &Path, time: u64) -> Result<(), IoError> {
    files::write(&etc.join("ld.so.preload"), format!("/proofmark/{LIBRARY}\n").as_bytes(), false, time)?;
    files::settle(etc, time)
}

/// Where the parts of the machine are mounted, besides /etc and /proofmark.
pub fn mounts(settings: &Path, proc: &Path) -> [(PathBuf, String); 3] {
    [
        (proc.to_path_buf(), "/proc".to_owned()),
        (settings.join("random"), "/dev/random".to_owned()),
        (settings.join("random"), "/dev/urandom".to_owned()),
    ]
}

/// What /dev/urandom holds: 64 KiB that look random, then four gigabytes of nothing, which take no room.
fn random(path: &Path, time: u64) -> Result<(), IoError> {
    let blocks = (0..2048u32).flat_map(|number| Digest::of(&number.to_le_bytes()).to_string().into_bytes());
    let bytes: Vec<u8> = blocks.collect::<Vec<_>>().chunks(2).map(|pair| hex(pair[0]) << 4 | hex(pair[1])).collect();
    files::write(path, &bytes, false, time)?;
    File::options().write(true).open(path).and_then(|file| file.set_len(4 << 30)).at("write", path)
}

fn hex(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

/// The files of /proc that are not about a process, by their name below it. What is not here does not exist.
fn constants(time: u64) -> BTreeMap<&'static str, String> {
    let flags = if cfg!(target_arch = "x86_64") { "flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm\n" } else { "" };
    let cpuinfo = (0..PROCESSORS).map(|number| {
        format!("processor\t: {number}\nmodel name\t: deterministic\nphysical id\t: 0\ncore id\t\t: {number}\ncpu cores\t: {PROCESSORS}\n{flags}\n")
    });
    let kilobytes = MEMORY >> 10;
    let stat = (0..PROCESSORS).map(|number| format!("cpu{number} 0 0 0 0 0 0 0 0 0 0\n"));
    BTreeMap::from([
        ("cpuinfo", cpuinfo.collect()),
        (
            "meminfo",
            format!(
                "MemTotal:       {kilobytes} kB\nMemFree:        {0} kB\nMemAvailable:   {0} kB\nSwapTotal:      0 kB\nSwapFree:       0 kB\n",
                kilobytes / 2
            ),
        ),
        ("version", format!("Linux version {KERNEL} (proofmark) #1\n")),
        ("stat", format!("cpu  0 0 0 0 0 0 0 0 0 0\n{}btime {}\n", stat.collect::<String>(), time.saturating_sub(1))),
        ("uptime", "1.00 1.00\n".into()),
        ("loadavg", "0.00 0.00 0.00 1/1 1\n".into()),
        ("cmdline", "\n".into()),
        ("filesystems", "nodev\tproc\nnodev\ttmpfs\n\text4\n".into()),
        ("sys/fs/file-max", "1048576\n".into()),
        ("sys/fs/pipe-max-size", "1048576\n".into()),
        ("sys/kernel/cap_last_cap", "40\n".into()),
        ("sys/kernel/hostname", "proofmark\n".into()),
        ("sys/kernel/ngroups_max", "65536\n".into()),
        ("sys/kernel/osrelease", format!("{KERNEL}\n")),
        ("sys/kernel/ostype", "Linux\n".into()),
        ("sys/kernel/pid_max", "4194304\n".into()),
        ("sys/kernel/random/boot_id", "00000000-0000-4000-8000-000000000001\n".into()),
        ("sys/kernel/random/uuid", "00000000-0000-4000-8000-000000000002\n".into()),
        ("sys/kernel/threads-max", "131072\n".into()),
        ("sys/kernel/version", "#1\n".into()),
        ("sys/vm/max_map_count", "65530\n".into()),
        ("sys/vm/overcommit_memory", "0\n".into()),
    ])
}

/// Everything that the library is made of, but for the operating system inside.
pub fn recipe() -> String {
    let sources: String = SOURCES.iter().map(|(name, text)| format!("{name}\n{text}\n")).collect();
    format!("{}\n{sources}", compiler().join("\n"))
}

/// The command line inside.
fn compiler() -> Vec<String> {
    let mut argv: Vec<String> =
        ["/usr/bin/cc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o", "/target/machine.so"].map(str::to_owned).to_vec();
    argv.extend([
        format!("-DBUILDER={BUILDER}"),
        format!("-DPROCESSORS={PROCESSORS}"),
        format!("-DMEMORY={MEMORY}L"),
        format!("-DKERNEL=\"{KERNEL}\""),
        "-std=gnu11".into(),
    ]);
    argv.extend(SOURCES.iter().filter(|(name, _)| name.ends_with(".c")).map(|(name, _)| (*name).to_owned()));
    argv
}

/// Compiles the library inside the sandbox described by `like`.
pub fn compile(worker: &Path, like: &Spec, outside: &Outside, work: &Path, time: u64) -> Result<Vec<u8>, SandboxError> {
    let (source, out) = (work.join("machine"), work.join("machine-out"));
    for directory in [&source, &out] {
        files::create(directory)?;
    }
    for (name, text) in SOURCES {
        files::write(&source.join(name), text.as_bytes(), false, time)?;
    }
    let mut spec = Spec { machine: Machine::Off, writable: vec![(out.clone(), "/target".into())], ..like.clone() };
    spec.read_only.retain(|(_, inside)| ["/etc", "/toolchain"].contains(&inside.as_str()));
    spec.read_only.push((source, "/src".into()));
    let outcome = run(worker, &spec, outside, &compiler(), &Silent)?;
    if !outcome.success {
        return Err(SandboxError::Machine(outcome.tail(10)));
    }
    let made = out.join("machine.so");
    Ok(fs::read(&made).at("read", &made)?)
}

/// Puts the library into `settings`.
pub fn install(library: &[u8], settings: &Path, time: u64) -> Result<(), IoError> {
    files::write(&settings.join(LIBRARY), library, false, time)?;
    files::settle(settings, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn randomness_is_the_same_everywhere_and_does_not_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        for name in ["a", "b"] {
            random(&dir.path().join(name), 1).unwrap();
            let mut bytes = vec![0; 65536];
            std::io::Read::read_exact(&mut File::open(dir.path().join(name)).unwrap(), &mut bytes).unwrap();
            seen.push(bytes);
        }
        assert_eq!(seen[0], seen[1]);
        assert!(seen[0].iter().filter(|&&byte| byte == 0).count() < 1024, "looks random");
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().len(), 4 << 30);
    }
}
