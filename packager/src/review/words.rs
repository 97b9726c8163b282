//! A review as text for a terminal. Every text from outside is escaped here.

use std::fmt::Write as _;

use proofmark_core::group::Entry;
use proofmark_core::name::Name;
use proofmark_core::text::escape;

use super::{GroupChange, Review};

impl Review {
    /// All of it.
    pub fn full_words(&self) -> String {
        self.words()
    }

    /// The review in words.
    pub fn words(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "index {} (sha256 {})", self.version, self.sha256);
        let _ = writeln!(out, "  proposed by  {}", self.proposer);
        let _ = writeln!(out, "  signed by    {}", self.signatures.join(", "));
        if let Some(missing) = &self.missing {
            let _ = writeln!(out, "  missing      {missing}");
        }
        for unsigned in &self.unsigned {
            let _ = writeln!(out, "  missing      {unsigned}");
        }
        for change in &self.changes {
            change.write(&mut out);
        }
        for name in &self.unchanged {
            let _ = writeln!(out, "\n{name}: unchanged");
        }
        for note in &self.notes {
            let _ = writeln!(out, "\nnote: {note}");
        }
        out
    }
}

impl GroupChange {
    fn write(&self, out: &mut String) {
        let names = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "\n{}{}", self.group, if self.is_new { " (new group)" } else { "" });
        let _ = writeln!(out, "  hosts        {}: {}", self.hosts.len(), names(&self.hosts));
        if !self.is_new && !self.hosts_added.is_empty() {
            let _ = writeln!(out, "  + hosts      {}", names(&self.hosts_added));
        }
        if !self.hosts_removed.is_empty() {
            let _ = writeln!(out, "  - hosts      {} (what they run is not stopped by this)", names(&self.hosts_removed));
        }
        let _ = writeln!(out, "  mode         {}", self.mode.as_str().unwrap_or("?"));
        for from in &self.from {
            let _ = writeln!(out, "  may replace  {from}");
        }
        let entry = |out: &mut String, label: &str, entry: &Entry| {
            let Entry { product, release, target, wire_epoch, source_commit, .. } = entry;
            let digest = entry.sha256sum.get(..64).unwrap_or_default();
            let _ = writeln!(
                out,
                "  {label}       {product} {release} for {target}\n               bundle {digest}\n               commit {source_commit}, wire epoch {wire_epoch}"
            );
        };
        match &self.before {
            Some(before) if *before != self.after => {
                entry(out, "before", before);
                entry(out, "after ", &self.after);
                if before.wire_epoch != self.after.wire_epoch {
                    let _ = writeln!(
                        out,
                        "  WIRE EPOCH   {} -> {}: no host may run the one beside the other",
                        before.wire_epoch, self.after.wire_epoch
                    );
                }
            }
            Some(_) => {
                let _ = writeln!(out, "  bundle       the same as before");
            }
            None => entry(out, "bundle", &self.after),
        }
        for (label, lines) in [("flags", &self.flags), ("launch", &self.launch), ("policy", &self.policy)] {
            for line in lines {
                let _ = writeln!(out, "  {label:12} {}", escape(line));
            }
        }
        for file in &self.files {
            let _ = writeln!(out, "  file         {}\n               {}", file.path, file.summary);
            for line in file.diff.iter().flat_map(|diff| diff.lines()) {
                let _ = writeln!(out, "    | {line}");
            }
        }
    }
}
