//! Postgres servers and poolers of a test.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use deploy::{Process, Signal};

use super::{Certificates, Scratch, auth_api_command, wait_until};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// The account that Postgres and its pooler run as: they refuse root.
const ACCOUNT: &str = "postgres";

/// A Postgres server with a directory of its own. Killed when dropped.
pub struct PostgresNode {
    process: Mutex<Process>,
    directory: Scratch,
    pub port: u16,
}

impl PostgresNode {
    /// The password of the superuser `users`.
    pub const PASSWORD: &str = "tests";

    /// Starts a server with a migrated schema. With certificates it accepts TLS only, with SCRAM.
    pub async fn start(tls: Option<&Certificates>) -> Self {
        let directory = Scratch::new();
        own(directory.path());
        let password = directory.write("password", Self::PASSWORD);
        let data = directory.path().join("data");
        run(program("initdb")
            .args(["--username=users", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", &format!("--pwfile={password}"), &format!("--pgdata={}", data.display())]));
        if let Some(certificates) = tls {
            let [certificate, key] = certificates.server();
            for (from, to) in [(&certificate, "server.crt"), (&key, "server.key"), (&certificates.ca(), "root.crt")] {
                fs::copy(from, data.join(to)).unwrap();
                own(&data.join(to));
            }
            Self::accept(&data, "hostssl all all 127.0.0.1/32 scram-sha-256");
        }
        let settings = if tls.is_some() { &["ssl=on", "ssl_ca_file=root.crt"][..] } else { &[] };
        let node = Self::serve(directory, settings).await;
        if tls.is_none() {
            node.migrate();
        }
        node
    }

    /// Starts a standby that replicates from `primary`.
    pub async fn standby_of(primary: &Self) -> Self {
        let directory = Scratch::new();
        own(directory.path());
        let mut copy = program("pg_basebackup");
        copy.args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--dbname", &primary.url()]);
        run(copy.arg("--pgdata").arg(directory.path().join("data")));
        Self::serve(directory, &[]).await
    }

    /// Replaces the rules of `pg_hba.conf`.
    fn accept(data: &Path, rules: &str) {
        fs::write(data.join("pg_hba.conf"), format!("{rules}\n")).unwrap();
    }

    /// Replaces the rules of `pg_hba.conf` of a running server.
    pub fn reload_rules(&self, rules: &str) {
        Self::accept(&self.directory.path().join("data"), rules);
        self.process.lock().unwrap().signal(Signal::HUP).unwrap();
    }

    async fn serve(directory: Scratch, settings: &[&str]) -> Self {
        let port = deploy::ports::free().unwrap();
        let mut server = program("postgres");
        server.arg("-D").arg(directory.path().join("data")).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"].iter().chain(settings) {
            server.args(["-c", setting]);
        }
        let process = start(server, &directory);
        let node = Self { process: Mutex::new(process), directory, port };
        let port = port.to_string();
        let is_ready = async || {
            Command::new("pg_isready")
                .args(["--quiet", "--host=127.0.0.1", "--port", &port])
                .status()
                .unwrap()
                .success()
        };
        wait_until("Postgres is ready", READY_WITHIN, is_ready).await;
        node
    }

    /// The URL, with the password.
    pub fn url(&self) -> String {
        format!("postgres://users:{}@127.0.0.1:{}/postgres", Self::PASSWORD, self.port)
    }

    /// Applies the migrations.
    pub fn migrate(&self) {
        let output = auth_api_command(&["migrate"], &[("DATABASE_URL", &self.url())]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Returns what `psql -c SQL` prints.
    pub fn run(&self, sql: &str) -> String {
        self.run_as(Self::PASSWORD, sql)
    }

    /// Returns what `psql -c SQL` prints, with another password.
    pub fn run_as(&self, password: &str, sql: &str) -> String {
        let url = format!("postgres://users:{password}@127.0.0.1:{}/postgres", self.port);
        let output =
            Command::new("psql").arg(url).args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.lock().unwrap().signal(signal).unwrap();
    }

    pub fn kill(&self) {
        self.process.lock().unwrap().kill();
    }
}

impl Drop for PostgresNode {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(self.directory.path().join("log")).unwrap_or_default());
        }
    }
}

/// A `PgBouncer` in transaction mode. Killed when dropped.
pub struct PgBouncer {
    _process: Process,
    directory: Scratch,
    pub port: u16,
}

impl PgBouncer {
    /// Starts a pooler in front of `server`, with additional settings.
    pub async fn start(server: &PostgresNode, settings: &str) -> Self {
        let (directory, port) = (Scratch::new(), deploy::ports::free().unwrap());
        own(directory.path());
        let password = PostgresNode::PASSWORD;
        let users = directory.write("users.txt", &format!("\"users\" \"{password}\"\n"));
        let configuration = directory.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\n\
                 default_pool_size = 4\n{settings}\n",
                server.port
            ),
        );
        let mut command = as_account(&deploy::programs::find("pgbouncer").unwrap());
        command.arg(configuration);
        let pooler = Self { _process: start(command, &directory), directory, port };
        let is_ready = async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        wait_until("PgBouncer is ready", READY_WITHIN, is_ready).await;
        pooler
    }

    /// The URL, with the password.
    pub fn url(&self) -> String {
        format!("postgres://users:{}@127.0.0.1:{}/postgres", PostgresNode::PASSWORD, self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(self.directory.path().join("log")).unwrap_or_default());
        }
    }
}

/// A program of the newest installed Postgres, as the account of Postgres.
fn program(name: &str) -> Command {
    let versions =
        fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path().join("bin").join(name));
    let program: PathBuf = versions.filter(|path| path.exists()).max().unwrap();
    as_account(&program)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn as_account(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    command
}

fn own(path: &Path) {
    if is_root() {
        run(Command::new("chown").arg(format!("{ACCOUNT}:")).arg(path));
    }
}

fn start(mut command: Command, directory: &Scratch) -> Process {
    let log = fs::File::create(directory.path().join("log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log).current_dir(directory.path());
    Process::start("a server of the tests", command).unwrap()
}

fn run(command: &mut Command) {
    let output = command.current_dir("/").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
