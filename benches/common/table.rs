//! Tables of figures.

use std::time::Duration;

const WIDTH: usize = 11;

/// A line of a table.
pub(crate) fn line(cells: &[String]) {
    println!("{}", cells.iter().map(|cell| format!("{cell:>WIDTH$}")).collect::<String>());
}

/// The first line of a table.
pub(crate) fn head(cells: &[&str]) {
    line(&cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
}

/// A part of sorted times, in milliseconds: 0.5 is the median.
pub(crate) fn milliseconds(sorted: &[Duration], part: f64) -> String {
    at(sorted, part).map_or_else(|| "-".to_owned(), |value| format!("{:.1}", value.as_secs_f64() * 1000.0))
}

/// A part of sorted times: 0.5 is the median.
pub(crate) fn at(sorted: &[Duration], part: f64) -> Option<Duration> {
    let index = ((sorted.len() as f64 - 1.0) * part).round() as usize;
    sorted.get(index).copied()
}

/// A figure with so many digits after the point; `-` when it is unknown.
pub(crate) fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
