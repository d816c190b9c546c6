//! Keeps the server running: starts it, tells it everything that is new, and starts it again when it ends.
//!
//! Its end never reaches the loop or the Node publication. A server that does not answer a beat is as good as
//! ended, so the service manager's watchdog over the loop is one over both.

use std::io;
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use expiryd_api::ServerRestarts;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, error, info};

use super::endpoints::Serving;
use crate::agent_status::{AgentStats, ServerStatus};
use crate::clock;
use crate::config::{LogFormat, LogLevel};
use crate::privsep::{Beat, Channel, Frame, ToAgent, ToServer};
use crate::render::Snapshot;
use crate::report::Report;
use crate::system::program::Program;
use crate::tls::Tls;

/// How long the server may take to take in what it is told.
const ANSWER: Duration = Duration::from_secs(10);

/// How long it may take to let running answers finish.
const STOP: Duration = Duration::from_millis(700);

/// How long to wait before it is started again, at first and in the end.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// After how long one counts as having worked.
const WORKED: Duration = Duration::from_mins(1);

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

/// See the module.
pub(super) struct Supervisor {
    program: Program,
    log: (LogFormat, LogLevel),
    inputs: Inputs,
    status: watch::Sender<ServerStatus>,
    /// The first server, which starts while the machine is scanned.
    first: Option<io::Result<ServerProcess>>,
}

/// Why a server is no more.
enum Ended {
    /// It was told to stop.
    Stopped,
    /// As the second half of a sentence.
    Failed(String),
}

/// A server that runs, killed when dropped.
struct ServerProcess {
    child: Child,
    channel: Channel,
    /// What it was told of where to answer.
    told: Option<Serving>,
    /// The beat that it did not answer yet, and until when it has to.
    unanswered: Option<(u64, Instant)>,
}

impl Supervisor {
    /// Starts a server, which is told nothing yet.
    pub(super) fn start(
        program: Program,
        log: (LogFormat, LogLevel),
        inputs: Inputs,
        status: watch::Sender<ServerStatus>,
    ) -> Self {
        let first = Some(ServerProcess::start(&program, log));
        Self { program, log, inputs, status, first }
    }

    /// What it starts.
    pub(super) const fn program(&self) -> &Program {
        &self.program
    }

    /// Works until the agent stops.
    pub(super) async fn run(mut self) {
        let [shortest, longest] = WAITS;
        let mut wait = shortest;
        loop {
            let begun = Instant::now();
            let first = self.first.take();
            let started = first.unwrap_or_else(|| ServerProcess::start(&self.program, self.log));
            let ended = match started {
                Ok(server) => self.feed(server).await,
                Err(error) => Ended::Failed(format!(
                    "cannot be started: {error}; let expiryd execute itself (ExecPaths= and AppArmor), and \
                     have one process more"
                )),
            };
            let Ended::Failed(why) = ended else { return };
            if begun.elapsed() >= WORKED {
                wait = shortest;
            }
            error!("the server {why}; until it is started again in {wait:?}, nobody is answered");
            self.status.send_modify(|status| {
                let count = status.restarts.as_ref().map_or(0, |restarts| restarts.count) + 1;
                status.restarts = Some(ServerRestarts { count, last: clock::now(), reason: why });
            });
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.inputs.stop.changed() => return,
            }
            wait = longest.min(wait * 2);
        }
    }

    /// Tells a server everything there is, and then everything that is new, until it ends.
    async fn feed(&mut self, mut server: ServerProcess) -> Ended {
        self.inputs.serving.mark_changed();
        self.inputs.reports.mark_changed();
        self.inputs.beats.mark_changed();
        loop {
            match timeout(ANSWER, server.tell(&mut self.inputs)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    debug!(%error, "the server cannot be told");
                    return server.end();
                }
                Err(_) => return hangs(),
            }
            let deadline = server.unanswered.map(|(_, until)| until);
            tokio::select! {
                received = server.channel.receive() => match received {
                    Ok(Some((frame, _))) => self.take(&mut server, &frame),
                    Ok(None) => return server.end(),
                    Err(error) => {
                        debug!(%error, "the server cannot be heard");
                        return server.end();
                    }
                },
                Ok(()) = self.inputs.serving.changed() => self.inputs.serving.mark_changed(),
                Ok(()) = self.inputs.reports.changed() => self.inputs.reports.mark_changed(),
                Ok(()) = self.inputs.beats.changed() => self.inputs.beats.mark_changed(),
                () = until(deadline) => return hangs(),
                _ = self.inputs.stop.changed() => {
                    server.stop().await;
                    return Ended::Stopped;
                }
            }
        }
    }

    /// Takes in what the server says.
    fn take(&self, server: &mut ServerProcess, frame: &Frame) {
        match ToAgent::from_frame(frame) {
            Ok(ToAgent::Started(sandbox)) => {
                info!(pid = server.child.id(), "the server answers");
                self.status.send_modify(|status| status.sandbox = sandbox.into());
            }
            Ok(ToAgent::Alive(beat)) => {
                server.unanswered = server.unanswered.filter(|(number, _)| beat < *number);
            }
            // Whoever took it over is not to be believed, and gets nothing by it.
            Err(error) => debug!(%error, "what the server says cannot be understood"),
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

impl ServerProcess {
    fn start(program: &Program, (format, level): (LogFormat, LogLevel)) -> io::Result<Self> {
        let (channel, other) = Channel::pair()?;
        let arguments = ["--log-format", format.as_str(), "--log-level", level.as_str()];
        let child = program.start_server(&arguments, other)?;
        debug!(pid = child.id(), "the server was started");
        Ok(Self { child, channel, told: None, unanswered: None })
    }

    /// Tells it what is new: first where to answer, then what, then that the loop turned.
    async fn tell(&mut self, inputs: &mut Inputs) -> io::Result<()> {
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
        if inputs.reports.has_changed().unwrap_or(false) {
            let told = inputs.reports.borrow_and_update().clone();
            if let Some((report, stats)) = told {
                self.send(shown(&report, &stats), None).await?;
            }
        }
        if inputs.beats.has_changed().unwrap_or(false) {
            let beat = *inputs.beats.borrow_and_update();
            self.send(ToServer::Beat(beat).into_frame(), None).await?;
            self.unanswered.get_or_insert((beat.number, Instant::now() + ANSWER));
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

fn hangs() -> Ended {
    Ended::Failed(format!("did not answer for {ANSWER:?} and was killed"))
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
    match frame.prefix() {
        Ok(_) => frame,
        Err(why) => {
            error!("the report cannot be served: {why}; leave sources out");
            ToServer::Show(Snapshot::refused(&why)).into_frame()
        }
    }
}
