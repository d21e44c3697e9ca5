//! The diagram of modes and the table of transitions in docs/semantics.md, made from the tests that prove them.
//! `UPDATE_GOLDEN=1 cargo test --lib saga::tests::docs` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::{modes, table};
use crate::saga::{EventKind, Mode};

const END: &str = "<!-- end generated -->";

#[test]
fn the_documentation_shows_every_change_of_mode_and_every_row() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/semantics.md");
    let found = std::fs::read_to_string(&path).unwrap();
    let wanted = put(&put(&found, "modes", &diagram()), "transitions", &transitions());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    let line = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "docs/semantics.md differs from the tests from line {}; UPDATE_GOLDEN=1 writes it anew",
        line.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1
    );
}

/// `text` with `new` in the place of that name.
fn put(text: &str, place: &str, new: &str) -> String {
    let begin = format!("<!-- generated: {place} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("there is no place '{begin}'"));
    let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("'{begin}' has no end"));
    format!("{before}{begin}{new}{END}{after}")
}

fn diagram() -> String {
    let mut text = "\n```mermaid\nstateDiagram-v2\n    direction LR\n    [*] --> Pending\n".to_owned();
    for (from, to, why) in modes::CHANGES {
        writeln!(text, "    {from} --> {to}: {why}").unwrap();
    }
    let from: BTreeSet<&str> = modes::CHANGES.iter().map(|(from, _, _)| *from).collect();
    let ends: BTreeSet<&str> = modes::CHANGES.iter().map(|(_, to, _)| *to).filter(|to| !from.contains(to)).collect();
    for end in ends {
        writeln!(text, "    {end} --> [*]").unwrap();
    }
    text + "```\n\n"
}

/// Events down, modes across; a cell holds the sentences that its tests are named with.
fn transitions() -> String {
    let mut text = "\n| |".to_owned();
    for mode in Mode::ALL {
        write!(text, " {mode:?} |").unwrap();
    }
    text += "\n|---|---|---|---|---|---|\n";
    for kind in EventKind::ALL {
        write!(text, "| **{kind:?}**: {} |", meaning(kind)).unwrap();
        for mode in Mode::ALL {
            let rows = table::ROWS.iter().filter(|(of, event, _)| (*of, *event) == (mode, kind));
            let cell: Vec<String> = rows.map(|(_, _, name)| name.replace('_', " ")).collect();
            write!(text, " {} |", cell.join("; ")).unwrap();
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

const fn meaning(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Wished => "the spec was read",
        EventKind::Answered => "an attempt has its answer",
        EventKind::Polled => "a look at a call in progress has its answer",
        EventKind::RevisionGone => "the pinned revision goes away before the first call",
        EventKind::TooLarge => "the store refuses the size of the status",
        EventKind::Tick => "time passed",
    }
}
