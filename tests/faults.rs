//! The table of faults names tests that exist.

use std::fs;
use std::path::PathBuf;

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_default()
}

/// What stands in backquotes in the rows of the tables.
fn named(page: &str) -> Vec<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_test_that_the_table_of_faults_names_exists() {
    let page = read("docs/faults.md");
    let tests: Vec<_> = named(&page).into_iter().filter_map(|name| name.split_once("::")).collect();
    assert!(tests.len() > 30, "{tests:?}");
    let missing: Vec<_> = tests
        .iter()
        .filter(|(file, test)| {
            let text = read(&format!("tests/{file}.rs"));
            if *test == "*" {
                !text.contains("#[test]") && !text.contains("#[tokio::test")
            } else {
                !text.contains(&format!("fn {test}("))
            }
        })
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_test_of_faults_on_a_real_api_server_is_in_the_table() {
    let page = read("docs/faults.md");
    let files = ["cluster_crash", "cluster_faults", "cluster_watch", "cluster_pressure", "cluster_deletion"];
    let mut missing = Vec::new();
    for file in files {
        let text = read(&format!("tests/{file}.rs"));
        let tests: Vec<_> = text.split("#[tokio::test(flavor = \"multi_thread\")]\nasync fn ").skip(1).collect();
        assert!(!tests.is_empty(), "{file}");
        let names = tests.iter().filter_map(|test| test.split('(').next()).map(|name| format!("`{file}::{name}`"));
        missing.extend(names.filter(|name| !page.contains(name)));
    }
    assert_eq!(missing, Vec::<String>::new());
}
