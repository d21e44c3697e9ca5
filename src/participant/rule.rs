//! What an administrator allows: `HOST[:PORT][@NAMESPACE,...]`. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Node and control-plane ports: reached only by a rule that names the port.
pub(super) const RESERVED_PORTS: [u16; 9] = [22, 2379, 2380, 6443, 10248, 10250, 10255, 10257, 10259];

/// One allowed destination.
///
/// - `api.example.com` allows every port but those of nodes and control planes, which must be named;
/// - `api.example.com:8443` this port only, `api.example.com:*` every port;
/// - `*.example.com` every name below `example.com`, not that name itself;
/// - `10.1.2.3` or `[fd00::1]:8080` one address, for URLs that are written with the address;
/// - `ledger.finance.svc` a Service of another namespace, for URLs that end in `.svc` or in the cluster domain;
/// - `...@shop,checkout` for runs of these namespaces only.
///
/// Names are compared without regard to case and final dot. A rule never allows what [`super::egress`] lists as never
/// allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRule {
    pub(super) host: HostPattern,
    pub(super) port: PortPattern,
    /// None: every namespace.
    pub(super) namespaces: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    Name(String),
    /// Without the `*.`.
    Below(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortPattern {
    Unreserved,
    Any,
    One(u16),
}

/// Why a rule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the destination rule '{rule}': {detail} (expected HOST[:PORT][@NAMESPACE,...])")]
pub struct RuleError {
    rule: String,
    detail: String,
}

impl FromStr for DestinationRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        parse(text).map_err(|detail| RuleError { rule: text.escape_default().to_string(), detail })
    }
}

impl fmt::Display for DestinationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Name(name) => f.write_str(name)?,
            HostPattern::Below(suffix) => write!(f, "*.{suffix}")?,
            HostPattern::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            HostPattern::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        match self.port {
            PortPattern::Unreserved => {}
            PortPattern::Any => f.write_str(":*")?,
            PortPattern::One(port) => write!(f, ":{port}")?,
        }
        match &self.namespaces {
            Some(namespaces) => write!(f, "@{}", namespaces.join(",")),
            None => Ok(()),
        }
    }
}

impl DestinationRule {
    pub(super) fn allows(&self, namespace: &str, host: &HostName, port: u16) -> bool {
        let host = match (&self.host, host) {
            (HostPattern::Name(own), HostName::Name(name)) => own == name,
            (HostPattern::Below(suffix), HostName::Name(name)) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (HostPattern::Address(own), HostName::Address(address)) => own == address,
            (HostPattern::Name(_) | HostPattern::Below(_), HostName::Address(_))
            | (HostPattern::Address(_), HostName::Name(_)) => false,
        };
        let port = match self.port {
            PortPattern::Unreserved => !RESERVED_PORTS.contains(&port),
            PortPattern::Any => true,
            PortPattern::One(own) => own == port,
        };
        host && port && self.namespaces.as_ref().is_none_or(|names| names.iter().any(|name| name == namespace))
    }
}

/// A host as one of the two things it can be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum HostName {
    /// Lower case, without a final dot.
    Name(String),
    Address(IpAddr),
}

impl HostName {
    /// Reads the host of a URL or a rule, IPv6 in brackets. An IPv4 address has one form only, four decimal numbers:
    /// resolvers disagree on octal, hexadecimal, short and whole-number forms.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("a '[' without its ']'")?;
            let address: Ipv6Addr = inner.parse().map_err(|_| "no IPv6 address in the brackets".to_owned())?;
            return Ok(Self::Address(IpAddr::V6(address)));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let last = name.rsplit('.').next().unwrap_or_default();
        if is_number(last) {
            let address = name.parse::<Ipv4Addr>().ok().filter(|_| !text.ends_with('.'));
            let address = address.ok_or("an address is written as four decimal numbers without leading zeros")?;
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(
                "a host name is made of ASCII letters, digits, '-' and '_' in labels of 1..63, 253 in all".to_owned()
            );
        }
        Ok(Self::Name(name))
    }
}

/// What a URL parser of a browser would take for an IPv4 number.
fn is_number(label: &str) -> bool {
    !label.is_empty()
        && (label.bytes().all(|byte| byte.is_ascii_digit())
            || label.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn parse(text: &str) -> Result<DestinationRule, String> {
    if text.contains("://") {
        return Err("leave the scheme out".to_owned());
    }
    if text.contains('/') {
        return Err("neither a path nor a range of addresses can be given".to_owned());
    }
    let (place, namespaces) = match text.split_once('@') {
        Some((place, list)) => (place, Some(parse_namespaces(list)?)),
        None => (text, None),
    };
    let (host, port) = split_port(place)?;
    let port = match port {
        None => PortPattern::Unreserved,
        Some("*") => PortPattern::Any,
        Some(number) => PortPattern::One(parse_port(number)?),
    };
    let host = match host.strip_prefix("*.") {
        Some(suffix) => match HostName::parse(suffix)? {
            HostName::Name(name) => HostPattern::Below(name),
            HostName::Address(_) => return Err("'*.' goes before a name, not before an address".to_owned()),
        },
        None if host.contains('*') => return Err("'*' can only be the whole first label, as in *.example.com".into()),
        None => match HostName::parse(host)? {
            HostName::Name(name) => HostPattern::Name(name),
            HostName::Address(address) => HostPattern::Address(address),
        },
    };
    Ok(DestinationRule { host, port, namespaces })
}

/// Host, and what stands after the colon.
pub(super) fn split_port(place: &str) -> Result<(&str, Option<&str>), String> {
    let end_of_host = match place.find(']') {
        Some(bracket) => bracket + 1,
        None => place.find(':').unwrap_or(place.len()),
    };
    let (host, rest) = place.split_at(end_of_host);
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err("only ':PORT' can follow the host".to_owned()),
        Some(port) if port.contains(':') => Err("an IPv6 address stands in brackets".to_owned()),
        Some(port) => Ok((host, Some(port))),
    }
}

/// A port of 1..65535, digits only.
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0).ok_or_else(|| "a port is a number of 1..65535".to_owned())
}

fn parse_namespaces(list: &str) -> Result<Vec<String>, String> {
    let valid =
        |name: &str| is_label(name) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match list.split(',').find(|name| !valid(name)) {
        Some(name) => Err(format!("'{}' is no name of a namespace", name.escape_default())),
        None => Ok(list.split(',').map(str::to_owned).collect()),
    }
}
