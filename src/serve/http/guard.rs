//! What every request passes: the host, the site it comes from, a bound on its body; and what every answer says.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use futures::FutureExt as _;

use super::Desk;
use super::problem::Problem;

/// A body is read into memory, up to this.
pub(super) const MOST_BODY: usize = 1 << 20;
const BODY_TIME: Duration = Duration::from_secs(15);

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'; connect-src 'self'";

/// Passes on what may be asked, and adds to the answer what a browser has to keep to.
pub(super) async fn guard(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response<Body> {
    let mut response = match check(&desk, request).await {
        // Whatever breaks while an answer is made, it is one answer that breaks, not the connection.
        Ok(request) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
            Ok(response) => response,
            Err(_) => {
                tracing::error!("a request ended in a panic; what it was is above, please report it");
                let says = "answer: this is a fault of the program; the log of the server says more";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, says).into_response()
            }
        },
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    let mut say = |name: &'static str, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    say("content-security-policy", POLICY);
    say("x-content-type-options", "nosniff");
    say("referrer-policy", "no-referrer");
    say("x-frame-options", "DENY");
    say("cross-origin-opener-policy", "same-origin");
    say("cross-origin-resource-policy", "same-origin");
    say("cache-control", "no-store");
    if desk.is_secure {
        say("strict-transport-security", "max-age=31536000");
    }
    response
}

async fn check(desk: &Desk, request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let host = parts.uri.host().map(str::to_owned).or_else(|| host(&parts.headers).map(str::to_owned));
    // A name that a stranger's site leads to this machine would make its script one of ours.
    if desk.gate.directory().is_open() && !host.as_deref().is_some_and(is_loopback) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "answer for this host: nobody signs in here, so only `localhost` and `127.0.0.1` are served; \
             set `users` in [serve] to be asked by other names",
        ));
    }
    if !is_own(&parts.method, &parts.headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "take what another site sends; open the page itself and ask there",
        ));
    }
    let said: Option<usize> =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let large = || {
        let says = format!("read a body of more than {MOST_BODY} bytes; ask in fewer words");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, says)
    };
    if said.is_some_and(|said| said > MOST_BODY) {
        return Err(large());
    }
    let bytes = match tokio::time::timeout(BODY_TIME, to_bytes(body, MOST_BODY)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(large()),
        Err(_) => {
            let says = format!("read the body within {} s", BODY_TIME.as_secs());
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, says));
        }
    };
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The host of the head, without its port.
fn host(headers: &HeaderMap) -> Option<&str> {
    // Two of them would let each reader pick its own.
    if headers.get_all(header::HOST).iter().count() != 1 {
        return None;
    }
    let host = text(headers, "host")?;
    match host.strip_prefix('[') {
        Some(six) => six.split_once(']').map(|(host, _)| host),
        None => Some(host.rsplit_once(':').map_or(host, |(host, _)| host)),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether it is not what another site made a browser send. A link from anywhere may be followed.
fn is_own(method: &Method, headers: &HeaderMap) -> bool {
    let is_read = method == Method::GET || method == Method::HEAD;
    match text(headers, "sec-fetch-site") {
        Some("same-origin" | "none") => true,
        Some(_) => is_read && text(headers, "sec-fetch-mode") == Some("navigate"),
        // No browser of today; those of yesterday name the origin of what is posted.
        None if is_read => true,
        None => match (text(headers, "origin"), text(headers, "host")) {
            (None, _) => !headers.contains_key("origin"),
            (Some(origin), Some(host)) => {
                origin.split_once("://").is_some_and(|(_, own)| own.eq_ignore_ascii_case(host))
            }
            (Some(_), None) => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_another_site_sends_is_told_apart() {
        let own = |method: Method, all: &[_]| is_own(&method, &headers(all));
        assert!(own(Method::GET, &[]) && own(Method::POST, &[]));
        assert!(own(Method::POST, &[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(own(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]));
        assert!(own(Method::POST, &[("origin", "http://a:1"), ("host", "a:1")]));
        for all in [
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://evil"), ("host", "a:1")],
            &[("origin", "null"), ("host", "a:1")],
            &[("origin", "http://a:1.evil"), ("host", "a:1")],
        ] {
            assert!(!own(Method::POST, all), "{all:?}");
        }
        assert!(!own(Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")]));
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        let is = |text: &'static str| host(&headers(&[("host", text)])).is_some_and(is_loopback);
        for text in ["localhost:1", "LOCALHOST", "127.0.0.1:8080", "127.9.9.9", "[::1]:80"] {
            assert!(is(text), "{text}");
        }
        for text in
            ["", "evil.example", "localhost.evil:80", "127.0.0.1.evil", "10.0.0.1", "[::2]", "0.0.0.0"]
        {
            assert!(!is(text), "{text}");
        }
    }
}
