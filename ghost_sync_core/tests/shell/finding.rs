//! How a client finds its server, and what it is told when it cannot.

use std::{future::ready, io, net::SocketAddr, time::Duration};

use ghost_sync_core::{
    Client, ClientBuilder, CloseReason, ConnectError, DisconnectReason, MAX_HELLO, Refusal, Server,
    client::AddressFault,
};
use tokio::{io::DuplexStream, net::TcpSocket, time::Instant};

use crate::support::*;

/// Bound, but not listening: nobody else gets the port, and nobody answers.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// What becomes of a client whose hello is answered with these bytes and the end of the stream.
async fn answered(bytes: &[u8]) -> ConnectError {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let answer = async {
        let mut server = Raw::new(theirs);
        server.frame().await.expect("a hello");
        server.say_bytes(bytes).await;
    };
    let (client, ()) = tokio::join!(Client::builder().connect_over(ours), answer);
    client.unwrap_err()
}

/// What becomes of a client whose connector fails with this.
async fn failing(error: impl Fn() -> io::Error + Send + Sync + 'static) -> ConnectError {
    let connector = move || ready(Err::<DuplexStream, _>(error()));
    Client::builder().connect_through(connector).await.unwrap_err()
}

#[tokio::test]
async fn addresses_that_can_never_work_are_not_dialled_and_not_tried_again() {
    for (addr, words) in [
        ("http://localhost:7777", "write HOST:PORT without http://"),
        ("localhost", "the port is missing; write HOST:PORT"),
        ("localhost:99999", "the port 99999 is above 65535"),
        ("localhost:0", "no server can be reached at port 0"),
        ("::1:7777", "an IPv6 address goes in brackets; write [::1]:7777"),
        ("", "it is empty; write HOST:PORT"),
    ] {
        let error = Client::connect(addr).await.unwrap_err();
        let ConnectError::InvalidAddress(invalid) = &error else { panic!("{error:?}") };
        assert_eq!(invalid.given, addr);
        assert_eq!(error.to_string(), format!("{addr:?} is not the address of a server: {words}"));
        assert!(!error.may_retry() && error.retry_after().is_none());
    }
    let zero = SocketAddr::from(([127, 0, 0, 1], 0));
    let error = Client::connect(zero).await.unwrap_err();
    assert!(matches!(
        error,
        ConnectError::InvalidAddress(invalid) if invalid.fault == AddressFault::PortZero
    ));
}

