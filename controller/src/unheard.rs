//! Who was asked for a cluster and did not answer, in words: people have to find out where it is stuck.

use std::fmt;

use serde::Serialize;

/// Characters of a reason; whoever was asked may have had a hand in it.
const MOST: usize = 300;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unheard {
    /// Who was asked, and where.
    pub who: String,
    /// Why there is no answer, or none that can be used.
    pub why: String,
}

impl Unheard {
    /// With the reason in one line of bounded length.
    pub fn new(who: String, why: &str) -> Self {
        let mut line: String =
            why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
        if why.chars().nth(MOST).is_some() {
            line.push('…');
        }
        Self { who, why: line }
    }
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not heard: {}", self.who, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        let said = Unheard::new("it".to_owned(), "a\nb\u{1b}[31mc");
        assert_eq!(said.to_string(), "it was not heard: a b [31mc");
        let long = Unheard::new("it".to_owned(), &"ü".repeat(400));
        assert_eq!((long.why.chars().count(), long.why.ends_with('…')), (301, true));
    }
}
