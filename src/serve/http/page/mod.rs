//! The page to investigate in: rendered here, with no build step and nothing from elsewhere.

mod agent;
mod ask;
mod chain;
mod chart;
mod days;
mod detection;
mod html;
mod identity;
mod issuer;
mod layout;
mod overview;
mod parts;
mod plot;
mod pool;
mod prose;
mod record;
mod report;
mod run;
mod search;
mod sign;
mod sql;
mod table;
mod timeline;
mod trace;
mod turns;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{MethodRouter, get, post};

use super::Desk;
use super::problem::Problem;
use super::sign_in::Signed;
use crate::serve::gate::Refusal;
use html::{Html, address, html};

/// The door by which the log of queries knows this.
const DOOR: &str = "page";

/// The pages.
pub(super) fn router() -> Router<Arc<Desk>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/search", get(search::show))
        .route("/trace/{id}", get(trace::show))
        .route("/record/{hash}", get(record::show))
        .route("/agent/{organization}/{id}", get(agent::show))
        .route("/identity/{id}", get(identity::show))
        .route("/run/{kind}/{id}", get(run::show))
        .route("/pool/{organization}/{id}", get(pool::show))
        .route("/detections", get(detection::list))
        .route("/detection/{name}", get(detection::show))
        .route("/reports", get(report::list))
        .route("/reports/{name}", get(report::show))
        .route("/sql", get(sql::show))
        .route("/sign-in", get(sign::form).post(sign::enter))
        .route("/sign-in/issuer", get(issuer::away))
        .route("/sign-in/callback", get(issuer::back))
        .route("/sign-out", post(sign::leave))
        .route("/assets/style.css", asset("text/css; charset=utf-8", include_str!("style.css")))
        .route("/assets/script.js", asset("text/javascript; charset=utf-8", include_str!("script.js")))
        .route("/assets/icon.svg", asset("image/svg+xml", include_str!("icon.svg")))
}

fn asset(kind: &'static str, text: &'static str) -> MethodRouter<Arc<Desk>> {
    get(move || async move { ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=300")], text) })
}

/// Somebody who has signed in and looks at a page.
pub(super) struct Visitor(pub Signed);

impl FromRequestParts<Arc<Desk>> for Visitor {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Visitor, Failed> {
        match Signed::from_request_parts(parts, desk).await {
            Ok(signed) => Ok(Visitor(signed)),
            Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
                let here = parts.uri.path_and_query().map_or("/", |here| here.as_str()).to_owned();
                let site = parts.headers.get("sec-fetch-site").map(|site| site.as_bytes());
                // Who follows a link from elsewhere does not bring the cookie; the page asks again from here.
                if site == Some(b"cross-site") { Err(Failed::Again(here)) } else { Err(Failed::SignIn(here)) }
            }
            Err(problem) => Err(problem.into()),
        }
    }
}

/// Why there is no page, or another one.
pub(super) enum Failed {
    Problem(Problem),
    /// Sign in first, then come back here.
    SignIn(String),
    Again(String),
    Elsewhere(String),
    /// As a program reads it.
    Bare(Problem),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Failed {
        Failed::Problem(problem)
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        Failed::Problem(refusal.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response<Body> {
        match self {
            Failed::SignIn(here) => Redirect::to(&address(&["sign-in"], &[("next", &here)])).into_response(),
            Failed::Elsewhere(there) => Redirect::to(&there).into_response(),
            Failed::Again(here) => {
                let again = html!("<meta http-equiv=\"refresh\" content=\"0;url={}\">", here);
                let main = html!("<h1>One moment</h1><p><a href=\"{}\">Go on</a></p>", here);
                layout::bare(StatusCode::OK, "One moment", main, again).into_response()
            }
            Failed::Bare(problem) => problem.into_response(),
            Failed::Problem(problem) => {
                let main = html!(
                    "<section class=\"notice bad\" role=\"alert\"><h1>{}</h1><p>{}</p>\
                     <p><a href=\"/\">Back to the overview</a></p></section>",
                    problem.title(),
                    problem.detail
                );
                let mut response =
                    layout::bare(problem.status, problem.title(), main, Html::default()).into_response();
                if let Some(seconds) = problem.again {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
                }
                response
            }
        }
    }
}

/// What is said where there is nothing: to programs below `/api`, to people elsewhere.
pub(super) fn missing(uri: &Uri, problem: Problem) -> Result<(), Failed> {
    Err(if uri.path().starts_with("/api") { Failed::Bare(problem) } else { Failed::Problem(problem) })
}

/// That something is not in the lake, or not for this person to see.
fn unknown(what: &str, id: &str) -> Failed {
    let says = format!(
        "find {what} `{id}`: no record of this lake that you may see names it; search for it by another id or name"
    );
    Problem::new(StatusCode::NOT_FOUND, says).into()
}
