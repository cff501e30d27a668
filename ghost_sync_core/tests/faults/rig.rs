//! A server with honest clients on it, who talk for as long as an abuse goes on
//! and compare what they heard afterwards.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Once},
    time::Duration,
};

use ghost_sync_core::{
    Client, ClientId, SendFlags, SendOptions, Server, ServerBuilder, ServerEvent, ServerHandle,
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

/// The room where the abuse happens, if it happens in a room.
pub(crate) const SHARED: &str = "shared";

/// The room that no abuser is ever in.
pub(crate) const CALM: &str = "calm";

/// How long anything may take before a test gives up; far more than it should.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Settings that leave nothing behind when a connection is gone.
pub(crate) fn builder() -> ServerBuilder {
    Server::builder().bind("127.0.0.1:0").room(SHARED).room(CALM).resume_grace(Duration::ZERO)
}

/// A server, and two honest clients in each of its rooms.
pub(crate) struct Rig {
    pub(crate) server: ServerHandle,
    pub(crate) addr: SocketAddr,
    honest: Vec<Honest>,
    stop: watch::Sender<bool>,
    before: Counts,
    panics: usize,
}

struct Honest {
    room: &'static str,
    id: ClientId,
    said: watch::Receiver<u64>,
    task: JoinHandle<Diary>,
}

/// What one client heard of its room.
struct Diary {
    client: Client,
    since: u64,
    /// Who said what (as a checksum), by its place in the order.
    heard: BTreeMap<u64, (ClientId, u64)>,
    gaps: Vec<(u64, u64)>,
    present: HashSet<ClientId>,
    joined: usize,
    left: usize,
}

/// What an abuse must not leave behind.
#[derive(Debug, Eq, PartialEq)]
struct Counts {
    clients: usize,
    rooms: usize,
    players: Vec<Option<usize>>,
    tasks: usize,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(builder()).await
    }

    /// `builder` is [`builder`] with more settings.
    pub(crate) async fn with(builder: ServerBuilder) -> Self {
        count_panics();
        Self::on(builder.build().run().await.unwrap()).await
    }

    async fn on(server: ServerHandle) -> Self {
        let addr = server.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut honest = Vec::new();
        for room in [SHARED, CALM] {
            let mut clients = [enter(addr, room).await, enter(addr, room).await];
            let (client, since) = &mut clients[0];
            match client.recv().await {
                Ok(Some(ServerEvent::PlayerJoined { seq, .. })) => *since = seq,
                event => panic!("{event:?}"),
            }
            let ids = clients.each_ref().map(|(client, _)| client.client_id());
            for (client, since) in clients {
                honest.push(Honest::start(room, ids, client, since, stopped.clone()));
            }
        }
        let before = Counts::of(&server);
        let rig = Self { server, addr, honest, stop, before, panics: PANICS.get() };
        rig.round().await;
        rig
    }

    /// Waits until every honest client has said and heard some more.
    pub(crate) async fn round(&self) {
        let start: Vec<u64> = self.honest.iter().map(|honest| *honest.said.borrow()).collect();
        for (honest, start) in self.honest.iter().zip(start) {
            let mut said = honest.said.clone();
            let progress = said.wait_for(|said| *said >= start + 10);
            tokio::time::timeout(PATIENCE, progress)
                .await
                .unwrap_or_else(|_| panic!("nothing goes on in {}", honest.room))
                .expect("an honest client ended");
        }
    }

    /// Waits until the server is as it was before the abuse, then checks what the
    /// honest clients heard.
    pub(crate) async fn finish(self) {
        self.round().await;
        let recovered = within(RECOVERY, || Counts::of(&self.server) == self.before).await;
        assert!(recovered, "left behind: {:?}, not {:?}", Counts::of(&self.server), self.before);
        self.round().await;
        self.stop.send_replace(true);
        let mut rooms = BTreeMap::<_, Vec<_>>::new();
        for honest in self.honest {
            let diary = tokio::time::timeout(PATIENCE, honest.task).await.unwrap().unwrap();
            rooms.entry(honest.room).or_default().push((honest.id, diary));
        }
        for (room, diaries) in rooms {
            compare(room, &diaries);
            if room == CALM {
                let ids: Vec<_> = diaries.iter().map(|(id, _)| *id).collect();
                for (_, diary) in &diaries {
                    let strangers = diary.heard.values().filter(|(who, _)| !ids.contains(who));
                    assert_eq!(strangers.count(), 0, "somebody else was heard in {room}");
                    assert_eq!((diary.joined, diary.gaps.len()), (0, 0));
                }
            }
        }
        assert_eq!(PANICS.get(), self.panics, "something panicked");
        self.server.shutdown_with("over", Duration::from_secs(5)).await;
    }
}

