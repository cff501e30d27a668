//! The bots: plain clients, without Bevy, that play like everybody else.

use std::{io, pin::pin, time::Duration};

use bevy::prelude::*;
use bevy_ghost_client::typed::MessageRegistry;
use ghost_sync_core::{
    Client, ConnectError, Delivery, MessageType, Protocol,
    client::{SendOptions, ServerEvent},
};
use tokio::{
    runtime, select,
    sync::watch,
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    client::PACE,
    haunts::{HAUNTS, PORTAL},
    protocol::{Lantern, News, Pose, protocol},
    wander::Wanderer,
};

/// Who stops bots.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Until {
    /// The process ends, without them.
    TheEnd,
    /// They are told to end, or that time is over.
    Told(Option<Duration>),
}

/// Runs `count` bots. Fails when the server will never take them.
pub(crate) fn bots(count: usize, server: &str, until: Until) -> AppExit {
    let mut app = App::new();
    MessageRegistry::enable_client(&mut app);
    protocol(&mut app);
    let protocol = app.world().resource::<MessageRegistry>().protocol().unwrap_or_default();
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("no bots: {error}");
            return AppExit::error();
        }
    };
    runtime.block_on(async move {
        let (stop, stopped) = watch::channel(false);
        let mut bots = JoinSet::new();
        for number in 0..count {
            let talks = number == 0 && until != Until::TheEnd;
            let (server, protocol) = (server.to_owned(), protocol.clone());
            bots.spawn(Bot { number, talks, server, protocol, stopped: stopped.clone() }.run());
        }
        let mut exit = AppExit::Success;
        let mut told = pin!(told(until));
        loop {
            select! {
                ended = bots.join_next() => match ended {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(_)) | Err(_)) => exit = AppExit::error(),
                    None => return exit,
                },
                () = &mut told, if !*stop.borrow() => {
                    stop.send_replace(true);
                }
            }
        }
    })
}

/// Waits until the bots are to end.
async fn told(until: Until) {
    let Until::Told(after) = until else { return std::future::pending().await };
    let over = async {
        match after {
            Some(after) => time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    select! {
        () = over => {}
        // Without signals the process ends as the system likes.
        Ok(()) = signal() => {}
    }
}

/// Waits for Ctrl-C, and on Unix for SIGTERM and SIGHUP too.
async fn signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        select! {
            ended = tokio::signal::ctrl_c() => ended?,
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Waits until bots are stopped.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that nobody is there to stop them but the end of all.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

struct Bot {
    number: usize,
    /// Whether it says how its connection does, for all of them.
    talks: bool,
    server: String,
    protocol: Protocol,
    stopped: watch::Receiver<bool>,
}

impl Bot {
    /// Haunts, and comes back when the connection ends.
    async fn run(mut self) -> Result<(), ConnectError> {
        let mut stopped = self.stopped.clone();
        let mut said = String::new();
        let start = time::sleep(Duration::from_millis(300) * self.number as u32);
        select! {
            () = start => {}
            () = stop(&mut stopped) => return Ok(()),
        }
        loop {
            let client =
                Client::builder().protocol(self.protocol.clone()).metadata("name", self.name());
            let connecting = client.connect(&self.server);
            let connected = select! {
                connected = connecting => connected,
                () = stop(&mut stopped) => return Ok(()),
            };
            let told = match &connected {
                Ok(_) => "connected".to_owned(),
                Err(error) if error.may_retry() => format!("{error}; trying again each second"),
                Err(error) => format!("gave up: {error}"),
            };
            if self.talks && told != said {
                println!("{}: {told}", self.server);
                said = told;
            }
            match connected {
                // How it ended does not matter: it is dialled again.
                Ok(client) => drop(self.play(client).await),
                Err(error) if !error.may_retry() => return Err(error),
                Err(_) => {}
            }
            select! {
                () = time::sleep(Duration::from_secs(1)) => {}
                () = stop(&mut stopped) => return Ok(()),
            }
        }
    }

    fn name(&self) -> String {
        const NAMES: [&str; 10] =
            ["Boo", "Wisp", "Shade", "Murmur", "Nyx", "Hush", "Glim", "Fen", "Echo", "Veil"];
        match (NAMES[self.number % NAMES.len()], self.number / NAMES.len()) {
            (name, 0) => name.to_owned(),
            (name, round) => format!("{name} {}", round + 1),
        }
    }

    /// Moves about, after lanterns, until the connection ends.
    async fn play(&mut self, client: Client) -> Option<()> {
        let (sender, mut events) = client.split();
        let options = SendOptions {
            delivery: Delivery::Latest(0),
            message_type: MessageType::of("Pose"),
            ..SendOptions::default()
        };
        let mut mind = Wanderer::new(self.number as u64 + 1);
        let mut lanterns = Lights::default();
        let mut here = self.number % HAUNTS.len();
        let (mut at, mut velocity, mut joined) = (HAUNTS[here].exit(), Vec2::ZERO, false);
        sender.join(HAUNTS[here].name).await.ok()?;
        let start = Instant::now();
        let mut ticks = time::interval(PACE);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut count = 0;
        loop {
            select! {
                event = events.recv() => {
                    let event = event.ok()??;
                    joined |= matches!(event, ServerEvent::Joined { .. });
                    lanterns.hear(&event);
                    continue;
                }
                () = stop(&mut self.stopped) => {
                    sender.disconnect().await;
                    return None;
                }
                _ = ticks.tick() => {}
            }
            if !joined {
                continue;
            }
            let (haunt, seconds) = (&HAUNTS[here], PACE.as_secs_f32());
            let lit = lanterns.0.iter().map(|lantern| lantern.at());
            let wish = mind.wish(haunt, at, velocity, lit, seconds);
            haunt.glide(&mut at, &mut velocity, wish, seconds);
            count += 1;
            let millis = start.elapsed().as_millis() as u32;
            let pose = Pose { count, millis, x: at.x, y: at.y };
            sender.try_broadcast(wincode::serialize(&pose).ok()?, &options).ok()?;
            if at.distance(haunt.portal) < PORTAL {
                here = 1 - here;
                (at, joined) = (HAUNTS[here].exit(), false);
                sender.join(HAUNTS[here].name).await.ok()?;
            }
        }
    }
}

/// The lanterns that a bot sees.
#[derive(Default)]
struct Lights(Vec<Lantern>);

impl Lights {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a bot heeds nothing else")]
    fn hear(&mut self, event: &ServerEvent) {
        let (message_type, data) = match event {
            ServerEvent::Broadcast { message_type, data, .. }
            | ServerEvent::Direct { message_type, data, .. } => (*message_type, data),
            _ => return,
        };
        if message_type != MessageType::of("News") {
            return;
        }
        match wincode::deserialize(data) {
            Ok(News::Lanterns(all)) => self.0 = all,
            Ok(News::Appeared(lantern)) => self.0.push(lantern),
            Ok(News::Caught { lantern, .. }) => self.0.retain(|other| other.id != lantern),
            Ok(News::Board { .. } | News::Crowned { .. }) | Err(_) => {}
        }
    }
}
