//! One process that answers for the agent, from its start to its end: what it is told, and what it says.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, error, info};

use super::beats::{ANSWER, Beats};
use super::endpoints::Serving;
use crate::agent_status::{AgentStats, ProcessStats, ServerStatus};
use crate::config::{LogFormat, LogLevel};
use crate::privsep::frame::OF_AGENT;
use crate::privsep::{Beat, Channel, Frame, ToAgent, ToServer};
use crate::render::Snapshot;
use crate::report::Report;
use crate::system::program::Program;
use crate::system::sandbox::Layer;

/// How long the kernel may take to end it.
const REAP: Duration = Duration::from_millis(300);

/// How long one that hung up may take to end by itself: so that how it ended is told, and its last sentence heard.
const MOMENT: Duration = Duration::from_millis(300);

/// How long it may take to let running answers finish.
const STOP: Duration = Duration::from_millis(700);

/// A report, and how the agent was doing when it made it.
pub(super) type Told = (Arc<Report>, AgentStats);

/// A turn of the agent's loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) number: u64,
    /// Until when the next one is due.
    pub(super) next: Instant,
    /// What the kernel showed of the agent.
    pub(super) agent: ProcessStats,
}

/// What the server is told; of each the last.
pub(super) struct Inputs {
    pub(super) serving: watch::Receiver<Serving>,
    pub(super) reports: watch::Receiver<Option<Told>>,
    pub(super) turns: watch::Receiver<Turn>,
    /// Changes or closes when the agent ends.
    pub(super) stop: watch::Receiver<bool>,
}

/// A server that is no more.
pub(super) struct Ended {
    /// Why, as the second half of a sentence; `None` where it was told to stop.
    pub(super) why: Option<String>,
    /// The process, where the kernel has not ended it yet.
    pub(super) left: Option<Child>,
}

/// Why a server must be another one.
enum Why {
    Ended,
    Silent,
    Misbehaved,
}

