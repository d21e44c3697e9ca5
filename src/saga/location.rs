//! Where to ask for a call that is in progress: the `Location` of its answer, if it stays at the origin of the call.

use fluent_uri::component::Scheme;
use fluent_uri::{Uri, UriRef};

/// Longest location that is stored: path and query, in bytes as an API server stores them.
pub(super) const MAX_LOCATION: usize = 512;

/// Path and query of a `Location`, resolved against the URL of the call as RFC 3986 says.
///
/// # Errors
/// Why it cannot be asked there, in words.
pub(super) fn path(url: &str, location: Option<&str>) -> Result<String, &'static str> {
    let location = location.ok_or("without a Location to ask again")?;
    let base = Uri::parse(url).map_err(|_| "with a Location, but the URL of the call cannot be read")?;
    let reference = UriRef::parse(location.trim()).map_err(|_| "with a Location that is not a URI")?;
    let target = reference.resolve_against(&base).map_err(|_| "with a Location that cannot be resolved")?.normalize();
    let target = target.borrow();
    if origin(&target).is_none() || origin(&target) != origin(&base.normalize().borrow()) {
        return Err("with a Location at another origin, which is not asked");
    }
    let path = if target.path().is_empty() { "/" } else { target.path().as_str() };
    let path = target.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    if super::size::escaped(&path) > MAX_LOCATION {
        return Err("with a Location longer than 512 characters");
    }
    Ok(path)
}

/// The URL of a stored location.
pub(super) fn url(call_url: &str, path: &str) -> Option<String> {
    let base = Uri::parse(call_url).ok()?;
    let authority = base.authority()?;
    Some(format!("{}://{authority}{path}", base.scheme()))
}

/// Scheme, host and port; none where there is user information, which no URL of a definition has.
fn origin(uri: &Uri<&str>) -> Option<(String, String, u16)> {
    const HTTPS: &Scheme = Scheme::new_or_panic("https");
    let authority = uri.authority()?;
    let default = if uri.scheme() == HTTPS { 443 } else { 80 };
    let port = authority.port_to_u16().ok()?.unwrap_or(default);
    let plain = !authority.has_userinfo();
    plain.then(|| (uri.scheme().as_str().to_ascii_lowercase(), authority.host().to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://Stock.shop.svc/orders/7/reserve?x=1";

    #[test]
    fn a_location_at_the_same_origin_is_kept_as_path_and_query() {
        for (location, expected) in [
            ("http://stock.shop.svc/operations/9", "/operations/9"),
            ("HTTP://STOCK.shop.svc:80/operations/9?a=b#part", "/operations/9?a=b"),
            ("/operations/9", "/operations/9"),
            ("//stock.shop.svc/operations/9", "/operations/9"),
            ("operations/9", "/orders/7/operations/9"),
            ("../operations/../9", "/orders/9"),
            ("?poll=1", "/orders/7/reserve?poll=1"),
            ("http://stock.shop.svc", "/"),
            (" /trimmed ", "/trimmed"),
        ] {
            let path = path(URL, Some(location));
            assert_eq!(path.as_deref(), Ok(expected), "{location}");
            let url = url(URL, expected).unwrap();
            assert!(url.eq_ignore_ascii_case(&format!("http://stock.shop.svc{expected}")), "{url}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for location in [
            "https://stock.shop.svc/operations/9",
            "http://stock.shop.svc:8080/operations/9",
            "http://other.shop.svc/operations/9",
            "//other.shop.svc/operations/9",
            "http://user@stock.shop.svc/operations/9",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://stock.shop.svc:99999/",
        ] {
            assert_eq!(
                path(URL, Some(location)),
                Err("with a Location at another origin, which is not asked"),
                "{location}"
            );
        }
        assert_eq!(path(URL, Some("/a b")), Err("with a Location that is not a URI"));
        assert_eq!(path(URL, None), Err("without a Location to ask again"));
        assert_eq!(
            path(URL, Some(&format!("/{}", "x".repeat(512)))),
            Err("with a Location longer than 512 characters")
        );
        assert_eq!(path(URL, Some(&format!("/{}", "x".repeat(511)))).map(|path| path.len()), Ok(512));
    }
}