#[tokio::test]
async fn a_server_is_found_by_whatever_is_said_of_it() {
    let server = Server::builder().bind("127.0.0.1:0").room("lobby").build().run().await.unwrap();
    let addr = server.local_addr().unwrap();
    let (text, port) = (addr.to_string(), addr.port());
    Client::connect(&*text).await.unwrap();
    Client::connect(&text).await.unwrap();
    Client::connect(format!("localhost:{port}")).await.unwrap();
    Client::connect(("localhost", port)).await.unwrap();
    Client::connect((addr.ip(), port)).await.unwrap();
    let (_socket, refusing) = refusing();
    Client::connect([refusing, addr].as_slice()).await.unwrap();
    Client::connect(text.parse::<ghost_sync_core::client::ServerAddr>().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told_and_may_be_tried_again() {
    // Names have no labels of more than 63 bytes: no resolver is asked far away.
    let host = format!("{}.invalid", "x".repeat(64));
    let error = Client::connect(format!("{host}:7777")).await.unwrap_err();
    let ConnectError::NameNotFound { host: named, why } = &error else { panic!("{error:?}") };
    assert_eq!(*named, host);
    assert_eq!(error.to_string(), format!("no address is known for the name {host:?}: {why}"));
    assert!(!why.to_string().is_empty() && error.may_retry());
}

#[tokio::test]
async fn what_the_operating_system_says_is_part_of_the_reason() {
    let lost = failing(|| io::Error::from(io::ErrorKind::NetworkUnreachable)).await;
    assert!(matches!(lost, ConnectError::NoRoute(_)), "{lost:?}");
    assert_eq!(lost.to_string(), "no network leads to the server: network unreachable");
    assert!(lost.may_retry());
    let denied = failing(|| io::Error::other("the radio is off")).await;
    assert!(matches!(denied, ConnectError::Unreachable(_)), "{denied:?}");
    assert_eq!(denied.to_string(), "the server cannot be reached: the radio is off");
    assert!(denied.may_retry());
    let mistake = failing(|| io::Error::new(io::ErrorKind::InvalidInput, "no such server")).await;
    assert_eq!(mistake.to_string(), "the server cannot be reached: no such server");
    assert!(!mistake.may_retry(), "the connector was asked for what cannot be");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_service_is_named_by_what_it_says_and_not_tried_again() {
    for (answer, shown) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP/1.1 400 Bad Request"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6"),
        (b"\x15\x03\x01\0\x02\x02\x46", "\\x15\\x03\\x01\\x00\\x02\\x02F"),
    ] {
        let start = Instant::now();
        let error = answered(answer).await;
        let ConnectError::NotGhostSync { answer } = &error else { panic!("{error:?}") };
        assert_eq!(answer, shown);
        let words = format!("somebody else's service answers there: \"{shown}\"");
        assert_eq!(error.to_string(), words);
        assert!(!error.may_retry() && start.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_without_a_word_is_told_as_that_and_tried_again() {
    let error = answered(b"").await;
    assert!(matches!(error, ConnectError::ClosedSilently), "{error:?}");
    assert_eq!(error.to_string(), "the connection was taken, and closed without a word");
    assert!(error.may_retry());
}

#[tokio::test(start_paused = true)]
async fn an_end_during_the_handshake_is_told_with_its_cause() {
    let error = answered(&[60, 0, 0]).await;
    assert!(matches!(error, ConnectError::Disconnected(DisconnectReason::ConnectionClosed)));
    let cause = DisconnectReason::ConnectionClosed;
    assert_eq!(error.to_string(), format!("disconnected during the handshake: {cause}"));
    let taken = ghost_sync_core::ServerMessage::Close { reason: CloseReason::TakenOver };
    let error = answered(&taken.to_frame()).await;
    let words = "disconnected during the handshake: the session goes on over another connection";
    assert_eq!(error.to_string(), words);
}

#[tokio::test]
async fn what_no_server_would_take_is_found_before_anything_is_dialled() {
    let long = "v".repeat(2046);
    let cases: [(fn(ClientBuilder, &str) -> ClientBuilder, fn(&ConnectError) -> bool); 3] = [
        (
            |builder, _| builder.metadata("", "v"),
            |error| {
                matches!(error, ConnectError::InvalidMetadata(Refusal::InvalidMetadataKey { .. }))
            },
        ),
        (
            |builder, long| builder.metadata("key", long),
            |error| {
                matches!(error, ConnectError::InvalidMetadata(Refusal::MetadataTooLarge { .. }))
            },
        ),
        (
            |builder, _| builder.data(vec![0; MAX_HELLO]),
            |error| matches!(error, ConnectError::HelloTooLarge { .. }),
        ),
    ];
    let (_socket, refusing) = refusing();
    for (spoil, fits) in cases {
        let builder = spoil(Client::builder(), &long);
        let error = builder.clone().connect(refusing).await.unwrap_err();
        assert!(fits(&error) && !error.may_retry(), "{error:?}");
        let error = builder.clone().connect("x.invalid:7777").await.unwrap_err();
        assert!(fits(&error), "{error:?}");
        let connector = || -> std::future::Ready<io::Result<DuplexStream>> { panic!("dialled") };
        let error = builder.connect_through(connector).await.unwrap_err();
        assert!(fits(&error), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_on_all_addresses_of_ipv6_is_reached_over_ipv4() {
    if let Err(error) = std::net::UdpSocket::bind("[::1]:0") {
        eprintln!("NOT TESTED: this machine has no IPv6 ({error})");
        return;
    }
    let server = Server::builder().bind("[::]:0").room("lobby").build().run().await.unwrap();
    let port = server.local_addr().unwrap().port();
    for addr in ["127.0.0.1", "[::1]"] {
        Client::connect(format!("{addr}:{port}")).await.unwrap();
    }
}

#[test]
fn reasons_can_be_kept_sent_and_passed_on() {
    fn check<E: std::error::Error + Clone + Send + Sync + 'static>() {}
    check::<ConnectError>();
    check::<DisconnectReason>();
    check::<ghost_sync_core::embed::ClientEnd>();
    check::<ghost_sync_core::client::InvalidAddress>();
    check::<AddressFault>();
}
