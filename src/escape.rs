//! Text from outside, as everything shows it: a file's name, a certificate's subject or a server's answer
//! can neither hide, reorder or forge text, nor steer a terminal.

use std::fmt::{self, Write as _};

/// Written so that it is one line of visible text: control and format characters and bytes that are no
/// UTF-8 as `\xNN`, a backslash as `\\`. Two different texts stay different.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl<'a> Escaped<'a> {
    /// For text.
    pub const fn text(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut utf8 = [0; 4];
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    hidden if is_hidden(hidden) => {
                        escape(f, hidden.encode_utf8(&mut utf8).as_bytes())?;
                    }
                    visible => f.write_char(visible)?,
                }
            }
            escape(f, chunk.invalid())?;
        }
        Ok(())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// Control characters, and those of Unicode's categories Cf, Zl and Zp and its variation selectors and
/// fillers, which show nothing themselves and change how others are shown (Unicode 16.0).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_text_of_any_language_stays_as_it_is() {
        for text in ["/etc/kubernetes/pki/ca.crt", "Zürich, 東京 e\u{301}", "a b-c_d=e"] {
            assert_eq!(Escaped::text(text).to_string(), text);
        }
    }

    #[test]
    fn what_hides_reorders_or_steers_is_shown_as_its_bytes() {
        for (text, shown) in [
            ("a\x1b[31mb\x07\n", "a\\x1b[31mb\\x07\\x0a"),
            ("a\u{202e}b", "a\\xe2\\x80\\xaeb"),
            ("a\u{61c}b", "a\\xd8\\x9cb"),
            ("a\u{200b}b", "a\\xe2\\x80\\x8bb"),
            ("\u{feff}a", "\\xef\\xbb\\xbfa"),
            ("a\u{e0041}", "a\\xf3\\xa0\\x81\\x81"),
        ] {
            assert_eq!(Escaped::text(text).to_string(), shown);
        }
        assert_eq!(Escaped(b"a\xFFb").to_string(), "a\\xffb");
    }

    #[test]
    fn two_texts_that_differ_are_shown_differently() {
        assert_ne!(Escaped(b"a\xFF").to_string(), Escaped(b"a\\xff").to_string());
    }
}
