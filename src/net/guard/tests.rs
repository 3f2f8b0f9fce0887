use std::time::{Duration, Instant};

use http::HeaderMap;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::net::lookups::Resolver;
use crate::net::{Client, Error};

#[test]
fn public_and_special_addresses_are_distinguished() {
    for (public, addresses) in [
        (
            true,
            "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 \
             169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 \
             198.20.0.0 223.255.255.255 2606:4700:4700::1111 2a00:1450:4001:830::200e 2001:200:: 2001:4860:4860::8888 \
             2003:: 3ffe:ffff:: ::ffff:8.8.8.8 64:ff9b::8.8.8.8",
        ),
        (
            false,
            "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 169.254.0.0 \
             169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 \
             198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.0 255.255.255.255",
        ),
        (
            false,
            ":: ::1 fe80::1 febf::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 100::1 2001:db8::1 2001:2::1 3fff::1 5f00::1",
        ),
        (
            false,
            "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::8.8.8.8 ::ffff:0:8.8.8.8",
        ),
        (
            false,
            "64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::8.8.8.8 64:ff9b:0:1::8.8.8.8",
        ),
        (
            false,
            "2002:7f00:1:: 2002:a9fe:a9fe::1 2002:808:808:: 2001::7f00:1 2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ),
    ] {
        for address in addresses.split_whitespace() {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}

proptest! {
    #[test]
    fn an_address_is_as_public_as_its_embedded_ipv4_address(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let [high, low] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
        for around in [address.to_ipv6_mapped(), Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low)] {
            prop_assert_eq!(is_public(around.into()), is_public(address.into()), "{}", around);
        }
        let known = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_unspecified()
            || address.is_multicast() || address.is_broadcast() || address.is_documentation();
        prop_assert!(!known || !is_public(address.into()), "{}", address);
    }
}

#[test]
fn a_private_address_in_a_url_is_rejected_in_every_notation() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "0",
        "①②⑦.⓪.⓪.①",
        "127%2e0%2e0%2e1",
        "169.254.169.254",
        "0xa9fea9fe",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[fd00::1]",
        "[64:ff9b::a00:1]",
        "user@10.0.0.1",
    ] {
        let url = Url::parse(&format!("http://{host}:8080/hook")).unwrap();
        assert!(Reach::Public.check(&url).is_err(), "{url}");
        assert_eq!(Reach::Anywhere.check(&url), Ok(()), "{url}");
    }
    for host in [
        "8.8.8.8",
        "134744072",
        "[2606:4700:4700::1111]",
        "hooks.example",
        "localhost",
    ] {
        let url = Url::parse(&format!("https://{host}/")).unwrap();
        assert_eq!(
            Reach::Public.check(&url),
            Ok(()),
            "{url}: a name is checked when it is resolved"
        );
    }
    let error = Reach::Public
        .check(&Url::parse("http://127.1/").unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "127.0.0.1 is not on the public Internet; only public addresses may be called"
    );
}

#[test]
fn only_the_public_addresses_of_a_name_remain() {
    let addresses = |text: &str| {
        text.split_whitespace()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
            .collect::<Vec<_>>()
    };
    let mixed = addresses("10.0.0.1 8.8.8.8 ::1 2606:4700:4700::1111 169.254.169.254");
    assert_eq!(
        Reach::Public.filter("a.example", mixed.clone()),
        Ok(addresses("8.8.8.8 2606:4700:4700::1111"))
    );
    assert_eq!(
        Reach::Anywhere.filter("a.example", mixed.clone()),
        Ok(mixed)
    );
    for none in ["", "127.0.0.1", "192.168.1.1 fd00::1"] {
        assert_eq!(
            Reach::Public.filter("a.example", addresses(none)),
            Err(NotPublic("a.example".to_owned())),
            "{none}"
        );
    }
}

/// Returns a listener on the loopback, and its URL with this host.
async fn server(host: &str) -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{host}:{}/", listener.local_addr().unwrap().port());
    (listener, Url::parse(&url).unwrap())
}

#[tokio::test]
async fn addresses_that_are_not_public_are_never_connected_to() {
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let (listener, url) = server(host).await;
        let client = Client::outbound(Reach::Public).unwrap();
        let error = client
            .post(&url, HeaderMap::new(), Vec::new())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Connect(why) if why.contains("not on the public Internet")),
            "{host}: {error}"
        );
        let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(accepted.is_err(), "{host}: there was a connection");
    }
}

#[tokio::test]
async fn unrestricted_reach_connects_to_the_loopback() {
    let (listener, url) = server("localhost").await;
    let client = Client::outbound(Reach::Anywhere).unwrap();
    let call = tokio::spawn(async move {
        client
            .post(&url, HeaderMap::new(), b"hello".to_vec())
            .await
            .unwrap()
            .status
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = vec![0; 1024];
    assert!(stream.read(&mut seen).await.unwrap() > 0);
    stream
        .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(call.await.unwrap(), 202);
}

#[tokio::test]
async fn a_call_to_a_silent_server_times_out() {
    let (listener, url) = server("127.0.0.1").await;
    let client = Client::outbound_within(
        Resolver::new(Reach::Anywhere),
        (Duration::from_secs(5), Duration::from_millis(100)),
    )
    .unwrap();
    let start = Instant::now();
    let (error, stream) = tokio::join!(
        client.post(&url, HeaderMap::new(), Vec::new()),
        listener.accept()
    );
    assert!(matches!(error.unwrap_err(), Error::Broken(_)));
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(stream);
}

#[tokio::test]
async fn an_endless_response_is_aborted_at_the_size_limit() {
    let (listener, url) = server("127.0.0.1").await;
    let client = Client::outbound(Reach::Anywhere).unwrap();
    let sender = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // Ends when the client closes the connection.
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    });
    let incoming = client
        .post(&url, HeaderMap::new(), Vec::new())
        .await
        .unwrap();
    assert!(matches!(incoming.whole().await, Err(Error::TooLarge(_))));
    tokio::time::timeout(Duration::from_secs(10), sender)
        .await
        .expect("the connection is closed")
        .unwrap();
}
