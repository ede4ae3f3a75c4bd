//! The frame of every page: head, search, navigation, foot.

use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;

use super::html::{Html, html};
use crate::serve::users::Person;

/// A page as it is sent.
pub(super) struct Page {
    pub status: StatusCode,
    pub html: Html,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response<axum::body::Body> {
        let mut response = Response::new(self.html.into_string().into());
        *response.status_mut() = self.status;
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

const PAGES: [(&str, &str); 4] =
    [("/", "Overview"), ("/search", "Search"), ("/reports", "Reports"), ("/sql", "SQL")];

/// A page of somebody who has signed in; `at` is the part of the navigation that it belongs to.
pub(super) fn page(person: &Person, title: &str, at: &str, searched: &str, main: Html) -> Page {
    let entry = |(path, name): (&str, &str)| {
        let current = if path == at { html!(" aria-current=\"page\"") } else { Html::default() };
        html!("<li><a href=\"{}\"{}>{}</a></li>", path, current, name)
    };
    let navigation: Html = PAGES.into_iter().map(entry).collect();
    let who = match person.key == "local" {
        true => html!("<p class=\"who\">this machine</p>"),
        false => html!(
            "<form class=\"who\" method=\"post\" action=\"/sign-out\"><span>{} <small>{}</small></span> \
             <button class=\"quiet\">Sign out</button></form>",
            person.name,
            person.role.name()
        ),
    };
    // The overview has a box of its own.
    let search = match at {
        "/" => Html::default(),
        _ => html!(
            "<form class=\"search\" role=\"search\" aria-label=\"Search\" action=\"/search\">\
             <label class=\"hidden\" for=\"search\">Search an id, a name, an address or a time</label>\
             <input id=\"search\" name=\"q\" type=\"search\" value=\"{}\" placeholder=\"Id, name, address or time\" \
             autocomplete=\"off\" autocapitalize=\"off\" spellcheck=\"false\" maxlength=\"500\"><kbd aria-hidden=\"true\">/</kbd></form>",
            searched
        ),
    };
    let head = html!(
        "<a class=\"skip\" href=\"#main\">Skip to the content</a>\
         <header><a class=\"brand\" href=\"/\">agentrail</a>\
         <nav aria-label=\"Pages\"><ul>{}</ul></nav>{}{}</header>",
        navigation,
        search,
        who
    );
    Page { status: StatusCode::OK, html: document(title, head, main, Html::default()) }
}

/// A page of nobody yet: the sign-in, or what went wrong.
pub(super) fn bare(status: StatusCode, title: &str, main: Html, more_head: Html) -> Page {
    let head = html!(
        "<a class=\"skip\" href=\"#main\">Skip to the content</a>\
         <header><a class=\"brand\" href=\"/\">agentrail</a></header>"
    );
    Page { status, html: document(title, head, main, more_head) }
}

fn document(title: &str, head: Html, main: Html, more_head: Html) -> Html {
    html!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{} - agentrail</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{}\
         <link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\
         <link rel=\"stylesheet\" href=\"/assets/style.css\"><script src=\"/assets/script.js\" defer></script></head>\
         <body>{}<main id=\"main\" tabindex=\"-1\">{}</main>\
         <footer><p>All times are UTC. <a href=\"/api/openapi.json\">API</a></p></footer></body></html>\n",
        title,
        more_head,
        head,
        main
    )
}
