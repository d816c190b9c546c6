//! One message as bytes: a version, lengths that are bounded, a head, and what it carries.
//!
//! ```text
//! version (1)  descriptors (1)  parts (2)  length of the head (4)  length of each part (4)   head   parts
//! ```
//!
//! Numbers are little-endian. What a message carries is not copied: the receiver's parts are pieces of the
//! memory that the frame was read into.

use bytes::{Buf, Bytes, BytesMut};

/// What both sides speak. They are the same program, so another version is a mistake.
const VERSION: u8 = 1;

/// Bytes in front of the lengths of the parts.
const PREFIX: usize = 8;

/// Bytes of a length.
const LENGTH: usize = 4;

/// Most parts of one frame.
const PARTS: usize = 64;

/// Most bytes of a frame of the agent's: ten thousand certificates in every form take 16 MiB.
pub const OF_AGENT: usize = 24 << 20;

/// Most bytes of a frame of its server's, which may have been taken over.
pub const OF_SERVER: usize = 1024;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// What the message is.
    pub head: Bytes,
    /// What it carries.
    pub parts: Vec<Bytes>,
    /// Whether a descriptor comes with it.
    pub descriptor: bool,
}

/// Bytes that are no frame, or a frame that would be too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Of another version.
    #[error("it is of version {0}, and this program speaks version {VERSION}")]
    Version(u8),
    /// More than may go into one.
    #[error("it has {bytes} bytes in {parts} parts, and {most} bytes in {PARTS} parts is the most")]
    TooLarge {
        /// Bytes in all.
        bytes: usize,
        /// Parts.
        parts: usize,
        /// The most bytes.
        most: usize,
    },
    /// It promises neither one descriptor nor none.
    #[error("it promises {0} descriptors")]
    Descriptors(u8),
}

impl Frame {
    /// What goes before the head and the parts, which have `most` bytes in all.
    ///
    /// # Errors
    /// It is too large.
    pub fn prefix(&self, most: usize) -> Result<Vec<u8>, FrameError> {
        let sizes: Vec<usize> = self.parts.iter().map(Bytes::len).collect();
        bounded(self.head.len(), &sizes, most)?;
        let mut prefix = vec![VERSION, u8::from(self.descriptor)];
        // Both fit, as they are bounded.
        prefix.extend(u16::try_from(sizes.len()).unwrap_or(u16::MAX).to_le_bytes());
        for size in [self.head.len()].into_iter().chain(sizes) {
            prefix.extend(u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        }
        Ok(prefix)
    }

    /// Takes the first frame, of `most` bytes, off what was received, once it is whole; until then makes room for
    /// the rest of it.
    ///
    /// # Errors
    /// What was received is no frame. Nothing that follows can be understood either.
    pub fn take(received: &mut BytesMut, most: usize) -> Result<Option<Self>, FrameError> {
        let Some(lengths) = Lengths::read(received, most)? else { return Ok(None) };
        let content = bounded(lengths.head, &lengths.parts, most)?;
        let begin = PREFIX + LENGTH * lengths.parts.len();
        if received.len() < begin + content {
            received.reserve(begin + content - received.len());
            return Ok(None);
        }
        received.advance(begin);
        let mut content = received.split_to(content).freeze();
        let head = content.split_to(lengths.head);
        let parts = lengths.parts.into_iter().map(|length| content.split_to(length)).collect();
        Ok(Some(Self { head, parts, descriptor: lengths.descriptor }))
    }
}

/// What the prefix says.
struct Lengths {
    descriptor: bool,
    head: usize,
    parts: Vec<usize>,
}

impl Lengths {
    /// `None` while it is not all there.
    fn read(received: &[u8], most: usize) -> Result<Option<Self>, FrameError> {
        let mut prefix = received;
        let mut fields = || {
            Some((
                prefix.try_get_u8().ok()?,
                prefix.try_get_u8().ok()?,
                prefix.try_get_u16_le().ok()?,
            ))
        };
        let Some((version, descriptors, parts)) = fields() else { return Ok(None) };
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if descriptors > 1 {
            return Err(FrameError::Descriptors(descriptors));
        }
        if usize::from(parts) > PARTS {
            return Err(FrameError::TooLarge { bytes: 0, parts: parts.into(), most });
        }
        let mut length = || prefix.try_get_u32_le().ok()?.try_into().ok();
        let Some(head) = length() else { return Ok(None) };
        let parts = (0..parts).map(|_| length()).collect::<Option<_>>();
        Ok(parts.map(|parts| Self { descriptor: descriptors == 1, head, parts }))
    }
}

/// The bytes of the head and the parts, as far as they may be.
fn bounded(head: usize, parts: &[usize], most: usize) -> Result<usize, FrameError> {
    let bytes = parts.iter().fold(head, |sum, part| sum.saturating_add(*part));
    if bytes > most || parts.len() > PARTS {
        return Err(FrameError::TooLarge { bytes, parts: parts.len(), most });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(head: &'static str, parts: &[&'static str]) -> Frame {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        Frame {
            head: bytes(head),
            parts: parts.iter().map(|part| bytes(part)).collect(),
            descriptor: !parts.is_empty(),
        }
    }

    fn written(frame: &Frame) -> Vec<u8> {
        let parts = frame.parts.iter().map(|part| &part[..]);
        [&frame.prefix(OF_AGENT).unwrap()[..], &frame.head]
            .into_iter()
            .chain(parts)
            .collect::<Vec<_>>()
            .concat()
    }

    #[test]
    fn frames_are_taken_whole_however_they_arrive() {
        let frames = [frame("one", &[]), frame("two", &["a", "", "bc"]), frame("", &["d"])];
        let all: Vec<u8> = frames.iter().flat_map(written).collect();
        for chunk in [1, 2, 7, all.len()] {
            let (mut received, mut taken) = (BytesMut::new(), Vec::new());
            for some in all.chunks(chunk) {
                received.extend_from_slice(some);
                while let Some(frame) = Frame::take(&mut received, OF_AGENT).unwrap() {
                    taken.push(frame);
                }
            }
            assert_eq!(taken, frames, "{chunk} at a time");
            assert!(received.is_empty());
        }
    }

    #[test]
    fn nothing_is_taken_of_what_would_be_too_large_and_no_memory_for_it() {
        let lengths = |head: u32, parts: &[u32]| {
            let count = u16::try_from(parts.len()).unwrap().to_le_bytes();
            let lengths =
                [head].into_iter().chain(parts.iter().copied()).flat_map(u32::to_le_bytes);
            [VERSION, 0].into_iter().chain(count).chain(lengths).collect::<Vec<u8>>()
        };
        for prefix in [lengths(u32::MAX, &[]), lengths(1, &[u32::MAX; 3]), lengths(1, &[0; 65])] {
            let mut received = BytesMut::from(&prefix[..]);
            let refused = Frame::take(&mut received, OF_AGENT);
            assert!(matches!(refused, Err(FrameError::TooLarge { .. })), "{refused:?}");
            assert!(received.capacity() < 1024);
        }
        let large = Frame { parts: vec![vec![0; OF_SERVER + 1].into()], ..Frame::default() };
        assert!(matches!(large.prefix(OF_SERVER), Err(FrameError::TooLarge { .. })));
        assert!(large.prefix(OF_AGENT).is_ok());
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused_at_once() {
        let take = |bytes: [u8; 4]| Frame::take(&mut BytesMut::from(&bytes[..]), OF_SERVER);
        assert_eq!(take([2, 0, 0, 0]), Err(FrameError::Version(2)));
        assert_eq!(take([VERSION, 2, 0, 0]), Err(FrameError::Descriptors(2)));
    }
}
