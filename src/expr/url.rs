//! A URL whose path and query may hold expressions.
//!
//! # Guarantees
//! Scheme, host and port are literals of the definition. A value stays inside the path segment or the part of the query
//! where it stands: it is percent-encoded, and what servers or proxies could read as another path is refused.
//!
//! # Caveats
//! Whether the host may be called at all is decided elsewhere.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError, Fault, Problem, Site};
use crate::expr::program::Program;
use crate::expr::scope::Scope;
use crate::expr::template::{Part, Template, sorted, with_stack};
use crate::expr::{Reference, Variables, limit};

/// A URL template.
#[derive(Clone, Debug)]
pub struct Url {
    origin: Origin,
    /// Begins with `/`.
    path: Vec<Part>,
    /// Begins with `?`, or is empty.
    query: Vec<Part>,
    references: Vec<Reference>,
}

/// Scheme, host and port: what decides who is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// How.
    pub scheme: Scheme,
    /// The host in lower case; an IPv6 address keeps its brackets.
    pub host: String,
    /// The port, also where the URL leaves it out.
    pub port: u16,
}

/// The schemes that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The scheme as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port that a URL without a port means.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// Encoded in values: everything but the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Url {
    /// Compiles a URL.
    ///
    /// # Errors
    /// A [`Problem`]: a scheme, host or port that is not literal and plain; user information; a fragment; characters
    /// that must be percent-encoded; `.` and `..` segments; expressions that do not compile.
    pub fn compile(source: &str, variables: Variables) -> Result<Self, CompileError> {
        let mut references = Vec::new();
        let template = Template::compile(source, variables, &mut references)?;
        let fail = |problem| CompileError { site: Box::new(Site::new(source, 1)), problem: Problem::Url(problem) };
        let mut parts = template.parts.into_iter();
        let Some(Part::Literal(first)) = parts.next() else {
            return Err(fail("scheme, host and port must be literal: `https://host/...`"));
        };
        let (origin, rest) = origin(&first).map_err(fail)?;
        let rest_length = rest.len();
        let mut url = Url { origin, path: Vec::new(), query: Vec::new(), references: sorted(references) };
        let parts: Vec<Part> = parts.collect();
        if rest_length == 0 && !parts.is_empty() {
            return Err(fail("scheme, host and port must be literal: put a `/` before the first `${`"));
        }
        let mut rest = rest.to_owned();
        if !rest.starts_with('/') {
            rest.insert(0, '/');
        }
        for part in std::iter::once(Part::Literal(rest)).chain(parts) {
            let text = match part {
                Part::Literal(text) => text,
                Part::Expression(_) if url.query.is_empty() => {
                    url.path.push(part);
                    continue;
                }
                Part::Expression(_) => {
                    url.query.push(part);
                    continue;
                }
            };
            check_literal(&text).map_err(fail)?;
            match text.find('?').filter(|_| url.query.is_empty()) {
                Some(at) => {
                    url.path.push(Part::Literal(text[..at].to_owned()));
                    url.query.push(Part::Literal(text[at..].to_owned()));
                }
                None if url.query.is_empty() => url.path.push(Part::Literal(text)),
                None => url.query.push(Part::Literal(text)),
            }
        }
        for segment in segments(&url.path) {
            if segment.iter().all(|piece| matches!(piece, Piece::Literal(_))) && dots(raw_literals(&segment)) {
                return Err(fail("`.` and `..` are not allowed as segments of the path"));
            }
        }
        Ok(url)
    }

    /// Renders the URL: the origin, a path that begins with `/`, the query. At most 8 KiB.
    ///
    /// # Errors
    /// Null; control characters; a value that leaves a path segment empty or would change the path; every other
    /// [`Fault`].
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        with_stack(|| self.render_here(scope, &mut Budget::new()))
    }

    /// Whom the URL calls, whatever the values.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What the URL reads from earlier steps; sorted, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    fn render_here(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<String, EvalError> {
        let mut out = self.origin.to_string();
        for segment in segments(&self.path) {
            out.push('/');
            let mut raw = String::new();
            let mut last = None;
            for piece in segment {
                match piece {
                    Piece::Literal(text) => {
                        raw.push_str(text);
                        out.push_str(text);
                    }
                    Piece::Expression(program) => {
                        let value = text_of(program, scope, budget)?;
                        raw.push_str(&value);
                        out.extend(utf8_percent_encode(&value, VALUE));
                        last = Some(program);
                    }
                }
            }
            if let Some(program) = last {
                check_segment(&raw).map_err(|fault| program.fault(fault))?;
                url_length(&out).map_err(|fault| program.fault(fault))?;
            }
        }
        for part in &self.query {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Expression(program) => {
                    let value = text_of(program, scope, budget)?;
                    out.extend(utf8_percent_encode(&value, VALUE));
                    url_length(&out).map_err(|fault| program.fault(fault))?;
                }
            }
        }
        Ok(out)
    }
}

