//! What an answer carries: bytes that it shares with every other answer, in one part or more.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// See the module. Most answers have one part, which costs nothing to keep.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// Empty at the end.
    next: Bytes,
    rest: vec::IntoIter<Bytes>,
    /// Whether it stands for something that was not rendered, as in an answer to HEAD.
    unknown: bool,
}

impl Payload {
    /// These parts, one behind the other.
    pub(super) fn of(mut parts: Vec<Bytes>) -> Self {
        parts.retain(|part| !part.is_empty());
        let mut rest = parts.into_iter();
        Self { next: rest.next().unwrap_or_default(), rest, unknown: false }
    }

    /// Nothing, for an answer to HEAD: its length is not told because nobody knows it.
    pub(super) fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }
}

impl From<Bytes> for Payload {
    fn from(next: Bytes) -> Self {
        Self { next, ..Self::default() }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let following = self.rest.next().unwrap_or_default();
        let part = std::mem::replace(&mut self.next, following);
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_empty() && !self.unknown
    }

    fn size_hint(&self) -> SizeHint {
        if self.unknown {
            return SizeHint::new();
        }
        let rest: usize = self.rest.as_slice().iter().map(Bytes::len).sum();
        let length = self.next.len() + rest;
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}
