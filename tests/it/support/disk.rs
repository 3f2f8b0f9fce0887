//! A small disk of its own for a server: a file system in memory, in a mount namespace that lives as long as this.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than a mount takes on a busy machine.
const MOUNT: Duration = Duration::from_secs(20);

pub struct Disk {
    holder: Child,
    path: PathBuf,
}

impl Disk {
    /// A disk of this many megabytes at `path`; `None` where this is not allowed.
    pub fn new(path: &Path, megabytes: u64) -> Option<Self> {
        std::fs::create_dir_all(path).expect("the folder can be made");
        let script = format!(
            "mount -t tmpfs -o size={megabytes}m tmpfs '{0}' && : > '{0}/mounted' && exec sleep 100000",
            path.display()
        );
        let holder = Command::new("unshare")
            .args(["-r", "-m", "sh", "-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare, of util-linux");
        let mut disk = Self {
            holder,
            path: path.to_owned(),
        };
        let begun = Instant::now();
        while begun.elapsed() < MOUNT {
            if disk.holder.try_wait().expect("its state").is_some() {
                eprintln!("skipped: a disk cannot be mounted here");
                return None;
            }
            let mounted = disk.inside("mounted");
            if mounted.exists() {
                std::fs::remove_file(mounted).expect("the mark can be removed");
                return Some(disk);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the disk is not mounted");
    }

    /// The command that runs a server on this disk.
    pub fn wrapper(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "-U", "-m", "--preserve-credentials", "-t", &pid]
            .map(str::to_owned)
            .to_vec()
    }

    /// The path of a file on this disk, as seen from outside.
    pub fn inside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let path = self.path.strip_prefix("/").expect("the path is absolute");
        root.join(path).join(name)
    }

    /// Takes all space that is left.
    pub fn fill(&self) {
        let mut rest = std::fs::File::create(self.inside("filler")).expect("a file of no bytes");
        for size in [1 << 20, 4096, 1] {
            let block = vec![b'x'; size];
            while std::io::Write::write_all(&mut rest, &block).is_ok() {}
        }
    }

    /// Gives the space that `fill` took back.
    pub fn make_room(&self) {
        std::fs::remove_file(self.inside("filler")).expect("the filler is there");
    }

    /// Forbids writes, or allows them again.
    pub fn set_writable(&self, is_writable: bool) {
        let mode = if is_writable { "rw" } else { "ro" };
        let (program, arguments) = (self.wrapper().remove(0), self.wrapper().split_off(1));
        let done = Command::new(program)
            .args(arguments)
            .args(["mount", "-o", &format!("remount,{mode}")])
            .arg(&self.path)
            .status();
        assert!(done.expect("mount").success(), "{mode}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The namespace and its mount go with the last process in it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
