//! Adds one section to a finished ELF program: the content, the section names and the section table go to the end of the file.
//!
//! The program headers, and every byte that they load, stay as the linker wrote them; of the ELF header only the three fields that
//! describe the section table change. This file must never move or touch what the kernel or the loader reads.

use object::elf::{FileHeader64, SHT_NOBITS, SHT_PROGBITS, SectionFlags, SectionHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, U16, U32, U64, pod};

/// From this number on (SHN_LORESERVE), the ELF header has no room for the count of sections.
const RESERVED: usize = 0xff00;

/// The program with the section `name`, which is not loaded when it runs.
pub(super) fn append(program: &[u8], name: &str, content: &[u8]) -> Result<Vec<u8>, String> {
    let say = |error: object::read::Error| format!("not an ELF program: {error}");
    let header = FileHeader64::<Endianness>::parse(program).map_err(say)?;
    let endian = header.endian().map_err(say)?;
    let table = header.sections(endian, program).map_err(say)?;
    if table.is_empty() {
        return Err("an ELF program without sections".into());
    }
    if table.section_by_name(endian, name.as_bytes()).is_some() {
        return Err(format!("a program that has a section {name}"));
    }
    if table.len() + 1 >= RESERVED {
        return Err(format!("{} sections", table.len()));
    }
    let names_at = header.shstrndx(endian, program).map_err(say)? as usize;
    let mut sections: Vec<SectionHeader64<Endianness>> = table.iter().copied().collect();
    let old_names = sections.get(names_at).copied().ok_or("an ELF program without section names")?;
    let mut names = old_names.data(endian, program).map_err(say)?.to_vec();

    // The table is last in what linkers write: the old one is not kept. Where something follows it, it stays. So do the old names.
    let mut end = 0;
    for segment in header.program_headers(endian, program).map_err(say)? {
        end = end.max(segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    }
    for section in sections.iter().filter(|section| section.sh_type(endian) != SHT_NOBITS) {
        end = end.max(section.sh_offset(endian).saturating_add(section.sh_size(endian)));
    }
    let headers = u64::from(header.e_phentsize(endian)) * u64::from(header.e_phnum(endian));
    let headers = header.e_phoff(endian).saturating_add(headers);
    end = end.max(headers).max(size_of::<FileHeader64<Endianness>>() as u64);
    let all = program.len() as u64;
    if header.e_shoff(endian) < end || end > all {
        end = all;
    }
    let mut out = program[..end as usize].to_vec();

    let name_at = u32::try_from(names.len()).map_err(|_| "section names of 4 GiB".to_owned())?;
    names.extend_from_slice(name.as_bytes());
    names.push(0);
    let content_at = put(&mut out, content);
    let new_names_at = put(&mut out, &names);
    if let Some(section) = sections.get_mut(names_at) {
        section.sh_offset = U64::new(endian, new_names_at);
        section.sh_size = U64::new(endian, names.len() as u64);
    }
    let zero = U64::new(endian, 0);
    sections.push(SectionHeader64 {
        sh_name: U32::new(endian, name_at),
        sh_type: U32::new(endian, SHT_PROGBITS),
        sh_flags: U64::new(endian, SectionFlags(0)),
        sh_addr: zero,
        sh_offset: U64::new(endian, content_at),
        sh_size: U64::new(endian, content.len() as u64),
        sh_link: U32::new(endian, 0),
        sh_info: U32::new(endian, 0),
        sh_addralign: U64::new(endian, 1),
        sh_entsize: zero,
    });
    let table_at = put(&mut out, pod::bytes_of_slice(&sections));

    let mut header = *header;
    header.e_shoff = U64::new(endian, table_at);
    header.e_shnum = U16::new(endian, sections.len() as u16);
    let header = pod::bytes_of(&header);
    out[..header.len()].copy_from_slice(header);
    Ok(out)
}

/// Appends at the next multiple of eight bytes, which every table of ELF is content with. Returns where.
fn put(out: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    out.resize(out.len().next_multiple_of(8), 0);
    let at = out.len() as u64;
    out.extend_from_slice(bytes);
    at
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use object::{Object, ObjectSection};

    use super::*;

    /// This very test: a real program of this toolchain and this linker.
    fn this_program() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn every_loaded_byte_stays_and_every_section_is_found_again() {
        let before = this_program();
        let after = append(&before, ".new", b"content").unwrap();
        let (old, new) = (object::File::parse(&*before).unwrap(), object::File::parse(&*after).unwrap());
        assert_eq!(new.section_by_name(".new").unwrap().data().unwrap(), b"content");
        for section in old.sections() {
            let again = new.section_by_index(section.index()).unwrap();
            assert_eq!((section.name(), section.address(), section.flags()), (again.name(), again.address(), again.flags()));
            if section.name() != Ok(".shstrtab") {
                assert!(section.data().unwrap() == again.data().unwrap(), "{:?}", section.name());
            }
        }
        let header = FileHeader64::<Endianness>::parse(&*before).unwrap();
        for segment in header.program_headers(Endianness::Little, &*before).unwrap() {
            // The first segment begins with the ELF header, whose last words are changed.
            let from = segment.p_offset(Endianness::Little).max(64) as usize;
            let to = (segment.p_offset(Endianness::Little) + segment.p_filesz(Endianness::Little)) as usize;
            assert!(to <= from || before[from..to] == after[from..to]);
        }
        assert!(after.len() < before.len() + 1024, "the old table is not kept: {} bytes, then {}", before.len(), after.len());
    }

    #[test]
    fn the_program_still_runs_and_a_second_section_of_the_name_is_refused() {
        let after = append(&std::fs::read("/bin/true").unwrap(), ".new", &[7; 4097]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        // Installed by a process of its own: a descriptor that another thread's child still holds would make the file "busy".
        let (data, path) = (dir.path().join("data"), dir.path().join("true"));
        std::fs::write(&data, &after).unwrap();
        assert!(Command::new("install").arg(&data).arg(&path).status().unwrap().success());
        assert!(Command::new(&path).status().unwrap().success());
        assert!(append(&after, ".new", b"x").unwrap_err().contains("has a section .new"));
    }

    #[test]
    fn what_is_no_program_is_refused_and_never_a_panic() {
        let program = std::fs::read("/bin/true").unwrap();
        assert!(append(b"#!/bin/sh\n", ".new", b"x").is_err());
        // Cut anywhere, and with any byte of the header wrong.
        for length in (0..program.len()).step_by(program.len() / 199 + 1) {
            let _ = append(&program[..length], ".new", b"x");
        }
        for at in 0..64 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = program.clone();
                broken[at] = value;
                let _ = append(&broken, ".new", b"x");
            }
        }
    }
}
