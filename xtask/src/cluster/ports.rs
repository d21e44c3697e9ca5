//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::time::SystemTime;

/// No port is free.
#[derive(Debug, thiserror::Error)]
#[error("failed to find {0} free ports on 127.0.0.1 between {FIRST} and {LAST}")]
pub(crate) struct NoPorts(usize);

/// Below the range from which the kernel takes ports for outgoing connections: between choosing a port and listening
/// on it, a connection of somebody else could otherwise get it.
const FIRST: u16 = 20_000;
const LAST: u16 = 29_999;

/// Chooses ports that are all free now. Two clusters that start at the same time begin to look at different places.
pub(crate) fn free<const N: usize>() -> Result<[u16; N], NoPorts> {
    let span = LAST - FIRST + 1;
    let nanoseconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
    let seed = (nanoseconds / 1_000) ^ std::process::id();
    let offset = u16::try_from(seed % u32::from(span)).unwrap_or(0);
    let mut held = Vec::new();
    let mut ports = [0; N];
    for step in 0..span {
        if held.len() == N {
            break;
        }
        let port = FIRST + (offset + step) % span;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            ports[held.len()] = port;
            held.push(listener);
        }
    }
    if held.len() == N { Ok(ports) } else { Err(NoPorts(N)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_listened_on() -> Result<(), Box<dyn std::error::Error>> {
        let ports: [u16; 3] = free()?;
        let held: Vec<_> = ports.iter().map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))).collect();
        assert!(held.iter().all(Result::is_ok), "{held:?}");
        Ok(())
    }
}
