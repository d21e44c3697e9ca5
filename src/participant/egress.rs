//! Where calls may go. Pure: no lookup, no socket.
//!
//! *Guarantees* In a cluster, a call reaches a Service of the run's own namespace, or what an administrator's
//! [`DestinationRule`] names. Loopback, link-local, unspecified, multicast, broadcast and cloud metadata addresses and
//! the API server are never reached, in whatever form their address is written; [`Loopback::Allowed`] lifts loopback
//! only, and a rule is still needed. For `local` and `demo` only the metadata addresses are refused.
//! *Assumptions* Every address that a name resolves to is given to [`Policy::check_address`] before it is connected to.
//! *Caveats* Who may create Services in a namespace decides where they lead (`ExternalName`, hand-made EndpointSlices);
//! the address checks hold there too. NetworkPolicy is the means against more.

use std::collections::BTreeSet;
use std::net::IpAddr;

use http::Uri;

use super::address::{self, Forbidden};
use super::rule::{DestinationRule, HostName, HostPattern, RESERVED_PORTS, parse_port, split_port};

/// Decides for every call; see the module.
#[derive(Clone, Debug)]
pub struct Policy {
    area: Area,
}

#[derive(Clone, Debug)]
enum Area {
    Local,
    Cluster { rules: Vec<DestinationRule>, domain: String, api_server: BTreeSet<IpAddr>, loopback: Loopback },
}

/// Whether rules may name loopback addresses; for tests of the operator on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loopback {
    /// As it should be.
    Refused,
    /// `--insecure-allow-loopback`.
    Allowed,
}

/// Scheme of a participant's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A URL that passed; what is connected to is made of nothing else.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) uri: Uri,
    pub(super) origin: Origin,
}

/// Connections are shared within one origin only. The same written name means different Services in different namespaces:
/// `lookup` tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) scheme: Scheme,
    /// As in the URL, for TLS and for messages; lower case, without a final dot.
    pub(super) host: HostName,
    pub(super) lookup: Place,
    pub(super) port: u16,
}

/// How an origin's address is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Address(IpAddr),
    /// Given to the resolver as it is.
    Name(String),
}

/// Why a URL is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Not a URL that can be called.
    #[error("failed to read the URL: {0}")]
    Malformed(String),
    /// No rule names it.
    #[error("destination {0} is not allowed: use a Service of the run's namespace, or --allow-destination {0}")]
    NotAllowed(String),
    /// No rule can allow it.
    #[error("destination {host} is never allowed: it is {what}")]
    Never {
        /// As written.
        host: String,
        /// An address or name of this kind.
        what: String,
    },
}

impl Policy {
    /// For a cluster. `domain` is the cluster's DNS domain (`cluster.local`); `api_server` are the addresses of the API
    /// server: `KUBERNETES_SERVICE_HOST` and the endpoints of `kubernetes.default`, as far as they are known.
    pub fn cluster(
        rules: Vec<DestinationRule>,
        domain: &str,
        api_server: impl IntoIterator<Item = IpAddr>,
        loopback: Loopback,
    ) -> Self {
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        let rules = rules.into_iter().map(|rule| in_full(rule, &domain)).collect();
        let api_server = api_server.into_iter().flat_map(address::faces).collect();
        Self { area: Area::Cluster { rules, domain, api_server, loopback } }
    }

    /// For one's own machine: everything but cloud metadata.
    pub const fn local() -> Self {
        Self { area: Area::Local }
    }

    /// What can be said of `url` without a lookup, for a run or a definition of `namespace`. The address checks follow
    /// when it is called.
    pub fn check_url(&self, namespace: &str, url: &str) -> Result<(), DestinationError> {
        self.target(namespace, url).map(drop)
    }

    pub(super) fn target(&self, namespace: &str, url: &str) -> Result<Target, DestinationError> {
        let (uri, scheme, host, port) = parse(url)?;
        let lookup = self.place(namespace, &host, port)?;
        Ok(Target { uri, origin: Origin { scheme, host, lookup, port } })
    }

