//! The core decides from its arguments alone. Clippy forbids the calls (clippy.toml); this forbids the imports.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules that are pure, and the parts of crates that hold data only.
const PURE: [&str; 2] = ["src/saga", "src/expr"];
/// The election's shell stands beside its pure parts: a file that asks Clippy for the same is pure.
const PARTLY_PURE: &str = "src/election";
const IS_PURE: &str = "#![warn(clippy::disallowed_methods";
const ALLOWED: [&str; 3] = ["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr"];
const FORBIDDEN: [&str; 20] = [
    "tokio",
    "kube::",
    "kube_",
    "reqwest",
    "hyper",
    "axum",
    "redb",
    "rustls",
    "rand::",
    "std::env",
    "std::net",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "new_v4",
];

#[test]
fn the_core_imports_no_clock_no_randomness_and_no_io() {
    let mut found = Vec::new();
    let mut read = 0;
    let mut files: Vec<PathBuf> = PURE.iter().flat_map(|root| sources(Path::new(root))).collect();
    let election = sources(Path::new(PARTLY_PURE)).into_iter();
    let election: Vec<PathBuf> =
        election.filter(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(IS_PURE))).collect();
    assert!(
        election.iter().any(|file| file.ends_with("machine.rs")),
        "the elector's decisions are not among {election:?}"
    );
    files.extend(election);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file is readable");
        read += 1;
        // Tests at the end of a file may do what they like.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            let mut code = line.split("//").next().unwrap_or_default().to_owned();
            for allowed in ALLOWED {
                code = code.replace(allowed, "");
            }
            if let Some(word) = FORBIDDEN.iter().find(|word| code.contains(*word)) {
                found.push(format!("{}:{}: `{word}` in `{}`", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(read > 10, "the sources of the core are elsewhere: only {read} files read");
    assert!(found.is_empty(), "pass it as an argument, or return it as an effect:\n{}", found.join("\n"));
}

/// All Rust files below `root` apart from tests; none where `root` does not exist.
fn sources(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a directory is readable").path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
