//! A child process: started without our environment, ended with its handle, and what the kernel says that it took.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Maximum time until a child prints its address.
const START: Duration = Duration::from_secs(20);
/// The unit of the times in `/proc/PID/stat` for user space, whatever the kernel's own: `USER_HZ`, proc_pid_stat(5).
const TICKS_A_SECOND: f64 = 100.0;

/// A running child; dropped, it is killed.
pub struct Process(Child);

impl Process {
    /// Prepares a program: no variable of this process reaches it, so that neither a proxy nor a setting changes the numbers.
    pub fn command(program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        command
    }

    /// This program under another name, which decides what it does.
    ///
    /// # Errors
    /// If the system does not say where this program lies.
    pub fn own(name: &str) -> Result<Command> {
        let mut command = Self::command(std::env::current_exe().context("this program's path")?);
        command.arg0(name);
        Ok(command)
    }

    /// Starts a program.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        command
            .spawn()
            .map(Self)
            .with_context(|| format!("{} cannot be started", command.get_program().display()))
    }

    pub const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Returns the CPU time so far, of all threads, in user space and in the kernel.
    ///
    /// # Errors
    /// If the child has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // The second field is the name in parentheses and may hold spaces; utime and stime are the 14th and the 15th.
        let fields = stat
            .rsplit_once(')')
            .map_or("", |(_, fields)| fields)
            .split_whitespace();
        let ticks: f64 = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        Ok(Duration::from_secs_f64(ticks / TICKS_A_SECOND))
    }

    /// Returns the current memory in RAM, in bytes.
    ///
    /// # Errors
    /// If the child has ended.
    pub fn memory(&self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// Returns the most memory in RAM so far, in bytes.
    ///
    /// # Errors
    /// If the child has ended.
    pub fn peak_memory(&self) -> Result<f64> {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        Ok(kibibytes.with_context(|| format!("/proc/PID/status has no {key}"))? * 1024.0)
    }

    fn proc(&self, file: &str) -> Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).context("the process has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the line that says `listening on http://HOST:PORT`, and returns `HOST:PORT`. What comes after is read and thrown
/// away, so that the child never waits for us.
///
/// # Errors
/// With the child's own words, when it ends or takes too long.
pub fn address_in(output: impl Read + Send + 'static) -> Result<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody listens once the address is known.
            let _ = sender.send(line);
        }
    });
    let mut said = String::new();
    while let Ok(line) = lines.recv_timeout(START) {
        if let Some((_, rest)) = line.split_once("listening on http://") {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':')))
                .unwrap_or(rest.len());
            return Ok(rest.get(..end).unwrap_or(rest).to_owned());
        }
        said.push_str(&line);
        said.push('\n');
    }
    anyhow::bail!("it does not say where it listens; it said: {said}")
}
