//! Who a candidate is. Pure.

#![warn(clippy::disallowed_methods)]

use std::fmt;

/// The name under which one process stands for election: fresh at every start, so that a Lease which names the process
/// that was here before a restart names somebody else. It is part of the names of objects, so it looks like one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(String);

impl Identity {
    /// Longest part taken from the pod's name.
    const MAX_POD: usize = 63;
    /// Longest identity.
    pub(super) const MAX_LEN: usize = Self::MAX_POD + 1 + 16;

    /// The identity of a process in the pod (or on the host) of this name; `random` is drawn at its start.
    pub fn fresh(pod: &str, random: u128) -> Self {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let named: String = pod
            .chars()
            .map(|letter| letter.to_ascii_lowercase())
            .map(|letter| if fits(letter) { letter } else { '-' })
            .take(Self::MAX_POD)
            .collect();
        let named = named.trim_matches('-');
        let named = if named.is_empty() { "operator" } else { named };
        Self(format!("{named}-{:016x}", random >> 64))
    }

    /// Whom a name stands for; `None` for what no replica is called.
    pub(super) fn of_record(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let named = !text.is_empty() && text.len() <= Self::MAX_LEN && text.bytes().all(fits);
        named.then(|| Self(text.to_owned()))
    }

    /// As a Lease has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_names_the_pod_and_is_another_after_a_restart() {
        let random = 0x0123_4567_89ab_cdef_0000_0000_0000_0000;
        assert_eq!(Identity::fresh("saga-operator-5d4-x", random).as_str(), "saga-operator-5d4-x-0123456789abcdef");
        assert_ne!(Identity::fresh("a", random), Identity::fresh("a", random << 1));
    }

    #[test]
    fn whatever_the_host_is_called_the_identity_can_be_part_of_a_name() {
        for host in ["", "---", "Host.Local", "a_b", "\u{e9}\u{e9}", &"x".repeat(300)] {
            let identity = Identity::fresh(host, u128::MAX);
            assert_eq!(Identity::of_record(identity.as_str()), Some(identity.clone()), "{host}");
            assert!(!identity.as_str().starts_with('-'), "{identity}");
        }
        assert_eq!(Identity::of_record("some/body"), None);
        assert_eq!(Identity::of_record(""), None);
    }
}
