//! Signing in to the page, and out.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect};

use super::Failed;
use super::html::{Html, address, html};
use super::layout::{Page, bare};
use crate::serve::http::Desk;
use crate::serve::http::api::pairs;
use crate::serve::http::problem::Problem;
use crate::serve::http::question::take;
use crate::serve::http::sign_in::{Client, prove, session, set_cookie};
use crate::serve::users::Person;

type Answered = Result<Response<axum::body::Body>, Failed>;

pub(super) async fn form(State(desk): State<Arc<Desk>>, RawQuery(query): RawQuery) -> Answered {
    let next = own(take(&mut pairs(query), "next"));
    if desk.gate.directory().is_open() {
        return Err(Failed::Elsewhere(next));
    }
    Ok(ask(&desk, StatusCode::OK, &next, "", "").into_response())
}

/// A path of this server; what leads elsewhere leads to the overview.
pub(super) fn own(next: Option<String>) -> String {
    let is_own = |next: &String| {
        next.starts_with('/')
            && !next.starts_with("//")
            && !next.contains(['\\', '\n', '\r', '\t'])
            && next.is_ascii()
    };
    next.filter(is_own).unwrap_or_else(|| "/".to_owned())
}

/// The ways in that there are.
pub(super) fn ask(desk: &Desk, status: StatusCode, next: &str, name: &str, wrong: &str) -> Page {
    let wrong = match wrong {
        "" => Html::default(),
        wrong => html!("<p class=\"notice bad\" role=\"alert\">{}</p>", wrong),
    };
    let directory = desk.gate.directory();
    let by_issuer = directory.issuer().filter(|issuer| issuer.has_page()).map(|issuer| {
        let there = address(&["sign-in", "issuer"], &[("next", next)]);
        html!("<p><a class=\"button\" href=\"{}\">Sign in with {}</a></p>", there, issuer.title())
    });
    let by_password = match directory.has_users() {
        true => html!(
            "<form method=\"post\" action=\"/sign-in\">\
             <input type=\"hidden\" name=\"next\" value=\"{}\">\
             <label for=\"name\">Name</label><input id=\"name\" name=\"name\" value=\"{}\" autocomplete=\"username\" required autofocus>\
             <label for=\"password\">Password</label>\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\
             <button>Sign in</button></form>\
             <p class=\"empty\">No password yet? Whoever runs the server makes one with <code>agentrail user add NAME</code>.</p>",
            next,
            name
        ),
        false if by_issuer.is_none() => {
            html!("<p class=\"empty\">Nobody signs in on this page: programs send tokens of the issuer.</p>")
        }
        false => Html::default(),
    };
    let main = html!(
        "<section class=\"sign\"><h1>Sign in</h1>{}{}{}</section>",
        wrong,
        by_issuer.unwrap_or_default(),
        by_password
    );
    bare(status, "Sign in", main, Html::default())
}

pub(super) async fn enter(
    State(desk): State<Arc<Desk>>,
    Client(client): Client,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let mut part = |name| take(&mut pairs, name).unwrap_or_default();
    let (name, password, next) = (part("name"), part("password"), own(Some(part("next"))));
    let wrong = |status, says: &str| Ok(ask(&desk, status, &next, &name, says).into_response());
    let person = match prove(&desk, &name, &password, &client).await {
        Ok(Some(person)) => person,
        Ok(None) => return wrong(StatusCode::UNAUTHORIZED, "The name or the password is wrong. Try again."),
        Err(problem) => return wrong(problem.status, &problem.detail),
    };
    let id = open(&desk, &headers, &person)?;
    Ok(with_cookie(&desk, Some(&id), &next))
}

/// Another id for each sign-in; the one of before, if any, is worth nothing any more.
pub(super) fn open(desk: &Desk, headers: &HeaderMap, person: &Person) -> Result<String, Problem> {
    if let Some(old) = session(headers) {
        desk.sessions.close(old);
    }
    let full = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "keep another sign-in; try again later");
    desk.sessions.open(desk.gate.directory().standing(person), Instant::now()).ok_or_else(full)
}

pub(super) async fn leave(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Answered {
    if let Some(id) = session(&headers) {
        desk.sessions.close(id);
    }
    Ok(with_cookie(&desk, None, "/sign-in"))
}

fn with_cookie(desk: &Desk, id: Option<&str>, next: &str) -> Response<axum::body::Body> {
    let mut response = Redirect::to(next).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&set_cookie(desk, id)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_nowhere_else() {
        assert_eq!(own(Some("/trace/x?y=%2F".to_owned())), "/trace/x?y=%2F");
        for elsewhere in
            ["", "//evil.example", "https://evil", "/\\evil", "javascript:alert(1)", "/\n/evil", "/\t/evil"]
        {
            assert_eq!(own(Some(elsewhere.to_owned())), "/", "{elsewhere}");
        }
    }
}
