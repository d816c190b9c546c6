//! YAML as far as kubeconfigs use it: one document of maps, lists and text, erased when dropped.
//!
//! Aliases are refused, so that a small file cannot become a large tree, and so is what is nested
//! deeper than any kubeconfig.

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;
use zeroize::Zeroizing;

/// Levels of maps and lists; client-go's own kubeconfigs have at most five.
const DEPTH: usize = 32;

/// Signs of values; the kubeconfig of a hundred clusters has some two thousand.
const SIGNS: usize = 10_000;

/// Whether a text has no more values than a kubeconfig may have: each takes some hundred bytes of memory,
/// and a file of a megabyte could have half a million.
pub(super) fn is_small(text: &[u8]) -> bool {
    let sign = |byte: &&u8| matches!(byte, b',' | b':' | b'[' | b'{' | b'-' | b'?');
    text.iter().filter(sign).count() <= SIGNS
}

/// A value.
pub(super) enum Node {
    /// Nothing, `~` or `null`.
    Null,
    /// Any other scalar, whatever it looks like.
    Text(Zeroizing<String>),
    /// A list.
    List(Vec<Self>),
    /// A map with text for keys.
    Map(Map),
}

/// A map; no key is in it twice.
#[derive(Default)]
pub(super) struct Map(Vec<(String, Node)>);

/// The document is not valid YAML, or has something in it that a kubeconfig cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Map {
    /// Takes the value of a key out; a value of null is as good as none.
    pub(super) fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.swap_remove(at).1).filter(|node| !matches!(node, Node::Null))
    }

    /// Whether a key has a value; null and empty text are none.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, node)| {
            name == key
                && match node {
                    Node::Null => false,
                    Node::Text(text) => !text.is_empty(),
                    Node::List(_) | Node::Map(_) => true,
                }
        })
    }

    /// Takes a text out.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<Zeroizing<String>>, Unreadable> {
        match self.remove(key) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Unreadable),
        }
    }

    /// Takes a list of maps out; one that is not there is empty.
    pub(super) fn maps(&mut self, key: &str) -> Result<Vec<Self>, Unreadable> {
        match self.remove(key) {
            None => Ok(Vec::new()),
            Some(Node::List(nodes)) => nodes.into_iter().map(Node::map).collect(),
            Some(_) => Err(Unreadable),
        }
    }
}

impl Node {
    /// This as a map; null is an empty one.
    pub(super) fn map(self) -> Result<Map, Unreadable> {
        match self {
            Self::Null => Ok(Map::default()),
            Self::Map(map) => Ok(map),
            Self::Text(_) | Self::List(_) => Err(Unreadable),
        }
    }
}

/// A map or list whose end is still to come.
enum Open {
    List(Vec<Node>),
    /// The second is the key whose value comes next.
    Map(Map, Option<String>),
}

/// Reads the first document; an empty one is null.
pub(super) fn read(text: &str) -> Result<Node, Unreadable> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        let (event, _) = parser.next_token().map_err(|_| Unreadable)?;
        let node = match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart => continue,
            Event::StreamEnd | Event::DocumentEnd => return Ok(Node::Null),
            Event::Alias(_) => return Err(Unreadable),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() == DEPTH => {
                return Err(Unreadable);
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::default(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(nodes)) => Node::List(nodes),
                Some(Open::Map(map, None)) => Node::Map(map),
                Some(Open::Map(_, Some(_))) | None => return Err(Unreadable),
            },
            Event::Scalar(text, TScalarStyle::Plain, ..)
                if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") =>
            {
                Node::Null
            }
            Event::Scalar(text, ..) => Node::Text(Zeroizing::new(text)),
        };
        match (open.last_mut(), node) {
            (None, root) => return Ok(root),
            (Some(Open::List(nodes)), node) => nodes.push(node),
            (Some(Open::Map(map, key @ None)), Node::Text(name)) => {
                if map.0.iter().any(|(known, _)| *known == *name) {
                    return Err(Unreadable);
                }
                *key = Some(name.to_string());
            }
            (Some(Open::Map(map, key)), node) => match key.take() {
                Some(name) => map.0.push((name, node)),
                None => return Err(Unreadable),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<String, Unreadable> {
        let text = read(text)?.map()?.text("a")?;
        Ok(text.map_or_else(|| "none".to_owned(), |text| text.to_string()))
    }

    #[test]
    fn scalars_are_text_whatever_they_look_like_and_null_is_none() {
        for (yaml, expected) in [
            ("a: b", "b"),
            ("a: 12", "12"),
            ("a: 'null'", "null"),
            ("a: null", "none"),
            ("a: ~", "none"),
            ("a:", "none"),
            ("b: c", "none"),
            ("", "none"),
            ("{\"a\": \"json\"}", "json"),
            ("# comment\n---\na: >-\n  folded\n  text\n", "folded text"),
        ] {
            assert_eq!(value(yaml).as_deref(), Ok(expected), "{yaml}");
        }
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        for yaml in
            ["a: [", "a: {b: c", "- a", "a: b\na: c", "a: &x b\nc: *x", "? [a]\n: b", "a: [b]"]
        {
            assert_eq!(value(yaml), Err(Unreadable), "{yaml}");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_refused_at_once() {
        assert_eq!(value(&"[".repeat(1 << 20)), Err(Unreadable));
        assert_eq!(value(&"{a: ".repeat(1 << 18)), Err(Unreadable));
        assert_eq!(value(&"- ".repeat(1 << 19)), Err(Unreadable));
    }
}
