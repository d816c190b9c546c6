//! A page in which everything that moves with time is left open: rendered once, and filled whenever somebody
//! asks for it.
//!
//! What is open is an HTML comment. No text of a report can look like one, because maud escapes `<`.

use bytes::Bytes;
use expiryd_api::Timestamp;
use maud::Render;

use crate::report::severity::{Severity, Thresholds};

/// How an open place begins; the rest of it is [`Moving`] as words.
const OPEN: &str = "<!--";
/// How it ends.
const CLOSE: &str = "-->";

/// Something on a page that depends on when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moving {
    /// How long until then.
    TimeLeft(Timestamp),
    /// How long since then.
    Age(Timestamp),
    /// How near that end is, as the name of a class.
    Severity(Timestamp),
    /// The part of the time until `whole` in which `end` is, in thousandths.
    Share { end: Timestamp, whole: Timestamp },
}

impl Moving {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let kind = words.next()?;
        let mut time = || words.next()?.parse().ok().map(Timestamp::from_unix);
        match kind {
            "left" => Some(Self::TimeLeft(time()?)),
            "age" => Some(Self::Age(time()?)),
            "severity" => Some(Self::Severity(time()?)),
            "share" => Some(Self::Share { end: time()?, whole: time()? }),
            _ => None,
        }
    }

    fn at(self, now: Timestamp) -> String {
        match self {
            Self::TimeLeft(end) => end.time_left(now),
            Self::Age(since) => now.time_left(since),
            Self::Severity(end) => match Thresholds::DEFAULT.severity(end, now) {
                Severity::Fine => "fine".to_owned(),
                Severity::Warning => "warning".to_owned(),
                Severity::Critical => "critical".to_owned(),
            },
            Self::Share { end, whole } => {
                let whole = i128::from(whole.seconds_since(now).max(1));
                let thousandths = i128::from(end.seconds_since(now).max(0)) * 1000 / whole;
                // What has ended, or is about to, still has to be seen.
                thousandths.max(4).to_string()
            }
        }
    }
}

impl Render for Moving {
    fn render_to(&self, page: &mut String) {
        let words = match self {
            Self::TimeLeft(end) => format!("left {}", end.unix()),
            Self::Age(since) => format!("age {}", since.unix()),
            Self::Severity(end) => format!("severity {}", end.unix()),
            Self::Share { end, whole } => format!("share {} {}", end.unix(), whole.unix()),
        };
        page.extend([OPEN, &words, CLOSE]);
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageTemplate(Bytes);

impl PageTemplate {
    /// What was rendered with slots for what moves, or came from such a one.
    pub const fn new(page: Bytes) -> Self {
        Self(page)
    }

    /// As it is handed on.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The page as it is at `now`.
    pub fn fill(&self, now: Timestamp) -> String {
        let template = String::from_utf8_lossy(&self.0);
        let mut page = String::with_capacity(template.len());
        let mut rest = &*template;
        while let Some((before, open)) = rest.split_once(OPEN) {
            page.push_str(before);
            rest = if let Some((text, after)) = open.split_once(CLOSE)
                && let Some(moving) = Moving::parse(text)
            {
                page.push_str(&moving.at(now));
                after
            } else {
                page.push_str(OPEN);
                open
            };
        }
        page.push_str(rest);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp::from_unix(1_800_000_000);
    const DAY: i64 = 86_400;

    fn template(parts: maud::Markup) -> PageTemplate {
        PageTemplate::new(parts.into_string().into())
    }

    fn before_end(days: i64) -> Timestamp {
        Timestamp::from_unix(END.unix() - days * DAY)
    }

    #[test]
    fn the_same_template_tells_each_moment_its_own() {
        let observed = before_end(40);
        let page = template(maud::html! {
            b class={ (Moving::Severity(END)) " first" } { (Moving::TimeLeft(END)) }
            i { "scanned " (Moving::Age(observed)) " ago" }
        });
        let at = |days| page.fill(before_end(days));
        assert_eq!(at(40), "<b class=\"fine first\">40d</b><i>scanned 0s ago</i>");
        assert_eq!(at(20), "<b class=\"warning first\">20d</b><i>scanned 20d ago</i>");
        assert_eq!(at(3), "<b class=\"critical first\">3d</b><i>scanned 37d ago</i>");
        assert_eq!(at(-3), "<b class=\"critical first\">ended 3d ago</b><i>scanned 43d ago</i>");
    }

    #[test]
    fn a_bar_is_the_part_of_the_whole_that_is_left_and_never_too_thin_to_be_seen() {
        let page = template(Moving::Share { end: before_end(50), whole: END }.render());
        let at = |days| page.fill(before_end(days));
        assert_eq!([at(100), at(75), at(50), at(0)], ["500", "333", "4", "4"]);
    }

    #[test]
    fn a_text_that_looks_like_an_open_place_stays_the_text_that_it_is() {
        let text = "<!--left 1800000000-->";
        let page = template(maud::html! { (text) span title=(text) {} });
        let shown = "&lt;!--left 1800000000--&gt;";
        assert_eq!(page.fill(END), format!("{shown}<span title=\"{shown}\"></span>"));
    }

    #[test]
    fn what_is_none_of_these_stays_as_it_is() {
        for text in
            ["<!--", "<!-- a comment -->", "<!--left-->", "<!--left x-->", "<!--share 1-->", "-->"]
        {
            assert_eq!(PageTemplate::new(Bytes::from_static(text.as_bytes())).fill(END), text);
        }
    }
}
