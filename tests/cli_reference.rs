//! The reference pages and `--version`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn said(argument: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_saga-operator"))
        .arg(argument)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("failed to run the operator");
    assert!(output.status.success(), "{argument} failed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(name);
    fs::read_to_string(path).expect("failed to read a page")
}

#[test]
fn the_pages_are_what_the_code_makes() {
    for (name, argument) in [("cli.md", "help-markdown"), ("api.md", "api-markdown")] {
        let made = format!("{}\n", said(argument).trim_end());
        assert!(page(name) == made, "docs/reference/{name} is old; run: cargo xtask generate");
    }
}

#[test]
fn every_command_stands_on_its_page_with_its_exit_status_where_it_has_one() {
    let page = page("cli.md");
    for command in ["run", "local", "demo", "check", "plan", "participants", "crds"] {
        assert!(page.contains(&format!("\n## `saga-operator {command}`\n")), "{command}");
    }
    assert!(page.contains("Exit status: 0 nothing is refused"), "the long description is not there");
    assert!(!page.contains("help-markdown"), "hidden commands are for the makers");
}

#[test]
fn every_row_of_a_table_has_the_columns_of_its_head() {
    for name in ["cli.md", "api.md"] {
        let page = page(name);
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut wanted = None;
        for line in page.lines() {
            if !line.starts_with('|') {
                wanted = None;
                continue;
            }
            assert_eq!(*wanted.get_or_insert(cells(line)), cells(line), "{name}: {line}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_package_and_names_the_commit() {
    let said = said("--version");
    let commit = said.trim().strip_prefix(concat!("saga-operator ", env!("CARGO_PKG_VERSION"), " (commit "));
    assert!(commit.is_some_and(|rest| rest.len() > 1 && rest.ends_with(')')), "{said}");
}
