//! What an answer carries: bytes that it shares with every other answer, in at most two parts.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Payload {
    parts: VecDeque<Bytes>,
    /// Whether it stands for something that was not rendered, as in an answer to HEAD.
    unknown: bool,
}

impl Payload {
    /// These parts, one behind the other.
    pub(super) fn of(parts: impl IntoIterator<Item = Bytes>) -> Self {
        Self { parts: parts.into_iter().filter(|part| !part.is_empty()).collect(), unknown: false }
    }

    /// Nothing, for an answer to HEAD: its length is not told because nobody knows it.
    pub(super) const fn unknown() -> Self {
        Self { parts: VecDeque::new(), unknown: true }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::of([bytes])
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.parts.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && !self.unknown
    }

    fn size_hint(&self) -> SizeHint {
        if self.unknown {
            return SizeHint::new();
        }
        let length: usize = self.parts.iter().map(Bytes::len).sum();
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}
