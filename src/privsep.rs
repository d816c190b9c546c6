//! What the two processes say to each other: the agent, which reads certificates, and its server, which
//! answers whoever asks.
//!
//! They are apart as in OpenSSH and in OpenBSD's ntpd, so that who can be reached cannot read, and who reads cannot be
//! reached. The agent tells and the server never asks: it says that it started, and answers each beat of the
//! agent's loop, which is how the agent knows that it is well.

mod channel;
pub mod frame;
mod message;

pub use channel::Channel;
pub use frame::{Frame, FrameError};
pub use message::{Beat, MessageError, ToAgent, ToServer};
