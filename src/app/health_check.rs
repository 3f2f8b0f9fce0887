//! Health check of a running server, for containers.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// Checks that a server answers on this address. Returns the exit code: success if `/healthz`
/// answers 200.
#[must_use]
pub fn healthcheck(listen: SocketAddr) -> ExitCode {
    match check_health(listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "extractd: the server on port {} is not healthy: {error}",
                listen.port()
            );
            ExitCode::FAILURE
        }
    }
}

/// Requests `/healthz`, and fails unless the status is 200.
fn check_health(listen: SocketAddr) -> io::Result<()> {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let ip = if listen.ip().is_unspecified() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        listen.ip()
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, listen.port()), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut status_line = [0; 12];
    stream.read_exact(&mut status_line)?;
    if &status_line == b"HTTP/1.1 200" {
        Ok(())
    } else {
        Err(io::Error::other("/healthz did not answer with status 200"))
    }
}
