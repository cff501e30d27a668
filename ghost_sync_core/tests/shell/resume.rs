//! A client whose link is cut, and a server that is played by hand.

use std::{
    future::{Ready, ready},
    io,
    time::Duration,
};

use ghost_sync_core::{
    Client, ClientBuilder, ClientId, ClientMessage, CloseReason, DisconnectReason, IfMissing,
    JoinOptions, MemberInfo, MessageType, Refusal, RequestKind, ResumeFailure, RoomId, Seat,
    Secret, ServerEvent, ServerMessage, VERSIONS, Welcome,
    client::{Reconnect, SendError},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, timeout},
};

use crate::support::*;

const ME: ClientId = ClientId::from_u128(1);
const ROOM: RoomId = RoomId(3);
const GRACE: Duration = Duration::from_secs(30);

/// Where the client's links arrive.
type Port = UnboundedReceiver<(Instant, Raw<DuplexStream>)>;

/// A port, and the way there, which is barred while `port` is closed.
fn port() -> (impl FnMut() -> Ready<io::Result<DuplexStream>> + Send + 'static, Port) {
    let (sender, port) = unbounded_channel();
    (move || ready(link(&sender)), port)
}

fn link(port: &UnboundedSender<(Instant, Raw<DuplexStream>)>) -> io::Result<DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    match port.send((Instant::now(), Raw::new(theirs))) {
        Ok(()) => Ok(ours),
        Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

fn welcome(client_id: ClientId, ping_interval: Duration) -> ServerMessage<'static> {
    let ping_interval_ms = u32::try_from(ping_interval.as_millis()).unwrap();
    ServerMessage::Welcome(Welcome {
        version: VERSIONS.newest,
        client_id,
        max_payload: 5000,
        ping_interval_ms,
        idle_timeout_ms: 0,
        resume_grace_ms: u32::try_from(GRACE.as_millis()).unwrap(),
        epoch: 8,
        secret: Secret([1; 16]),
        rooms: Vec::new(),
        ..Welcome::default()
    })
}

