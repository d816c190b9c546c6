//! One process that answers for the agent, from its start to its end: what it is told, and what it says.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, error, info};

use super::endpoints::Serving;
use crate::agent_status::{AgentStats, ServerStatus};
use crate::config::{LogFormat, LogLevel};
use crate::privsep::frame::OF_AGENT;
use crate::privsep::{Beat, Channel, Frame, ToAgent, ToServer};
use crate::render::Snapshot;
use crate::report::Report;
use crate::system::program::Program;
use crate::system::sandbox::Layer;
use crate::tls::Tls;

/// How long it may take to take in what it is told.
const ANSWER: Duration = Duration::from_secs(10);

/// How long it may take to let running answers finish.
const STOP: Duration = Duration::from_millis(700);

/// A report, and how the agent was doing when it made it.
pub(super) type Told = (Arc<Report>, AgentStats);

/// What the server is told; of each the last.
pub(super) struct Inputs {
    pub(super) serving: watch::Receiver<Serving>,
    pub(super) reports: watch::Receiver<Option<Told>>,
    pub(super) beats: watch::Receiver<Beat>,
    /// Changes or closes when the agent ends.
    pub(super) stop: watch::Receiver<bool>,
}

/// Why a server is no more.
pub(super) enum Ended {
    /// It was told to stop.
    Stopped,
    /// As the second half of a sentence.
    Failed(String),
}

/// See the module. It is killed when dropped.
pub(super) struct ServerProcess {
    child: Child,
    channel: Channel,
    /// What it was told of where to answer.
    told: Option<Serving>,
    /// Whether it said that it is there.
    started: bool,
    beats: Beats,
}

/// The beats that a server was told, by their numbers, and those that it answered.
#[derive(Debug, Default)]
struct Beats {
    told: u64,
    answered: u64,
    /// Until when it has to answer.
    due: Option<Instant>,
}

impl Beats {
    fn tell(&mut self, number: u64, now: Instant) {
        self.told = number;
        self.due.get_or_insert(now + ANSWER);
    }

    /// Whether an answer is one: each beat has one, in turn.
    fn answer(&mut self, number: u64, now: Instant) -> bool {
        let is_one = (self.answered + 1..=self.told).contains(&number);
        if is_one {
            self.answered = number;
            self.due = (number < self.told).then_some(now + ANSWER);
        }
        is_one
    }
}

impl ServerProcess {
    /// Starts one, which is told nothing yet.
    ///
    /// # Errors
    /// There is no socket for it, or it may not be executed.
    pub(super) fn start(
        program: &Program,
        (format, level): (LogFormat, LogLevel),
    ) -> io::Result<Self> {
        let (channel, other) = Channel::pair()?;
        let arguments = ["--log-format", format.as_str(), "--log-level", level.as_str()];
        let child = program.start_server(&arguments, other)?;
        debug!(pid = child.id(), "the server was started");
        Ok(Self { child, channel, told: None, started: false, beats: Beats::default() })
    }

