//! Sentences of the verdict as people read them: their times to the second.

use super::html::{Html, html};
use super::table::time;
use crate::model::Time;

/// A text in which each instant is shown as one.
pub(super) fn prose(text: &str) -> Html {
    let (mut out, mut rest) = (Html::default(), text);
    while let Some((start, end)) = instant(rest) {
        out.push(html!("{}", &rest[..start]));
        out.push(time(&rest[start..end]));
        rest = &rest[end..];
    }
    out.push(html!("{}", rest));
    out
}

/// Where the first instant stands, in the form that verdicts give them: `2026-03-05T12:45:23.1234567Z`.
fn instant(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(mark) = text.get(at..).and_then(|rest| rest.find('T')) {
        let mark = at + mark;
        at = mark + 1;
        let Some(start) = mark.checked_sub(10) else { continue };
        let length = bytes[mark..].iter().take(18).position(|byte| *byte == b'Z');
        let Some(end) = length.map(|length| mark + length + 1) else { continue };
        let is_instant = text.get(start..end).is_some_and(|own| Time::parse(own).is_some());
        if is_instant {
            return Some((start, end));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_as_such_and_the_rest_as_it_is() {
        let shown = |text: &str| prose(text).into_string();
        assert_eq!(
            shown("from 2026-03-05T12:45:23.1234567Z to 2026-03-05T12:50:14Z <b>"),
            "from <time datetime=\"2026-03-05T12:45:23.1234567Z\">2026-03-05 12:45:23</time> to \
             <time datetime=\"2026-03-05T12:50:14Z\">2026-03-05 12:50:14</time> &lt;b&gt;"
        );
        for plain in [
            "",
            "T",
            "TZ",
            "The 2026-03-05 T",
            "2026-13-05T12:45:23Z",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}T12:45:23Z",
        ] {
            assert_eq!(shown(plain), plain);
        }
    }
}
