//! Faults: the server is killed, ended, frozen, without disk space, and without its data folder, by random choices.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::support::client::Client;
use crate::support::server::Server;

/// Disturbs the server until this time. Returns it running, with disk space.
pub async fn inject_until(
    end: Instant,
    mut server: Server,
    address: &watch::Sender<Client>,
    seed: u64,
) -> Server {
    let mut random = Rng::with_seed(seed ^ 0x5eed);
    let pause = |random: &mut Rng, milliseconds: u64| {
        sleep(Duration::from_millis(random.u64(..milliseconds)))
    };
    while Instant::now() < end {
        pause(&mut random, 900).await;
        match random.u32(..12) {
            0..3 => server = server.kill_and_restart().await,
            3 => server = server.restart().await,
            4..7 => {
                signal(&server, "STOP");
                pause(&mut random, 700).await;
                // Killed while it is frozen, at times.
                if random.u32(..4) == 0 {
                    server = server.kill_and_restart().await;
                } else {
                    signal(&server, "CONT");
                }
            }
            7..9 => {
                let data = server.folder().join("data");
                let aside = server.folder().join("aside");
                std::fs::rename(&data, &aside).expect("the folder can be renamed");
                pause(&mut random, 1_800).await;
                assert!(!data.exists(), "a removed data folder is not made anew");
                std::fs::rename(&aside, &data).expect("the folder can be put back");
            }
            _ => {
                server.fill_disk();
                pause(&mut random, 900).await;
                if random.bool() {
                    server = server.kill_and_restart().await;
                }
                server.unlimited();
            }
        }
        address.send_replace((*server).clone());
    }
    server
}

fn signal(server: &Server, name: &str) {
    let sent = std::process::Command::new("/bin/kill")
        .args([format!("-{name}"), server.pid().to_string()])
        .status();
    assert!(sent.expect("kill, of util-linux or procps").success());
}