/// See the module.
pub(super) struct ServerProcess {
    child: Child,
    channel: Channel,
    /// What it was told of where to answer.
    told: Option<Serving>,
    /// Whether it said that it is there.
    started: bool,
    beats: Beats,
    /// Whether the last report was too large for it.
    refused: bool,
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
        Ok(Self {
            child,
            channel,
            told: None,
            started: false,
            beats: Beats::default(),
            refused: false,
        })
    }

    /// Works with it until it has ended, or was ended.
    pub(super) async fn run(
        mut self,
        inputs: &mut Inputs,
        status: &watch::Sender<ServerStatus>,
    ) -> Ended {
        let why = self.feed(inputs, status).await;
        let moment = match why {
            Some(Why::Ended) => MOMENT,
            None | Some(Why::Silent | Why::Misbehaved) => Duration::ZERO,
        };
        let (how, left) = self.end(moment).await;
        let why = why.map(|why| match why {
            Why::Ended => format!("ended ({how})"),
            Why::Silent => format!("did not answer for {ANSWER:?} and was killed"),
            Why::Misbehaved => "said what it was not asked for and was killed".to_owned(),
        });
        Ended { why, left }
    }

    /// Tells it everything there is, and then everything that is new; until it is no more, or must not be, or was
    /// told to stop.
    async fn feed(
        &mut self,
        inputs: &mut Inputs,
        status: &watch::Sender<ServerStatus>,
    ) -> Option<Why> {
        let mut stop = inputs.stop.clone();
        inputs.serving.mark_changed();
        inputs.reports.mark_changed();
        inputs.turns.mark_changed();
        loop {
            let told = tokio::select! {
                told = timeout(ANSWER, self.tell(inputs)) => told,
                // Told half of something it can be told nothing more.
                _ = stop.changed() => return None,
            };
            match told {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    debug!(%error, "the server cannot be told");
                    return Some(Why::Ended);
                }
                Err(_) => return Some(Why::Silent),
            }
            let due = self.beats.due();
            tokio::select! {
                received = self.channel.receive() => match received {
                    Ok(Some((frame, _))) if self.take(&frame, status) => {}
                    Ok(Some(_)) => return Some(Why::Misbehaved),
                    Ok(None) => return Some(Why::Ended),
                    Err(error) if error.kind() == ErrorKind::InvalidData => {
                        return Some(Why::Misbehaved);
                    }
                    Err(error) => {
                        debug!(%error, "the server cannot be heard");
                        return Some(Why::Ended);
                    }
                },
                Ok(()) = inputs.serving.changed() => inputs.serving.mark_changed(),
                Ok(()) = inputs.reports.changed() => inputs.reports.mark_changed(),
                Ok(()) = inputs.turns.changed() => inputs.turns.mark_changed(),
                () = until(due) => return Some(Why::Silent),
                _ = stop.changed() => {
                    self.stop().await;
                    return None;
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
            Ok(ToAgent::Alive(beat)) => self.beats.answer(beat),
            Ok(ToAgent::Started(_)) | Err(_) => false,
        }
    }

    /// Tells it what is new: what to answer before where, so that none that is started again says that it knows
    /// nothing; then that the loop turned.
    async fn tell(&mut self, inputs: &mut Inputs) -> io::Result<()> {
        if inputs.reports.has_changed().unwrap_or(false) {
            let told = inputs.reports.borrow_and_update().clone();
            if let Some((report, stats)) = told {
                let frame = self.shown(&report, &stats);
                self.channel.send(&frame, None).await?;
            }
        }
        if inputs.serving.has_changed().unwrap_or(false) {
            let now = inputs.serving.borrow_and_update().clone();
            for message in now.since(self.told.as_ref()) {
                let socket = match &message {
                    ToServer::Listen(address) => now.sockets.get(address),
                    _ => None,
                };
                let socket = socket.map(|socket| socket.as_fd());
                self.channel.send(&message.into_frame(), socket).await?;
            }
            self.told = Some(now);
        }
        if inputs.turns.has_changed().unwrap_or(false) {
            let Turn { number, next, agent } = *inputs.turns.borrow_and_update();
            // One that is started again gets no more time than there was.
            let next = next.saturating_duration_since(Instant::now());
            let beat = ToServer::Beat(Beat { number, next, agent });
            self.channel.send(&beat.into_frame(), None).await?;
            self.beats.tell(number, Instant::now());
        }
        Ok(())
    }

    /// A report as it gets it; one that is too large for that is said to be.
    fn shown(&mut self, report: &Report, stats: &AgentStats) -> Frame {
        let frame = ToServer::Show(Snapshot::render(report, stats)).into_frame();
        match frame.prefix(OF_AGENT) {
            Ok(_) => {
                self.refused = false;
                frame
            }
            Err(why) => {
                if !std::mem::replace(&mut self.refused, true) {
                    error!("the report cannot be served: {why}; leave sources out");
                }
                ToServer::Show(Snapshot::refused(&why)).into_frame()
            }
        }
    }

    /// Lets it finish.
    async fn stop(&mut self) {
        let finished = async {
            self.channel.send(&ToServer::Stop.into_frame(), None).await?;
            while self.channel.receive().await?.is_some() {}
            Ok::<_, io::Error>(())
        };
        let _ = timeout(STOP, finished).await;
    }

    /// Ends it where it has not ended after a moment, and says how it did. A kernel that cannot end it at once
    /// (a freezer, a debugger) is not waited for: what is left is the process, to be looked after later.
    async fn end(mut self, moment: Duration) -> (String, Option<Child>) {
        // It sees at this that it is to end, also where it may not be signalled.
        drop(self.channel);
        if let Some(how) = ended(&mut self.child, moment).await {
            return (how, None);
        }
        if let Err(error) = self.child.kill() {
            debug!(%error, "the server cannot be killed");
        }
        match ended(&mut self.child, REAP).await {
            Some(how) => (how, None),
            None => ("nobody knows how yet".to_owned(), Some(self.child)),
        }
    }
}

/// How a process ended, unless it has not within this time.
async fn ended(child: &mut Child, within: Duration) -> Option<String> {
    let until = Instant::now() + within;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.to_string()),
            Ok(None) if Instant::now() < until => sleep(Duration::from_millis(10)).await,
            Ok(None) => return None,
            Err(error) => return Some(error.to_string()),
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