    /// Tells it everything there is, and then everything that is new, until it ends.
    pub(super) async fn run(
        mut self,
        inputs: &mut Inputs,
        status: &watch::Sender<ServerStatus>,
    ) -> Ended {
        let mut stop = inputs.stop.clone();
        inputs.serving.mark_changed();
        inputs.reports.mark_changed();
        inputs.beats.mark_changed();
        loop {
            let told = tokio::select! {
                told = timeout(ANSWER, self.tell(inputs)) => told,
                // Told half of something it can be told nothing more.
                _ = stop.changed() => return Ended::Stopped,
            };
            match told {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    debug!(%error, "the server cannot be told");
                    return self.end();
                }
                Err(_) => return hangs(),
            }
            let due = self.beats.due;
            tokio::select! {
                received = self.channel.receive() => match received {
                    Ok(Some((frame, _))) if self.take(&frame, status) => {}
                    Ok(Some(_)) => return misbehaves(),
                    Ok(None) => return self.end(),
                    Err(error) if error.kind() == ErrorKind::InvalidData => return misbehaves(),
                    Err(error) => {
                        debug!(%error, "the server cannot be heard");
                        return self.end();
                    }
                },
                Ok(()) = inputs.serving.changed() => inputs.serving.mark_changed(),
                Ok(()) = inputs.reports.changed() => inputs.reports.mark_changed(),
                Ok(()) = inputs.beats.changed() => inputs.beats.mark_changed(),
                () = until(due) => return hangs(),
                _ = stop.changed() => {
                    self.stop().await;
                    return Ended::Stopped;
                }
            }
        }
    }

    /// Takes in what the server says; `false` where that is not what it has to say.
    fn take(&mut self, frame: &Frame, status: &watch::Sender<ServerStatus>) -> bool {
        match ToAgent::from_frame(frame) {
            Ok(ToAgent::Started(layers)) if !self.started => {
                self.started = true;
                info!(pid = self.child.id(), "the server answers");
                let known = |(layer, on): &(String, bool)| {
                    Some((layer.parse::<Layer>().ok()?.as_str(), *on))
                };
                let sandbox = layers.iter().filter_map(known).collect();
                status.send_modify(|status| status.sandbox = sandbox);
                true
            }
            Ok(ToAgent::Alive(beat)) => self.beats.answer(beat, Instant::now()),
            Ok(ToAgent::Started(_)) | Err(_) => false,
        }
    }

    /// Tells it what is new: what to answer before where, so that none that is started again says that it knows
    /// nothing; then that the loop turned.
    async fn tell(&mut self, inputs: &mut Inputs) -> io::Result<()> {
        if inputs.reports.has_changed().unwrap_or(false) {
            let told = inputs.reports.borrow_and_update().clone();
            if let Some((report, stats)) = told {
                self.send(shown(&report, &stats), None).await?;
            }
        }
        if inputs.serving.has_changed().unwrap_or(false) {
            let now = inputs.serving.borrow_and_update().clone();
            for message in changes(self.told.as_ref(), &now) {
                let socket = match &message {
                    ToServer::Listen(address) => now.sockets.get(address),
                    _ => None,
                };
                self.send(message.into_frame(), socket.map(|socket| socket.as_fd())).await?;
            }
            self.told = Some(now);
        }
        if inputs.beats.has_changed().unwrap_or(false) {
            let beat = *inputs.beats.borrow_and_update();
            self.send(ToServer::Beat(beat).into_frame(), None).await?;
            self.beats.tell(beat.number, Instant::now());
        }
        Ok(())
    }

    async fn send(
        &self,
        frame: Frame,
        with: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> io::Result<()> {
        self.channel.send(&frame, with).await
    }

    /// Lets it finish, and ends it if it does not.
    async fn stop(mut self) {
        let finished = async {
            self.channel.send(&ToServer::Stop.into_frame(), None).await?;
            while self.channel.receive().await?.is_some() {}
            Ok::<_, io::Error>(())
        };
        let _ = timeout(STOP, finished).await;
    }

    /// How it ended, or was ended when it closed its end and went on.
    fn end(mut self) -> Ended {
        let _ = self.child.kill();
        let how = self.child.wait().map_or_else(|error| error.to_string(), |s| s.to_string());
        Ended::Failed(format!("ended ({how})"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Neither does anything where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server that was told `told` has to be told now.
fn changes(told: Option<&Serving>, now: &Serving) -> Vec<ToServer> {
    let mut messages = Vec::new();
    if told.is_none_or(|told| told.connections != now.connections) {
        messages.push(ToServer::Connections(now.connections));
    }
    if told.is_none_or(|told| !told.tls.is_same(&now.tls)) {
        messages.push(match &now.tls {
            Tls::Plaintext => ToServer::Plaintext,
            Tls::Missing => ToServer::NoCertificate,
            Tls::On(credentials) => ToServer::Tls((**credentials).clone()),
        });
    }
    let before = |address| told.and_then(|told| told.sockets.get(address));
    let new = now.sockets.iter().filter(|(address, socket)| {
        before(address).is_none_or(|before| !Arc::ptr_eq(before, socket))
    });
    messages.extend(new.map(|(address, _)| ToServer::Listen(*address)));
    let known = told.into_iter().flat_map(|told| told.sockets.keys());
    let gone = known.filter(|address| !now.sockets.contains_key(address));
    messages.extend(gone.map(|address| ToServer::Close(*address)));
    messages
}

/// A report as the server gets it; one that is too large for that is said to be.
fn shown(report: &Report, stats: &AgentStats) -> Frame {
    let frame = ToServer::Show(Snapshot::render(report, stats)).into_frame();
    match frame.prefix(OF_AGENT) {
        Ok(_) => frame,
        Err(why) => {
            error!("the report cannot be served: {why}; leave sources out");
            ToServer::Show(Snapshot::refused(&why)).into_frame()
        }
    }
}

/// Waits until then; for ever where there is no such time.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn hangs() -> Ended {
    Ended::Failed(format!("did not answer for {ANSWER:?} and was killed"))
}

fn misbehaves() -> Ended {
    Ended::Failed("said what it was not asked for and was killed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_beat_is_answered_once_and_the_oldest_is_due_first() {
        let (start, mut beats) = (Instant::now(), Beats::default());
        let later = |seconds| start + Duration::from_secs(seconds);
        beats.tell(1, start);
        beats.tell(2, later(3));
        assert_eq!(beats.due, Some(start + ANSWER));
        assert!(beats.answer(1, later(4)));
        assert_eq!(beats.due, Some(later(4) + ANSWER));
        assert!(!beats.answer(1, later(5)), "a second answer");
        assert!(!beats.answer(3, later(5)), "an answer to nothing");
        assert!(beats.answer(2, later(5)));
        assert_eq!(beats.due, None);
    }

    #[test]
    fn a_server_is_told_what_differs_from_what_it_was_told() {
        let socket = || Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, other] = ["127.0.0.1:1", "127.0.0.1:2"].map(|address| address.parse().unwrap());
        let first =
            Serving { connections: 64, sockets: [(one, socket())].into(), tls: Tls::Missing };
        let said = |told: Option<&Serving>, now: &Serving| -> Vec<String> {
            changes(told, now).iter().map(|message| format!("{message:?}")).collect()
        };
        assert_eq!(
            said(None, &first),
            ["Connections(64)", "NoCertificate", "Listen(127.0.0.1:1)"],
            "one that knows nothing is told everything, and where to answer last"
        );
        assert!(said(Some(&first), &first).is_empty());
        let moved = Serving { sockets: [(other, socket())].into(), ..first.clone() };
        assert_eq!(said(Some(&first), &moved), ["Listen(127.0.0.1:2)", "Close(127.0.0.1:1)"]);
        let bound_again = Serving { sockets: [(one, socket())].into(), ..first.clone() };
        assert_eq!(said(Some(&first), &bound_again), ["Listen(127.0.0.1:1)"]);
        let plain = Serving { tls: Tls::Plaintext, connections: 8, ..first.clone() };
        assert_eq!(said(Some(&first), &plain), ["Connections(8)", "Plaintext"]);
    }
}
