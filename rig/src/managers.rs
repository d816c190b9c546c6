//! The managers as processes, each ready before the next thing is done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::authority::Authority;
use testkit::network::apart;
use testkit::{Server, wait_for};

use crate::programs::Programs;

/// A manager of Cluster API's: its program, and the number that its ports end with.
const CLUSTER_API: [(&str, u16); 4] =
    [("core", 1), ("kubeadm-bootstrap", 2), ("kubeadm-control-plane", 3), ("in-memory", 4)];

/// How often a manager looks at everything without a cause. A tenth of a minute, where the default is ten
/// minutes: KCP sees a date come into its window at such a time and no sooner.
const SYNC_PERIOD: &str = "--sync-period=5s";

/// How often etcdadm-controller looks whether a member is well; 30 where nothing is said.
const HEALTH_CHECK_SECONDS: u8 = 10;

/// Where the managers are started from.
pub(crate) struct Managers {
    programs: Programs,
    folder: PathBuf,
    kubeconfig: PathBuf,
}

impl Managers {
    pub(crate) fn new(programs: Programs, folder: &Path, kubeconfig: &Path) -> Self {
        let (folder, kubeconfig) = (folder.to_owned(), kubeconfig.to_owned());
        // controller-runtime looks for them in TMPDIR where no flag says otherwise (`pkg/webhook/server.go`).
        let certificates = folder.join("k8s-webhook-server/serving-certs");
        fs::create_dir_all(&certificates).unwrap();
        let pair = Authority::new("webhooks").server();
        fs::write(certificates.join("tls.crt"), pair.certificate).unwrap();
        fs::write(certificates.join("tls.key"), pair.key).unwrap();
        Self { programs, folder, kubeconfig }
    }

    /// What they are started from.
    pub(crate) const fn programs(&self) -> &Programs {
        &self.programs
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.path(name));
        command.arg(format!("--kubeconfig={}", self.kubeconfig.display()));
        command.env("TMPDIR", &self.folder).env_remove("KUBECONFIG");
        command
    }

    /// Starts Cluster API's, by their names.
    pub(crate) fn cluster_api(&self) -> BTreeMap<&'static str, Server> {
        CLUSTER_API.map(|(name, number)| (name, self.cluster_api_manager(name, number))).into()
    }

    fn cluster_api_manager(&self, name: &str, number: u16) -> Server {
        let health = 9450 + number;
        let mut command = self.command(name);
        command.args(["--leader-elect=false", "--insecure-diagnostics", SYNC_PERIOD, "--v=2"]);
        command.args([
            format!("--webhook-port={}", 9470 + number),
            format!("--health-addr=127.0.0.1:{health}"),
            format!("--diagnostics-address=127.0.0.1:{}", 9460 + number),
            format!(
                "--webhook-cert-dir={}",
                self.folder.join("k8s-webhook-server/serving-certs").display()
            ),
            "--skip-crd-migration-phases=StorageVersionMigration,CleanupManagedFields".to_owned(),
        ]);
        // The address that the in-memory provider puts its API servers at (`main.go`, POD_IP).
        command.env("POD_IP", "127.0.0.1");
        let mut server = Server::start(name, command, &self.folder);
        wait_for(name, || {
            assert!(!server.ended(), "{name} has ended");
            answers(health).then_some(())
        });
        server
    }

    /// Starts etcdadm-controller, which removes a member that is not well for five looks in a row.
    pub(crate) fn etcdadm_controller(&self) -> Server {
        let mut command = self.command("etcdadm-controller");
        command.args(["--diagnostics-address=127.0.0.1:9465", "--insecure-diagnostics"]);
        command.arg(format!("--healthcheck-interval={HEALTH_CHECK_SECONDS}"));
        started(Server::start("etcdadm-controller", command, &self.folder))
    }

    /// Starts etcdadm-bootstrap-provider, apart: its webhook listens where etcdadm-controller's does, and
    /// neither can be told another port.
    pub(crate) fn etcdadm_bootstrap_provider(&self, api_server: u16) -> Server {
        let mut command = self.command("etcdadm-bootstrap-provider");
        command.args(["--diagnostics-address=127.0.0.1:9466", "--insecure-diagnostics"]);
        let folder = self.folder.clone();
        started(apart(api_server, move || {
            Server::start("etcdadm-bootstrap-provider", command, &folder)
        }))
    }
}

/// Those of etcdadm serve no health; that its workers are started is said in the log.
fn started(mut server: Server) -> Server {
    wait_for("a started controller", || {
        assert!(!server.ended(), "it has ended: {}", server.log());
        server.log().contains("Starting workers").then_some(())
    });
    server
}

/// Whether a manager is ready; its health is served in plain text.
fn answers(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked = stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: x\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.split(' ').nth(1) == Some("200")
}