fn direct(payload: &'static [u8]) -> ServerMessage<'static> {
    ServerMessage::Direct { room: RoomId(0), message_type: MessageType::RAW, payload }
}

async fn arrived(port: &mut Port) -> Raw<DuplexStream> {
    port.recv().await.unwrap().1
}

async fn tell<S: AsyncRead + AsyncWrite + Unpin>(server: &mut Raw<S>, message: &ServerMessage<'_>) {
    server.say_bytes(&message.to_frame()).await;
}

/// What the client said next, in words.
async fn asked<S: AsyncRead + AsyncWrite + Unpin>(server: &mut Raw<S>) -> String {
    let body = server.frame().await.expect("a message");
    format!("{:?}", ClientMessage::decode(&body).unwrap())
}

/// A client and its server, which has greeted it.
async fn connect(builder: ClientBuilder) -> (Client, Raw<DuplexStream>, Port) {
    connect_pinged(builder, Duration::ZERO).await
}

async fn connect_pinged(
    builder: ClientBuilder,
    interval: Duration,
) -> (Client, Raw<DuplexStream>, Port) {
    let (connector, mut port) = port();
    let greet = async {
        let mut server = arrived(&mut port).await;
        assert!(asked(&mut server).await.starts_with("Hello"));
        tell(&mut server, &welcome(ME, interval)).await;
        server
    };
    let (client, server) = tokio::join!(builder.connect_through(connector), greet);
    (client.unwrap(), server, port)
}

/// The server takes up the session that comes next.
async fn resume(port: &mut Port, received: u64) -> Raw<DuplexStream> {
    let mut server = arrived(port).await;
    let resume = asked(&mut server).await;
    assert!(resume.starts_with("Resume"), "{resume}");
    tell(&mut server, &ServerMessage::Resumed { secret: Secret([2; 16]), received }).await;
    server
}

async fn hear_reconnecting(client: &mut Client) -> DisconnectReason {
    match next(client).await {
        ServerEvent::Reconnecting { reason } => reason,
        event => panic!("{event:?}"),
    }
}

async fn hear_direct(client: &mut Client) -> bytes::Bytes {
    match next(client).await {
        ServerEvent::Direct { data, .. } => data,
        event => panic!("{event:?}"),
    }
}

fn small(payload: &[u8]) -> String {
    let message_type = MessageType::RAW;
    format!("{:?}", ClientMessage::ToServer { room: RoomId(0), message_type, payload })
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_is_replaced_and_the_session_goes_on() {
    let (mut client, mut server, mut port) = connect(Client::builder()).await;
    tell(&mut server, &direct(b"before")).await;
    assert_eq!(hear_direct(&mut client).await, "before");
    client.send_to_server(b"one").await.unwrap();
    assert_eq!(asked(&mut server).await, small(b"one"));
    drop(server);
    assert_eq!(hear_reconnecting(&mut client).await, DisconnectReason::ConnectionClosed);
    client.send_to_server(b"two").await.unwrap();
    let mut server = resume(&mut port, 0).await;
    tell(&mut server, &direct(b"after")).await;
    assert_eq!(next(&mut client).await, ServerEvent::Resumed);
    assert_eq!(hear_direct(&mut client).await, "after");
    client.send_to_server(b"three").await.unwrap();
    for payload in [&b"one"[..], b"two", b"three"] {
        assert_eq!(asked(&mut server).await, small(payload));
    }
    assert_eq!(client.client_id(), ME);
    client.disconnect().await;
    assert!(asked(&mut server).await.starts_with("Close"));
    assert_eq!(client.recv().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_silent_link_is_replaced_without_a_goodbye() {
    let interval = Duration::from_secs(5);
    let (mut client, mut server, mut port) = connect_pinged(Client::builder(), interval).await;
    let start = Instant::now();
    let reason = hear_reconnecting(&mut client).await;
    assert_eq!(start.elapsed(), 2 * interval);
    assert_eq!(reason, DisconnectReason::Closed(CloseReason::IdleTimeout { after_ms: 10_000 }));
    assert_eq!(server.frame().await, None);
    let _server = resume(&mut port, 0).await;
    assert_eq!(next(&mut client).await, ServerEvent::Resumed);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_cannot_be_resumed_on_is_followed_by_others() {
    let (mut client, server, mut port) = connect(Client::builder()).await;
    drop(server);
    hear_reconnecting(&mut client).await;
    // One that says nothing, one that ends, then a good one.
    let _silent = arrived(&mut port).await;
    let start = Instant::now();
    drop(arrived(&mut port).await);
    assert!(start.elapsed() >= Duration::from_secs(5), "the handshake's limit");
    let _server = resume(&mut port, 0).await;
    assert_eq!(next(&mut client).await, ServerEvent::Resumed);
}

fn rate_limited(seconds: u32) -> CloseReason {
    CloseReason::RateLimited { retry_after_ms: seconds * 1000 }
}

#[tokio::test(start_paused = true)]
async fn who_was_put_out_for_asking_too_much_comes_back_when_it_is_asked_to() {
    let (mut client, mut server, mut port) = connect(Client::builder()).await;
    let start = Instant::now();
    tell(&mut server, &ServerMessage::Close { reason: rate_limited(5) }).await;
    let reason = hear_reconnecting(&mut client).await;
    assert_eq!(reason, DisconnectReason::Closed(rate_limited(5)));
    let _server = resume(&mut port, 0).await;
    assert_eq!(next(&mut client).await, ServerEvent::Resumed);
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_to_stay_away_for_longer_than_its_seat_is_held_is_told_at_once() {
    let (mut client, mut server, mut port) = connect(Client::builder()).await;
    let start = Instant::now();
    tell(&mut server, &ServerMessage::Close { reason: rate_limited(60) }).await;
    hear_reconnecting(&mut client).await;
    assert_eq!(client.recv().await, Err(DisconnectReason::Closed(rate_limited(60))));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    // Its address is barred while it looks for another link.
    let (mut client, server, mut other) = connect(Client::builder()).await;
    drop(server);
    hear_reconnecting(&mut client).await;
    let mut barred = arrived(&mut other).await;
    asked(&mut barred).await;
    tell(&mut barred, &ServerMessage::Close { reason: rate_limited(60) }).await;
    assert_eq!(client.recv().await, Err(DisconnectReason::Closed(rate_limited(60))));
    assert!(port.try_recv().is_err(), "it does not try");
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_up_when_its_time_is_over() {
    let five = Duration::from_secs(5);
    for (builder, patience) in
        [(Client::builder(), GRACE), (Client::builder().resume_for(five), five)]
    {
        let (mut client, server, port) = connect(builder).await;
        drop((server, port));
        let start = Instant::now();
        hear_reconnecting(&mut client).await;
        assert_eq!(client.recv().await, Err(DisconnectReason::ConnectionClosed));
        assert_eq!(start.elapsed(), patience);
        let end = SendError::Disconnected(DisconnectReason::ConnectionClosed);
        assert_eq!(client.send_to_server(b"late").await, Err(end));
    }
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_are_random_and_bounded() {
    let (mut client, server, mut port) = connect(Client::builder()).await;
    drop(server);
    hear_reconnecting(&mut client).await;
    let (mut longest, mut last, mut sum) = (Duration::from_millis(100), Instant::now(), 0.0);
    let mut attempts = 0;
    while let Ok(Some((at, link))) = timeout(GRACE, port.recv()).await {
        drop(link);
        let wait = at - last;
        assert!(wait <= longest + Duration::from_millis(2), "{wait:?} of {longest:?}");
        sum += wait.div_duration_f64(longest);
        attempts += 1;
        last = at;
        longest = (2 * longest).min(Duration::from_secs(5));
    }
    assert!((7..60).contains(&attempts), "{attempts}");
    let mean = sum / f64::from(attempts);
    assert!((0.05..0.95).contains(&mean), "{mean}");
    assert_eq!(client.recv().await, Err(DisconnectReason::ConnectionClosed));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_patience_gets_it() {
    let (mut client, server, mut port) = connect(Client::builder()).await;
    drop(server);
    hear_reconnecting(&mut client).await;
    let mut server = arrived(&mut port).await;
    let reason = CloseReason::MaxClientsReached { max: 1, retry_after_ms: 4000 };
    tell(&mut server, &ServerMessage::Close { reason }).await;
    let start = Instant::now();
    let _server = resume(&mut port, 0).await;
    assert!(start.elapsed() >= Duration::from_secs(4));
    assert_eq!(next(&mut client).await, ServerEvent::Resumed);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_for_good_ends_the_client() {
    let (mut client, server, mut port) = connect(Client::builder()).await;
    drop(server);
    hear_reconnecting(&mut client).await;
    let mut server = arrived(&mut port).await;
    let reason = CloseReason::Kicked { message: "out".to_owned() };
    tell(&mut server, &ServerMessage::Close { reason: reason.clone() }).await;
    assert_eq!(client.recv().await, Err(DisconnectReason::Closed(reason)));
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_without_a_link_takes_no_time() {
    let (mut client, server, port) = connect(Client::builder()).await;
    drop((server, port));
    hear_reconnecting(&mut client).await;
    let start = Instant::now();
    client.disconnect().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(client.recv().await, Ok(None));
    let (mut client, server, mut port) = connect(Client::builder()).await;
    drop(server);
    hear_reconnecting(&mut client).await;
    drop(client);
    assert!(port.recv().await.is_none(), "nobody comes any more");
}

#[tokio::test(start_paused = true)]
async fn requests_wait_when_too_many_are_kept() {
    let builder = Client::builder().outbox_limit(10_000);
    let (mut client, server, mut port) = connect(builder).await;
    drop(server);
    hear_reconnecting(&mut client).await;
    let mut kept = 0;
    let sender = client.sender();
    while timeout(Duration::ZERO, sender.send_to_server([7; 5000])).await.is_ok() {
        kept += 1;
    }
    assert!((20..40).contains(&kept), "{kept}");
    let options = ghost_sync_core::SendOptions::default();
    assert!(matches!(sender.try_broadcast(b"", &options), Err(SendError::OutboxFull { .. })));
    let (mut server, sent) = tokio::join!(resume(&mut port, kept), sender.send_to_server(b"late"));
    sent.unwrap();
    assert_eq!(asked(&mut server).await, small(b"late"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restarted_gives_the_rooms_back() {
    let (mut client, mut server, mut port) = connect(Client::builder()).await;
    client.create_or_join("lobby", b"small").await.unwrap();
    assert!(asked(&mut server).await.starts_with("Join"));
    seat(&mut server, 1, ME).await;
    hear_joined(&mut client, "lobby").await;
    drop(server);
    hear_reconnecting(&mut client).await;
    let mut server = arrived(&mut port).await;
    assert!(asked(&mut server).await.contains("[Progress { room: RoomId(3), last: 6, own: 0 }]"));
    let reason = ResumeFailure::EpochChanged;
    tell(&mut server, &ServerMessage::ResumeFailed { reason: reason.clone() }).await;
    assert!(asked(&mut server).await.starts_with("Hello"));
    let other = ClientId::from_u128(2);
    tell(&mut server, &welcome(other, Duration::ZERO)).await;
    // It makes no room by itself: the others of that room would not be in it.
    let if_missing = IfMissing::Refuse;
    let options = JoinOptions { if_missing, ..JoinOptions::default() };
    let join = ClientMessage::Join { request: 2, room: "lobby", options };
    assert_eq!(asked(&mut server).await, format!("{join:?}"));
    seat(&mut server, 2, other).await;
    assert_eq!(next(&mut client).await, ServerEvent::ResumeFailed { reason });
    assert_eq!(next(&mut client).await, ServerEvent::Renewed { client_id: other });
    let ServerEvent::Joined { client_id, rejoined: true, .. } = next(&mut client).await else {
        panic!()
    };
    assert_eq!((client_id, client.client_id()), (other, other));
}

/// A client that was in the lobby of a server that was restarted, which it has asked for the
/// room again.
async fn forgotten() -> (Client, Raw<DuplexStream>, ClientId) {
    let (mut client, mut server, mut port) = connect(Client::builder()).await;
    client.join("lobby").await.unwrap();
    asked(&mut server).await;
    seat(&mut server, 1, ME).await;
    hear_joined(&mut client, "lobby").await;
    drop(server);
    hear_reconnecting(&mut client).await;
    let mut server = arrived(&mut port).await;
    asked(&mut server).await;
    let reason = ResumeFailure::EpochChanged;
    tell(&mut server, &ServerMessage::ResumeFailed { reason }).await;
    asked(&mut server).await;
    let id = ClientId::from_u128(2);
    tell(&mut server, &welcome(id, Duration::ZERO)).await;
    assert!(asked(&mut server).await.starts_with("Join"));
    assert!(matches!(next(&mut client).await, ServerEvent::ResumeFailed { .. }));
    assert!(matches!(next(&mut client).await, ServerEvent::Renewed { .. }));
    (client, server, id)
}

#[tokio::test(start_paused = true)]
async fn a_rejoin_that_is_refused_is_not_taken_for_a_join_of_the_program() {
    let (mut client, mut server, _) = forgotten().await;
    client.join("lobby").await.unwrap();
    asked(&mut server).await;
    let reason = Refusal::RoomNotFound { room: "lobby".to_owned() };
    for request in [2, 3] {
        tell(&mut server, &ServerMessage::JoinRefused { request, reason: reason.clone() }).await;
    }
    for request in [RequestKind::Rejoin, RequestKind::Join] {
        let ServerEvent::Refused(error) = next(&mut client).await else { panic!() };
        assert_eq!((error.request, error.room), (request, Some(name("lobby"))));
        assert_eq!(error.reason, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_beside_a_rejoin_of_the_same_room_is_one_seat_and_no_refusal() {
    let (mut client, mut server, id) = forgotten().await;
    client.join("lobby").await.unwrap();
    asked(&mut server).await;
    seat(&mut server, 2, id).await;
    let reason = Refusal::AlreadyJoined { room: "lobby".to_owned() };
    tell(&mut server, &ServerMessage::JoinRefused { request: 3, reason }).await;
    assert!(matches!(next(&mut client).await, ServerEvent::Joined { rejoined: true, .. }));
    let room = name("lobby");
    assert_eq!(next(&mut client).await, ServerEvent::AlreadyJoined { room: room.clone() });
    assert_eq!(client.rooms(), [room]);
}

/// Gives the client a seat.
async fn seat(server: &mut Raw<DuplexStream>, request: u32, client_id: ClientId) {
    let (seat, name, meta) = (Seat(1), "lobby", vec![]);
    let joined = ServerMessage::Joined {
        request,
        room: ROOM,
        name,
        epoch: 1,
        seq: 6,
        since: 7,
        seat,
        capacity: 0,
        members: 1,
        meta_version: 0,
        meta: vec![],
        former: vec![],
    };
    tell(server, &joined).await;
    let members = vec![MemberInfo {
        seat,
        client_id,
        meta_version: 0,
        meta,
        away: false,
        user: String::new(),
    }];
    tell(server, &ServerMessage::Roster { room: ROOM, members }).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_without_another_way_or_will_ends_with_its_link() {
    let never = Reconnect { enabled: false, ..Reconnect::default() };
    for builder in
        [Client::builder().resume_for(Duration::ZERO), Client::builder().reconnect(never)]
    {
        let (mut client, server, _port) = connect(builder).await;
        drop(server);
        assert_eq!(client.recv().await, Err(DisconnectReason::ConnectionClosed));
    }
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let mut server = Raw::new(theirs);
    let greeting = welcome(ME, Duration::ZERO);
    let greet = tell(&mut server, &greeting);
    let (client, ()) = tokio::join!(Client::builder().connect_over(ours), greet);
    drop(server);
    assert_eq!(client.unwrap().recv().await, Err(DisconnectReason::ConnectionClosed));
}

#[tokio::test]
async fn over_tcp_the_way_is_gone_again_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let greet = async {
        let mut server = Raw::new(listener.accept().await.unwrap().0);
        asked(&mut server).await;
        tell(&mut server, &welcome(ME, Duration::ZERO)).await;
    };
    let (client, ()) = tokio::join!(Client::connect(addr), greet);
    let mut client = client.unwrap();
    hear_reconnecting(&mut client).await;
    let mut server = Raw::new(listener.accept().await.unwrap().0);
    assert!(asked(&mut server).await.starts_with("Resume"));
    let resumed = ServerMessage::Resumed { secret: Secret([2; 16]), received: 0 };
    tell(&mut server, &resumed).await;
    assert_eq!(next(&mut client).await, ServerEvent::Resumed);
}
