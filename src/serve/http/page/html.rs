//! HTML that holds no raw text: whatever is put into it is escaped, unless it is HTML already.

use std::fmt::{Arguments, Display, Formatter, Write as _};

/// A piece of HTML. It is made by [`html!`](super::html), whose text is part of the program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Html(String);

/// Puts values into HTML: text is escaped, [`Html`] is not.
///
/// The text itself must be a literal, so nothing that was read can be taken for markup.
macro_rules! html {
    ($text:literal $(, $value:expr)* $(,)?) => {
        $crate::serve::http::page::html::Html::assemble(format_args!(
            $text $(, $crate::serve::http::page::html::Shown(&$value))*
        ))
    };
}
pub(super) use html;

impl Html {
    /// For the macro alone, which wraps each value.
    pub fn assemble(all: Arguments<'_>) -> Html {
        Html(all.to_string())
    }

    pub fn push(&mut self, more: Html) {
        self.0.push_str(&more.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<T: IntoIterator<Item = Html>>(all: T) -> Html {
        let mut out = Html::default();
        all.into_iter().for_each(|one| out.push(one));
        out
    }
}

/// What may be put into HTML.
pub(super) trait Show {
    fn show(&self, f: &mut Formatter<'_>) -> std::fmt::Result;
}

pub(super) struct Shown<'v, T: Show + ?Sized>(pub &'v T);

impl<T: Show + ?Sized> Display for Shown<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.show(f)
    }
}

impl Show for Html {
    fn show(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Show for str {
    fn show(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for c in self.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(c)?,
                // Marks that turn the direction of text make one name look like another.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    f.write_char(char::REPLACEMENT_CHARACTER)?
                }
                c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl Show for String {
    fn show(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.as_str().show(f)
    }
}

impl<T: Show + ?Sized> Show for &T {
    fn show(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        (**self).show(f)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Show for $number {
            fn show(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        })*
    };
}
numbers!(u16, u32, u64, usize, i64, f64);

/// The address of a page: a path whose parts, and a query whose values, are percent-encoded.
pub(super) fn address(path: &[&str], query: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for part in path {
        out.push('/');
        encode(&mut out, part);
    }
    for (n, (name, value)) in query.iter().enumerate() {
        out.push(if n == 0 { '?' } else { '&' });
        encode(&mut out, name);
        out.push('=');
        encode(&mut out, value);
    }
    out
}

fn encode(out: &mut String, text: &str) {
    // A part of dots alone would lead elsewhere.
    let is_dots = !text.is_empty() && text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        match byte {
            b'.' if is_dots => out.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_html_is_not() {
        for hostile in [
            "<script>alert(1)</script>",
            "\" onmouseover=\"x",
            "' x='",
            "&lt;",
            "\u{202e}gpj.exe",
            "\0\u{1b}[1m",
        ] {
            let put = html!("<a title=\"{}\">{}</a>", hostile, hostile.to_owned()).into_string();
            let inner = put.strip_prefix("<a title=\"").and_then(|rest| rest.strip_suffix("</a>")).unwrap();
            let (attribute, text) = inner.split_once("\">").unwrap();
            assert_eq!(attribute, text);
            assert!(!text.contains(['<', '>', '"', '\'', '\0', '\u{202e}', '\u{1b}']), "{text}");
        }
        let inner = html!("<b>{}</b>", 7_u64);
        assert_eq!(html!("<p>{}</p>", inner).into_string(), "<p><b>7</b></p>");
    }

    #[test]
    fn an_address_stays_on_this_server() {
        assert_eq!(address(&["trace", "a/b?c#d"], &[("q", "x&y=1")]), "/trace/a%2Fb%3Fc%23d?q=x%26y%3D1");
        assert_eq!(address(&["trace", ".."], &[]), "/trace/%2E%2E");
        for hostile in ["javascript:alert(1)", "//evil.example", "\\\\evil", "https://evil"] {
            let address = address(&["search"], &[("q", hostile)]);
            assert!(
                address.starts_with("/search?q=") && !address[1..].contains([':', '/', '\\']),
                "{address}"
            );
        }
    }
}