    /// To be asked of every address before connecting; `host` only names it in the error.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), DestinationError> {
        let never = |what: String| Err(DestinationError::Never { host: host.to_owned(), what });
        let found = address::forbidden(address);
        match &self.area {
            Area::Local if found == Some(Forbidden::Metadata) => never("a cloud metadata address".to_owned()),
            Area::Local => Ok(()),
            Area::Cluster { api_server, loopback, .. } => {
                if address::faces(address).iter().any(|face| api_server.contains(face)) {
                    return never("an address of the API server".to_owned());
                }
                match found {
                    Some(Forbidden::Loopback) if *loopback == Loopback::Allowed => Ok(()),
                    Some(kind) => never(format!("{} address", kind.as_str())),
                    None => Ok(()),
                }
            }
        }
    }

    fn place(&self, namespace: &str, host: &HostName, port: u16) -> Result<Place, DestinationError> {
        let written = display(host, port);
        if let HostName::Address(address) = host {
            self.check_address(&written, *address)?;
        }
        let (rules, domain) = match (&self.area, host) {
            (Area::Local, HostName::Address(address)) => return Ok(Place::Address(*address)),
            // As the user's machine resolves it: hosts file and search list included.
            (Area::Local, HostName::Name(name)) => return Ok(Place::Name(name.clone())),
            (Area::Cluster { rules, domain, .. }, _) => (rules, domain),
        };
        let service = match host {
            HostName::Name(name) if !is_localhost(name) => own_service(name, namespace, domain),
            HostName::Name(_) | HostName::Address(_) => None,
        };
        let own = service.is_some() && !RESERVED_PORTS.contains(&port);
        let full = match (service, host) {
            (Some(service), _) => HostName::Name(service),
            (None, HostName::Name(name)) => HostName::Name(foreign_service(name, domain)),
            (None, HostName::Address(_)) => host.clone(),
        };
        if let HostName::Name(name) = &full {
            self.check_name(&written, name)?;
        }
        let allowed =
            own || self.is_loopback_allowed(host) || rules.iter().any(|rule| rule.allows(namespace, &full, port));
        if !allowed {
            return Err(DestinationError::NotAllowed(written));
        }
        Ok(match full {
            HostName::Address(address) => Place::Address(address),
            // The final dot keeps the resolver's search list out.
            HostName::Name(name) => Place::Name(format!("{name}.")),
        })
    }

    /// The development flag allows this machine without a rule.
    fn is_loopback_allowed(&self, host: &HostName) -> bool {
        let allowed = matches!(&self.area, Area::Cluster { loopback: Loopback::Allowed, .. });
        allowed
            && match host {
                HostName::Name(name) => is_localhost(name),
                HostName::Address(address) => address::forbidden(*address) == Some(Forbidden::Loopback),
            }
    }

    fn check_name(&self, written: &str, full: &str) -> Result<(), DestinationError> {
        let loopback_allowed = matches!(&self.area, Area::Cluster { loopback: Loopback::Allowed, .. });
        let what = if is_localhost(full) && !loopback_allowed {
            "a loopback name"
        } else if matches!(full, "metadata.google.internal" | "metadata.goog" | "instance-data.ec2.internal") {
            "a cloud metadata name"
        } else if full == "kubernetes.default" || full.starts_with("kubernetes.default.") {
            "the API server"
        } else {
            return Ok(());
        };
        Err(DestinationError::Never { host: written.to_owned(), what: what.to_owned() })
    }
}

impl Origin {
    /// `host:port`, for messages.
    pub(super) fn display(&self) -> String {
        display(&self.host, self.port)
    }
}

fn display(host: &HostName, port: u16) -> String {
    match host {
        HostName::Name(name) => format!("{name}:{port}"),
        HostName::Address(IpAddr::V4(address)) => format!("{address}:{port}"),
        HostName::Address(IpAddr::V6(address)) => format!("[{address}]:{port}"),
    }
}

fn parse(url: &str) -> Result<(Uri, Scheme, HostName, u16), DestinationError> {
    let malformed = |detail: &str| DestinationError::Malformed(detail.to_owned());
    if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(malformed("only printable ASCII without spaces and backslashes can stand in it"));
    }
    let uri: Uri = url.parse().map_err(|_| malformed("it is not of the form http(s)://HOST[:PORT][/PATH][?QUERY]"))?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(_) | None => return Err(malformed("it begins with neither http:// nor https://")),
    };
    let authority = uri.authority().ok_or_else(|| malformed("it has no host"))?.as_str();
    if authority.contains('@') {
        return Err(malformed("user information cannot stand before the host; use a header from a Secret"));
    }
    let (host, port) = split_port(authority).map_err(DestinationError::Malformed)?;
    let host = HostName::parse(host).map_err(DestinationError::Malformed)?;
    let port = match port {
        Some(port) => parse_port(port).map_err(DestinationError::Malformed)?,
        None => scheme.port(),
    };
    Ok((uri, scheme, host, port))
}

/// `svc`, `svc.NS`, `svc.NS.svc`, `svc.NS.svc.DOMAIN` of the run's own namespace, in full.
fn own_service(name: &str, namespace: &str, domain: &str) -> Option<String> {
    let (service, rest) = name.split_once('.').unwrap_or((name, namespace));
    let rest = rest.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')).unwrap_or(rest);
    let own = rest == namespace || rest.strip_suffix(".svc") == Some(namespace);
    // `svc.NS.DOMAIN` is no name of a Service.
    let in_full = format!("{service}.{namespace}.svc.{domain}");
    (own && (name == in_full || !name.ends_with(&format!(".{domain}")))).then_some(in_full)
}

/// Names that end in `.svc` are completed; no such top-level domain exists.
fn foreign_service(name: &str, domain: &str) -> String {
    if name.ends_with(".svc") { format!("{name}.{domain}") } else { name.to_owned() }
}

fn in_full(mut rule: DestinationRule, domain: &str) -> DestinationRule {
    match &mut rule.host {
        HostPattern::Name(name) | HostPattern::Below(name) => *name = foreign_service(name, domain),
        HostPattern::Address(_) => {}
    }
    rule
}

/// `localhost`, what is below it, and the names that hosts files give to the loopback addresses.
fn is_localhost(name: &str) -> bool {
    let names = ["localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"];
    names.contains(&name) || name.ends_with(".localhost") || name.ends_with(".localdomain")
}
