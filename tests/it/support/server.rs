//! The real binary, started on a free port with a data folder of its own, and gone when the test ends.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::support::client::{Client, within};
use crate::support::test_lock::{self, TestLock};
use crate::upstream::Upstream;

/// A cold debug binary on a busy machine needs a while.
const START: Duration = Duration::from_secs(60);

/// Returns the binary under test.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_extractd"));
    command
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A coverage build says where its counts go.
    if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", profile);
    }
    command
}

/// The binary under test, run by a command.
fn wrapped_binary(wrapper: &[String]) -> Command {
    let Some((program, arguments)) = wrapper.split_first() else {
        return binary();
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(env!("CARGO_BIN_EXE_extractd"))
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Returns the binary under test, started by a shell after this script.
fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_extractd")]);
    command
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Settings of a server to start.
pub struct Builder {
    environment: Vec<(String, String)>,
    folder: Arc<Folder>,
    /// The longest file that it may write, in blocks of 512 bytes, as `ulimit` takes it.
    file_limit: Option<String>,
    /// The command that runs it, with its arguments.
    wrapper: Vec<String>,
}

impl Builder {
    /// Adds or overrides one environment variable.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Gives it a configuration file with this text.
    pub fn config(self, text: &str) -> Self {
        let path = self.folder().join("extractd.toml");
        std::fs::write(&path, text).expect("the file can be written");
        self.env("EXTRACTD_CONFIG", path.display())
    }

    /// Limits the size of each file that the server writes; beyond it, the disk counts as full.
    pub fn limited_to_kilobytes(mut self, kilobytes: u64) -> Self {
        self.file_limit = Some((kilobytes * 2).to_string());
        self
    }

    /// Runs it by this command, which is given the binary and its arguments.
    pub fn wrapped(mut self, command: Vec<String>) -> Self {
        self.wrapper = command;
        self
    }

    /// Returns the folder that the server works in; files put here before the start are there for it.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Starts it, and waits until it listens.
    pub async fn start(self) -> Server {
        let lock = test_lock::shared().await;
        let mut command = match &self.file_limit {
            None => wrapped_binary(&self.wrapper),
            // A write beyond the limit fails, rather than end the process.
            Some(blocks) => shell(&format!(
                "trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\""
            )),
        };
        command
            .arg("serve")
            .current_dir(self.folder())
            .envs(self.environment.iter().cloned());
        let mut child = command.spawn().expect("the binary starts");
        let output = Output::default();
        output.follow(child.stderr.take().unwrap());
        output.follow(child.stdout.take().unwrap());
        let address = within(
            START,
            "the server says where it listens",
            output.address(&mut child),
        )
        .await;
        let client = Client::new(address.parse().expect("the address is one"));
        Server {
            client,
            child,
            output,
            builder: self,
            lock: Some(lock),
        }
    }
}

/// A running server.
pub struct Server {
    client: Client,
    child: Child,
    output: Output,
    builder: Builder,
    lock: Option<TestLock>,
}

impl Server {
    /// Creates the settings of a server without a provider.
    pub fn bare() -> Builder {
        let folder = Arc::new(Folder::new());
        let data = folder.0.join("data").display().to_string();
        let environment = vec![
            ("EXTRACTD_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("EXTRACTD_DATA_DIR".to_owned(), data),
        ];
        Builder {
            environment,
            folder,
            file_limit: None,
            wrapper: Vec::new(),
        }
    }

    /// Creates the settings of a server that calls `upstream`.
    pub fn asking(upstream: &Upstream) -> Builder {
        Self::asking_at(&upstream.url())
    }

    /// Creates the settings of a server whose provider is at a base URL.
    pub fn asking_at(url: &str) -> Builder {
        Self::bare()
            .env("OPENAI_BASE_URL", url)
            .env("OPENAI_API_KEY", "sk-test")
            .env("EXTRACTD_MODEL", "openai/test-model")
    }

    /// Creates the settings of a server with this configuration file.
    pub fn configured(toml: &str) -> Builder {
        Self::bare().config(toml)
    }

    /// Starts a server that calls `upstream`.
    pub async fn with(upstream: &Upstream) -> Self {
        Self::asking(upstream).start().await
    }

    /// Lets tests that measure begin: from now on this one does little but wait.
    pub fn rest(&mut self) {
        self.lock = None;
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Asks it to drain and end.
    pub fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.pid());
        let done = std::process::Command::new("/bin/sh")
            .args(["-c", &kill])
            .status()
            .expect("a shell");
        assert!(done.success(), "{kill}");
    }

    /// Returns the folder that it works in.
    pub fn folder(&self) -> &Path {
        self.builder.folder()
    }

    /// Its files may be as long as they like again.
    pub fn unlimited(&self) {
        self.limit_files("unlimited");
    }

    /// Makes the disk count as full from now on. The server was started with a limit, so that a write beyond it fails instead of
    /// ending the process.
    pub fn fill_disk(&self) {
        assert!(
            self.builder.file_limit.is_some(),
            "it would be ended by a signal"
        );
        self.limit_files("1");
    }

    fn limit_files(&self, bytes: &str) {
        let (pid, limit) = (self.pid().to_string(), format!("--fsize={bytes}:"));
        let set = std::process::Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(set.expect("prlimit, of util-linux").success());
    }

    /// Waits for its end; the exit code, `None` when a signal ended it.
    pub async fn exit(&mut self, limit: Duration) -> Option<i32> {
        within(limit, "the server ends", self.child.wait())
            .await
            .unwrap()
            .code()
    }

    /// Ends it and starts it anew on the same folder.
    pub async fn restart(mut self) -> Self {
        self.terminate();
        assert_eq!(
            self.exit(Duration::from_secs(30)).await,
            Some(0),
            "{}",
            self.output()
        );
        self.again().await
    }

    /// Kills it, as nobody can be warned of, and starts it anew on the same folder.
    pub async fn kill_and_restart(mut self) -> Self {
        self.child.kill().await.expect("the server can be killed");
        self.again().await
    }

    /// Starts one that has ended anew on the same folder.
    async fn again(self) -> Self {
        // Without the limit, which a running one can be given again.
        let file_limit = self
            .builder
            .file_limit
            .as_ref()
            .map(|_| "unlimited".to_owned());
        let again = Builder {
            environment: self.builder.environment.clone(),
            folder: Arc::clone(&self.builder.folder),
            file_limit,
            wrapper: self.builder.wrapper.clone(),
        };
        drop(self);
        again.start().await
    }

    /// Returns all that it has logged.
    pub fn output(&self) -> String {
        self.output.lines.lock().unwrap().join("\n")
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// Returns the server's maximum resident memory since `forget_peak`, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Begins to look for the most memory anew.
    pub fn forget_peak(&self) {
        // Where this is not allowed, an earlier peak counts too.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process is there");
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("it says how much memory it has");
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

impl Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the server logged ---\n{}\n---", self.output());
        }
    }
}

/// The lines that a process writes, as they come.
#[derive(Clone)]
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Sender<()>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            lines: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Output {
    fn follow(&self, pipe: impl AsyncRead + Unpin + Send + 'static) {
        let output = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                output.lines.lock().unwrap().push(line);
                output.changed.send_replace(());
            }
        });
    }

    /// Returns the address that the process prints; fails the test if the process ends before.
    async fn address(&self, child: &mut Child) -> String {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(address) = self.find_address() {
                return address;
            }
            tokio::select! {
                _ = changed.changed() => {}
                ended = child.wait() => panic!("the server ended with {ended:?}:\n{}", self.lines.lock().unwrap().join("\n")),
            }
        }
    }

    fn find_address(&self) -> Option<String> {
        let lines = self.lines.lock().unwrap();
        let after = lines
            .iter()
            .find_map(|line| line.split_once("listening on http://"))?
            .1;
        let end = after
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))
            .unwrap_or(after.len());
        Some(after[..end].to_owned())
    }
}

/// A folder that goes with the last who holds it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "extractd-it-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the folder can be made");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind, it is one more folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
