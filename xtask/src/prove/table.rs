//! The table at the end.

/// What was seen, in rows.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<(String, String)>,
    failures: Vec<String>,
    violations: usize,
}

impl Table {
    /// A figure.
    pub(super) fn row(&mut self, what: &str, figure: String) {
        self.rows.push((what.to_owned(), figure));
    }

    /// Something that is not as it must be.
    pub(super) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    /// A promise that was broken.
    pub(super) fn violate(&mut self, what: String) {
        self.violations += 1;
        self.failures.push(what);
    }

    /// Nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// Prints it.
    pub(super) fn print(&self) {
        println!("\n==== prove");
        let width = self.rows.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
        for (what, figure) in &self.rows {
            println!("{what:width$}  {figure}");
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        println!("violations: {}", self.violations);
    }
}

/// A number with commas.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_read_in_threes() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_failure_is_enough() {
        let mut table = Table::default();
        table.row("a", "1".to_owned());
        assert!(table.is_good());
        table.violate("I1".to_owned());
        assert!(!table.is_good());
    }
}