impl Counts {
    fn of(server: &ServerHandle) -> Self {
        Self {
            clients: server.client_count(),
            rooms: server.room_count(),
            players: [SHARED, CALM].map(|room| server.room_client_count(room)).into(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        }
    }
}

impl Honest {
    fn start(
        room: &'static str,
        pair: [ClientId; 2],
        client: Client,
        since: u64,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let (progress, said) = watch::channel(0);
        let id = client.client_id();
        let diary = Diary {
            client,
            since,
            heard: BTreeMap::new(),
            gaps: Vec::new(),
            present: pair.into(),
            joined: 0,
            left: 0,
        };
        let task = tokio::spawn(diary.write(room, pair, progress, stopped));
        Self { room, id, said, task }
    }
}

impl Diary {
    /// Talks and listens until it is stopped and has heard the last of both.
    async fn write(
        mut self,
        room: &'static str,
        pair: [ClientId; 2],
        progress: watch::Sender<u64>,
        mut stopped: watch::Receiver<bool>,
    ) -> Self {
        let id = self.client.client_id();
        let mut heard = [0; 2];
        let mut done = [false; 2];
        let mut said = 0;
        let mut stopping = false;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let echo = || SendOptions { flags: SendFlags::ECHO, ..SendOptions::default() };
        while done != [true; 2] {
            tokio::select! {
                event = self.client.recv() => {
                    let event = event
                        .unwrap_or_else(|end| panic!("an honest client of {room} was closed: {end}"))
                        .expect("it does not close by itself");
                    let Some((sender, note)) = self.hear(room, &event) else { continue };
                    let Some(at) = pair.iter().position(|honest| *honest == sender) else { continue };
                    let note = note.expect("what an honest client said came whole");
                    assert_eq!((note.room, note.id), (fnv(room.as_bytes()), sender));
                    assert_eq!(note.number, heard[at] + 1, "{room}: lost without a word");
                    heard[at] = note.number;
                    done[at] = note.last;
                    progress.send_replace(heard[0].min(heard[1]));
                }
                _ = pace.tick(), if !stopping => {
                    said += 1;
                    stopping = *stopped.borrow_and_update();
                    let note = Note { room: fnv(room.as_bytes()), id, number: said, last: stopping };
                    self.client.broadcast_with(note.to_bytes(), echo()).await.unwrap();
                }
            }
        }
        self
    }

    /// Notes an event down; returns who said something, and what.
    fn hear(&mut self, room: &str, event: &ServerEvent) -> Option<(ClientId, Option<Note>)> {
        assert!(event.room().is_none_or(|of| of == room), "{room} got {event:?}");
        match event {
            ServerEvent::Broadcast { sender, seq, data, .. } => {
                let sender_id = sender.client_id().expect("players alone speak");
                assert!(self.present.contains(&sender_id), "{room}: heard from outside");
                self.heard.insert(*seq, (sender_id, fnv(data)));
                return Some((sender_id, Note::from_bytes(data)));
            }
            ServerEvent::PlayerJoined { seq, client_id, .. } => {
                self.joined += 1;
                assert!(self.present.insert(*client_id), "{room}: joined twice");
                self.heard.insert(*seq, (*client_id, 0));
            }
            ServerEvent::PlayerLeft { seq, client_id, .. } => {
                self.left += 1;
                assert!(self.present.remove(client_id), "{room}: left twice");
                self.heard.insert(*seq, (*client_id, 1));
            }
            ServerEvent::PlayerMetadata { seq, client_id, .. } => {
                self.heard.insert(*seq, (*client_id, 2));
            }
            ServerEvent::Gap { from, to, .. } => self.gaps.push((*from, *to)),
            event => panic!("{room}: {event:?}"),
        }
        None
    }
}

/// One order for both, nothing missing, and as many leaves as joins.
fn compare(room: &str, diaries: &[(ClientId, Diary)]) {
    let [(_, first), (_, second)] = diaries else { panic!("two in each room") };
    for (seq, entry) in &first.heard {
        if let Some(other) = second.heard.get(seq) {
            assert_eq!(entry, other, "{room}: two different events {seq}");
        }
    }
    for diary in [first, second] {
        assert_eq!(diary.joined, diary.left, "{room}: everybody who came has left once");
        assert!(diary.client.rooms().iter().any(|name| *name == room));
        let mut next = diary.since + 1;
        let last = *diary.heard.keys().next_back().unwrap();
        while next <= last {
            if diary.heard.contains_key(&next) {
                next += 1;
            } else {
                let gap = diary.gaps.iter().find(|(from, to)| (from..=to).contains(&&next));
                next = gap.unwrap_or_else(|| panic!("{room}: {next} is missing")).1 + 1;
            }
        }
    }
}

/// A client that has joined, and its place in the room's order.
pub(crate) async fn enter(addr: SocketAddr, room: &str) -> (Client, u64) {
    let mut client = Client::connect(addr).await.unwrap();
    client.join(room).await.unwrap();
    match client.recv().await {
        Ok(Some(ServerEvent::Joined { seq, .. })) => (client, seq),
        event => panic!("{event:?}"),
    }
}

/// Waits until `is` says so; `false` if it never does.
pub(crate) async fn until(is: impl FnMut() -> bool) -> bool {
    within(PATIENCE, is).await
}

async fn within(limit: Duration, mut is: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !is() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    true
}

/// What honest clients say.
struct Note {
    room: u64,
    id: ClientId,
    number: u64,
    last: bool,
}

impl Note {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MARK.to_vec();
        bytes.extend(self.room.to_le_bytes());
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.number.to_le_bytes());
        bytes.push(self.last.into());
        bytes.extend(fnv(&bytes).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<8>()?;
        let (mark, rest) = body.split_first_chunk::<4>()?;
        let (room, rest) = rest.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (number, last) = rest.split_first_chunk::<8>()?;
        if *mark != MARK || u64::from_le_bytes(*sum) != fnv(body) {
            return None;
        }
        Some(Self {
            room: u64::from_le_bytes(*room),
            id: ClientId::from_bytes(*id),
            number: u64::from_le_bytes(*number),
            last: *last == [1],
        })
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// From here on panics of this thread are counted, those in tasks too.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = Arc::new(std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Shorter than the server's own timeouts, which in the end clean up what leaked.
const RECOVERY: Duration = Duration::from_secs(4);

const MARK: [u8; 4] = *b"HNST";

/// How often an honest client says something.
const PACE: Duration = Duration::from_millis(3);
