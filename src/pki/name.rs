//! Distinguished names, written so that no byte of a certificate can play tricks on a terminal.

use std::fmt::{self, Write as _};

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::escape::Escaped;

/// Bytes of a name beyond which it is cut: names are for people, a certificate may hold anything.
const LIMIT: usize = 1024;

/// A subject or an issuer: its attributes in the order of the certificate, their values [`Escaped`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Name {
    attributes: Box<[(Attribute, Box<str>)]>,
}

/// The type of an attribute: a short name for the usual ones (RFC 4514 section 3), else its OID.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attribute {
    Known(&'static str),
    Oid(Box<str>),
}

impl Name {
    pub(super) fn of(name: &X509Name<'_>) -> Self {
        let mut left = LIMIT;
        let attributes = name.iter_attributes().map_while(|attribute| {
            let text = text(attribute, left);
            left = left.checked_sub(text.len().max(1))?;
            Some((kind(attribute), text))
        });
        Self { attributes: attributes.collect() }
    }

    /// The values of the attribute with this short name, such as `CN`, in order.
    pub fn values(&self, attribute: &str) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter(move |(kind, _)| matches!(kind, Attribute::Known(known) if *known == attribute))
            .map(|(_, value)| &**value)
    }
}

/// As in RFC 4514, but in the order of the certificate and with a blank after the comma, as
/// openssl prints it, and with [`Escaped`] values: `O=system:nodes, CN=system:node:cp-1`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (kind, value)) in self.attributes.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            match kind {
                Attribute::Known(short) => write!(f, "{short}=")?,
                Attribute::Oid(oid) => write!(f, "{oid}=")?,
            }
            for character in value.chars() {
                match character {
                    ',' | '+' | '"' | '<' | '>' | ';' => write!(f, "\\{character}")?,
                    _ => f.write_char(character)?,
                }
            }
        }
        Ok(())
    }
}

fn kind(attribute: &AttributeTypeAndValue<'_>) -> Attribute {
    // The arc 2.5.4 is X.520's, in DER 55 04.
    match attribute.attr_type().as_bytes() {
        [0x55, 0x04, 3] => Attribute::Known("CN"),
        [0x55, 0x04, 5] => Attribute::Known("serialNumber"),
        [0x55, 0x04, 6] => Attribute::Known("C"),
        [0x55, 0x04, 7] => Attribute::Known("L"),
        [0x55, 0x04, 8] => Attribute::Known("ST"),
        [0x55, 0x04, 10] => Attribute::Known("O"),
        [0x55, 0x04, 11] => Attribute::Known("OU"),
        _ => Attribute::Oid(attribute.attr_type().to_id_string().into()),
    }
}

/// The value as text, as far as there is room for it.
fn text(attribute: &AttributeTypeAndValue<'_>, limit: usize) -> Box<str> {
    let bytes = attribute.attr_value().data;
    Escaped(bytes.get(..bytes.len().min(limit)).unwrap_or_default()).to_string().into()
}

#[cfg(test)]
mod tests {
    use testkit::certificate::element;
    use x509_parser::prelude::FromDer;

    use super::*;

    #[test]
    fn the_usual_attributes_have_short_names_and_others_their_oid() {
        let attribute = |oid: &[u8], value: &str| {
            let of = [element(0x06, oid), element(0x0C, value.as_bytes())].concat();
            element(0x31, &element(0x30, &of))
        };
        let known = [3, 5, 6, 7, 8, 10, 11].map(|last| attribute(&[0x55, 0x04, last], "x"));
        let title = attribute(&[0x55, 0x04, 12], "y");
        let der = element(0x30, &[known.concat(), title].concat());
        let (_, name) = X509Name::from_der(&der).unwrap();
        let name = Name::of(&name);
        assert_eq!(name.to_string(), "CN=x, serialNumber=x, C=x, L=x, ST=x, O=x, OU=x, 2.5.4.12=y");
        assert_eq!(name.values("ST").collect::<Vec<_>>(), ["x"]);
    }
}