/// The value of an expression as text without control characters.
fn text_of(program: &Program, scope: &Scope<'_>, budget: &mut Budget) -> Result<String, EvalError> {
    program.evaluate(scope, budget, |value, budget| {
        let mut text = String::new();
        value.write_text(&mut text, budget)?;
        if text.chars().any(char::is_control) {
            return Err(Fault::Control);
        }
        url_length(&text)?;
        Ok(text)
    })
}

fn url_length(text: &str) -> Result<(), Fault> {
    if text.len() > limit::URL_BYTES {
        return Err(Fault::TooLarge { what: "the length of a URL in bytes", limit: limit::URL_BYTES as u64 });
    }
    Ok(())
}

/// A piece of a path segment.
enum Piece<'a> {
    Literal(&'a str),
    Expression(&'a Program),
}

/// The path, cut at the slashes of its literals; the slash before each segment is left out.
fn segments(path: &[Part]) -> Vec<Vec<Piece<'_>>> {
    let mut segments = vec![];
    for part in path {
        match part {
            Part::Literal(text) => {
                for (i, piece) in text.split('/').enumerate() {
                    if i > 0 {
                        segments.push(vec![]);
                    }
                    if let (Some(segment), false) = (segments.last_mut(), piece.is_empty()) {
                        segment.push(Piece::Literal(piece));
                    }
                }
            }
            Part::Expression(program) => {
                if let Some(segment) = segments.last_mut() {
                    segment.push(Piece::Expression(program));
                }
            }
        }
    }
    segments
}

fn raw_literals(segment: &[Piece<'_>]) -> String {
    segment.iter().map(|piece| if let Piece::Literal(text) = piece { text } else { "" }).collect()
}

/// Refuses a segment with values that is empty, or that is a way out of its place for someone who decodes it.
fn check_segment(raw: &str) -> Result<(), Fault> {
    if raw.is_empty() {
        return Err(Fault::EmptySegment);
    }
    let decoded = decode(raw);
    if decoded.contains("//") || decoded.contains("\\\\") || decoded.split(['/', '\\']).any(dots) {
        return Err(Fault::PathEscape);
    }
    Ok(())
}

/// Percent-decoded until nothing changes: `%252e` is a dot for a chain of two proxies.
fn decode(raw: &str) -> String {
    let mut text = raw.to_owned();
    // Each round is shorter than the one before; three proxies in a row decode no more than this.
    for _ in 0..4 {
        let next = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn dots(segment: impl AsRef<str>) -> bool {
    matches!(decode(segment.as_ref()).as_str(), "." | "..")
}

/// Reads scheme, host and port; gives what follows them.
fn origin(text: &str) -> Result<(Origin, &str), &'static str> {
    let (scheme, rest) = if let Some(rest) = text.strip_prefix("http://") {
        (Scheme::Http, rest)
    } else if let Some(rest) = text.strip_prefix("https://") {
        (Scheme::Https, rest)
    } else {
        return Err("a URL begins with `http://` or `https://`");
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("user information (`user:password@`) is not allowed; use a header from a Secret");
    }
    let colon = if authority.starts_with('[') { authority.find("]:").map(|at| at + 1) } else { authority.find(':') };
    let (host, port) = match colon {
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
        None => (authority, None),
    };
    let port = match port {
        None => scheme.default_port(),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or("the port must be 1 to 65535")?
        }
        Some(_) => return Err("the port must be 1 to 65535"),
    };
    if !valid_host(host) {
        return Err("the host must be a DNS name, an IPv4 address, or an IPv6 address in brackets");
    }
    Ok((Origin { scheme, host: host.to_ascii_lowercase(), port }, rest))
}

fn valid_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Checks the literal text of path and query.
fn check_literal(text: &str) -> Result<(), &'static str> {
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'#' => return Err("a fragment (`#...`) is never sent; leave it out or write `%23`"),
            b'%' => {
                let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
                if !hex(i + 1) || !hex(i + 2) {
                    return Err("`%` must be followed by two hexadecimal digits; a percent sign is `%25`");
                }
            }
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                return Err("the URL holds a character that must be percent-encoded");
            }
            0x21..=0x7e => {}
            _ => return Err("the URL holds a space, control or non-ASCII character; percent-encode it"),
        }
    }
    Ok(())
}
