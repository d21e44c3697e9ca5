//! What a process cost, from `/proc`.

/// Ticks a second in `/proc`: fixed in the interface of Linux.
const TICKS: f64 = 100.0;

/// What a process used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor seconds.
    pub(crate) cpu: f64,
    /// Bytes that it made the kernel write to disks.
    pub(crate) written: f64,
    /// Resident memory now.
    pub(crate) rss_mib: f64,
}

impl Usage {
    /// Of this process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id())
    }

    /// Of a process; zeros when there is none.
    pub(crate) fn of(pid: u32) -> Self {
        let read = |name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        // After the name, which may hold anything, in parentheses: state is field 3; utime and stime are 14 and 15.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Self {
            cpu: ticks / TICKS,
            written: number(&read("io"), "write_bytes:"),
            rss_mib: number(&read("status"), "VmRSS:") / 1024.0,
        }
    }

    /// What was used since then; memory is what it is now.
    pub(crate) fn since(self, then: Self) -> Self {
        Self { cpu: self.cpu - then.cpu, written: self.written - then.written, rss_mib: self.rss_mib }
    }
}

fn number(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
