//! Counting tests from what `cargo test` prints.
//!
//! A target that was started and never said its result has crashed, or ended the process in the middle: one failure,
//! however many of its tests were good. A run that failed without any of that did not compile: one failure.

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Counter {
    /// Tests that passed.
    pub(super) passed: usize,
    /// Tests and targets that failed.
    pub(super) failed: usize,
    /// Their names.
    pub(super) failures: Vec<String>,
    /// Tests that were not asked.
    pub(super) ignored: Vec<String>,
    /// The target that has not said its result yet.
    silent: Option<String>,
    target: String,
}

impl Counter {
    /// Reads one line.
    pub(super) fn line(&mut self, line: &str) {
        let line = plain(line);
        let line = line.trim_end();
        if let Some(target) = started(line) {
            self.close();
            target.clone_into(&mut self.target);
            self.silent = Some(target);
        } else if let Some((passed, failed)) = result(line) {
            self.silent = None;
            self.passed += passed;
            self.failed += failed;
        } else if let Some((name, what)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... ")) {
            if what == "FAILED" {
                self.failures.push(format!("{} {name}", self.target));
            } else if what.starts_with("ignored") {
                self.ignored.push(format!("{} {name}{}", self.target, what.trim_start_matches("ignored")));
            }
        }
    }

    /// Everything is read; cargo ended well or not.
    pub(super) fn finish(&mut self, success: bool) {
        self.close();
        if !success && self.failed == 0 {
            self.failed += 1;
            self.failures.push("cargo test, before any test ran".to_owned());
        }
    }

    fn close(&mut self) {
        if let Some(target) = self.silent.take() {
            self.failed += 1;
            self.failures.push(format!("{target}: ended without a result"));
        }
    }
}

/// "     Running tests/api.rs (target/debug/deps/api-0123)" or "   Doc-tests saga_operator".
fn started(line: &str) -> Option<String> {
    let line = line.trim_start();
    let running = line.strip_prefix("Running ").filter(|rest| rest.ends_with(')') && rest.contains(" ("));
    let target = running.map(|rest| rest.rsplit_once(" (").map_or(rest, |(name, _)| name));
    target.or_else(|| line.starts_with("Doc-tests ").then_some(line)).map(str::to_owned)
}

/// "test result: ok. 3 passed; 0 failed; 1 ignored; ...".
fn result(line: &str) -> Option<(usize, usize)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok());
    Some((count("passed")?, count("failed")?))
}

/// The line without colours.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // An escape sequence ends with a letter.
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, success: bool) -> Counter {
        let mut counter = Counter::default();
        text.lines().for_each(|line| counter.line(line));
        counter.finish(success);
        counter
    }

    const GOOD: &str = "\
     Running unittests src/lib.rs (target/debug/deps/saga-1)
running 3 tests
test a ... ok
test b ... ok
test c ... ignored, needs a disk
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
   Doc-tests saga_operator
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn results_are_added_up_and_ignored_tests_count_neither_way() {
        let counter = read(GOOD, true);
        assert_eq!((counter.passed, counter.failed), (7, 0));
        assert_eq!(counter.ignored, ["unittests src/lib.rs c, needs a disk"]);
    }

    #[test]
    fn a_failed_test_is_named_with_its_target() {
        let text = "     Running tests/api.rs (target/x)\ntest it_works ... FAILED\n\
                    test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n\
                    error: test failed, to rerun pass `--test api`\n";
        let counter = read(text, false);
        assert_eq!((counter.passed, counter.failed), (5, 1));
        assert_eq!(counter.failures, ["tests/api.rs it_works"]);
    }

    #[test]
    fn a_target_that_crashed_is_one_failure() {
        let text = format!("     Running tests/crash.rs (target/x)\ntest a ... ok\n{GOOD}");
        let counter = read(&text, false);
        assert_eq!((counter.passed, counter.failed), (7, 1));
        assert_eq!(counter.failures, ["tests/crash.rs: ended without a result"]);
    }

    #[test]
    fn code_that_does_not_compile_is_one_failure() {
        let counter = read("error[E0308]: mismatched types\n", false);
        assert_eq!((counter.passed, counter.failed), (0, 1));
    }

    #[test]
    fn colours_change_nothing() {
        let text = "\u{1b}[1m\u{1b}[92m     Running\u{1b}[0m tests/a.rs (target/x)\n\
                    test b ... \u{1b}[31mFAILED\u{1b}[m\n\
                    test result: \u{1b}[31mFAILED\u{1b}[m. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let counter = read(text, false);
        assert_eq!((counter.passed, counter.failed), (0, 1));
        assert_eq!(counter.failures, ["tests/a.rs b"]);
    }
}
