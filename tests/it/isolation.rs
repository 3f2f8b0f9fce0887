//! No caller takes the service from the others: what one caller holds, sends or fails leaves the others' requests as they are
//! (reliability.md, "Callers and shares").

mod connections;
mod error_bodies;
mod health;
mod idle_clients;
mod memory;
mod pauses;
mod registered_schemas;
mod rejections;
mod roles;
mod shared_results;
mod streams;

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::client::{Client, LIMIT, eventually};
use crate::support::server::Server;
use crate::upstream::Upstream;

/// Returns a configuration with the callers `attacker` and `victim`. `more` comes first.
fn with_callers(more: &str) -> String {
    format!(
        "{more}\n[callers.attacker]\nkey = \"key-attacker\"\n[callers.victim]\nkey = \"key-victim\"\n"
    )
}

/// Starts a server with the callers `attacker` and `victim`, and more configuration of its own. `more` comes first.
async fn with_attacker(upstream: &Upstream, more: &str) -> (Server, Client, Client) {
    let config = with_callers(more);
    let server = Server::asking(upstream).config(&config).start().await;
    let (attacker, victim) = (
        server.with_key("key-attacker"),
        server.with_key("key-victim"),
    );
    (server, attacker, victim)
}

/// Connects with a small receive buffer, so that the server soon waits for the client to read, and sends the bytes.
async fn open(address: SocketAddr, bytes: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

/// Waits until requests hold no memory. Compiled schemas stay in their cache, which takes an eighth of the budget at most.
pub async fn until_nothing_is_held(client: &Client) {
    eventually(LIMIT, "everything is returned", async || {
        for held_as in ["request_bodies", "inputs", "responses"] {
            let row = client.limit_of("memory_bytes", held_as).await?;
            if row["in_use"] != 0 {
                return None;
            }
        }
        let schemas = client.limit_of("memory_bytes", "schemas").await?;
        let all = client.limit_of("memory_bytes", "all").await?;
        (schemas["in_use"].as_u64()? <= all["limit"].as_u64()? / 8).then_some(())
    })
    .await;
}
