//! A pair of sockets on which frames go, some of them with a descriptor (unix(7), `SCM_RIGHTS`).

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net;

use bytes::BytesMut;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, send, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::frame::{Frame, OF_AGENT, OF_SERVER};

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;

/// Most descriptors that may have come before the frames that they belong to.
const DESCRIPTORS: usize = 64;

/// Whose end of it one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Agent,
    Server,
}

/// One end.
#[derive(Debug)]
pub struct Channel {
    end: End,
    stream: UnixStream,
    received: BytesMut,
    descriptors: VecDeque<OwnedFd>,
    chunk: Box<[u8]>,
}

impl Channel {
    /// The agent's end, and the other one for its server.
    ///
    /// # Errors
    /// The kernel gives no sockets.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (own, other) = net::UnixStream::pair()?;
        Ok((Self::new(End::Agent, own)?, other.into()))
    }

    /// The server's end, which the agent made.
    ///
    /// # Errors
    /// It is not a socket.
    pub fn to_agent(stream: net::UnixStream) -> io::Result<Self> {
        Self::new(End::Server, stream)
    }

    fn new(end: End, stream: net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            end,
            stream: UnixStream::from_std(stream)?,
            received: BytesMut::new(),
            descriptors: VecDeque::new(),
            chunk: vec![0; CHUNK].into(),
        })
    }

    /// Sends a frame, with the descriptor that it says comes with it. Dropped half-way it leaves the other end
    /// with a part of it, so this one has to be dropped, too.
    ///
    /// # Errors
    /// The frame is too large, or nobody is at the other end.
    pub async fn send(&self, frame: &Frame, mut with: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let prefix = frame.prefix(self.end.sends()).map_err(invalid)?;
        let parts = frame.parts.iter().map(|part| &part[..]);
        for part in [&prefix[..], &frame.head].into_iter().chain(parts) {
            let mut rest = part;
            while !rest.is_empty() {
                let write = || Ok(send_some(&self.stream, rest, with)?);
                let sent = self.stream.async_io(Interest::WRITABLE, write).await?;
                with = None;
                rest = rest.get(sent..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// The next frame, with its descriptor; `None` when the other end is closed. Can be dropped and called again
    /// without losing anything.
    ///
    /// # Errors
    /// What comes is no frame, or the kernel refuses to read it.
    pub async fn receive(&mut self) -> io::Result<Option<(Frame, Option<OwnedFd>)>> {
        loop {
            let most = self.end.receives();
            if let Some(frame) = Frame::take(&mut self.received, most).map_err(invalid)? {
                let descriptor = if frame.descriptor { self.descriptors.pop_front() } else { None };
                if self.received.is_empty() {
                    // It would keep the memory of the frame.
                    self.received = BytesMut::new();
                }
                return Ok(Some((frame, descriptor)));
            }
            let Self { end, stream, received, descriptors, chunk } = self;
            let room = match end {
                // Its server has none to give.
                End::Agent => 0,
                End::Server => DESCRIPTORS.saturating_sub(descriptors.len()),
            };
            // No further than the frame goes, whose memory would grow to twice its size for the next one's.
            let missing = received.capacity() - received.len();
            let most = if missing == 0 { CHUNK } else { CHUNK.min(missing) };
            let chunk = chunk.get_mut(..most).unwrap_or_default();
            let read = || Ok(receive_some(&*stream, chunk, descriptors, room)?);
            match stream.async_io(Interest::READABLE, read).await? {
                0 => return Ok(None),
                read => received.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            }
        }
    }
}

impl End {
    /// The most bytes of a frame that it sends.
    const fn sends(self) -> usize {
        match self {
            Self::Agent => OF_AGENT,
            Self::Server => OF_SERVER,
        }
    }

    /// The most bytes of one that it takes.
    const fn receives(self) -> usize {
        match self {
            Self::Agent => OF_SERVER,
            Self::Server => OF_AGENT,
        }
    }
}

fn send_some(
    to: impl AsFd,
    bytes: &[u8],
    with: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<usize> {
    if with.is_none() {
        // Which is all that the server may call.
        return send(to, bytes, SendFlags::NOSIGNAL);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(with.as_slice()));
    sendmsg(to, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

fn receive_some(
    from: impl AsFd,
    chunk: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
    room: usize,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(from, &mut [IoSliceMut::new(chunk)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights.take(room));
        }
    }
    Ok(received.bytes)
}

fn invalid(error: super::FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use bytes::Bytes;

    use super::*;

    fn both() -> (Channel, Channel) {
        let (one, other) = Channel::pair().unwrap();
        (one, Channel::to_agent(other.into()).unwrap())
    }

    fn frame(head: &'static str, size: usize, descriptor: bool) -> Frame {
        let parts = vec![vec![7; size].into()];
        Frame { head: Bytes::from_static(head.as_bytes()), parts, descriptor }
    }

    #[tokio::test]
    async fn a_listening_socket_goes_with_its_frame_between_others() {
        let (one, mut other) = both();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = [frame("a", 100_000, false), frame("b", 0, true), frame("c", 1, false)];
        let send = async {
            for frame in &sent {
                let with = frame.descriptor.then(|| listener.as_fd());
                one.send(frame, with).await.unwrap();
            }
        };
        let receive = async {
            let mut all = Vec::new();
            for _ in &sent {
                all.push(other.receive().await.unwrap().unwrap());
            }
            all
        };
        let ((), mut received) = tokio::join!(send, receive);
        let frames: Vec<_> = received.iter().map(|(frame, _)| frame.clone()).collect();
        assert_eq!(frames, sent);
        let with: Vec<_> = received.iter().map(|(_, descriptor)| descriptor.is_some()).collect();
        assert_eq!(with, [false, true, false]);

        drop(listener);
        let taken = TcpListener::from(received.swap_remove(1).1.unwrap());
        let mut client = TcpStream::connect(address).unwrap();
        drop(taken.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is the socket that was sent");
    }

    #[tokio::test]
    async fn of_the_server_no_descriptor_and_no_large_frame_is_taken() {
        let (mut one, other) = both();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        other.send(&frame("a", 0, true), Some(listener.as_fd())).await.unwrap();
        assert!(matches!(one.receive().await, Ok(Some((_, None)))));
        assert!(other.send(&frame("a", OF_SERVER, false), None).await.is_err());
        let prefix = frame("a", OF_SERVER, false).prefix(OF_AGENT).unwrap();
        assert_eq!(other.stream.try_write(&prefix).unwrap(), prefix.len());
        assert_eq!(one.receive().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn the_end_of_the_other_side_is_told_and_what_is_no_frame_refused() {
        let (one, mut other) = both();
        drop(one);
        assert!(other.receive().await.unwrap().is_none());

        let (one, mut other) = both();
        one.stream.writable().await.unwrap();
        one.stream.try_write(b"GET / HTTP/1.1\r\n").unwrap();
        let refused = other.receive().await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
}
