//! Any bytes as what one of the two processes says to the other: taken or refused, with no more memory than a
//! frame may have.
#![no_main]

use bytes::BytesMut;
use expiryd::privsep::frame::{OF_AGENT, OF_SERVER};
use expiryd::privsep::{Frame, ToAgent, ToServer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for most in [OF_AGENT, OF_SERVER] {
        let mut received = BytesMut::from(bytes);
        while let Ok(Some(frame)) = Frame::take(&mut received, most) {
            assert!(frame.prefix(most).is_ok(), "what was taken can be sent");
            if let Ok(said) = ToAgent::from_frame(&frame) {
                assert_eq!(ToAgent::from_frame(&said.clone().into_frame()), Ok(said));
            }
            if let Ok(said) = ToServer::from_frame(frame) {
                assert!(ToServer::from_frame(said.into_frame()).is_ok());
            }
        }
        assert!(received.capacity() <= 2 * OF_AGENT);
    }
});
