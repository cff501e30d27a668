//! Records a match of ping-pong, shows it again at four times its speed, and
//! plays it once more on another server to see whether that comes to the same
//! score.
//!
//! ```sh
//! cargo run -p ghost_sync_core --example replay
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::{
    error::Error,
    fs::File,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ghost_sync_core::{
    Client, ClientId, Recording, Server, ServerEvent, ServerHandle, ServerHandler,
    recording::{PerformOptions, PlaybackOptions, Speed},
};
use tokio::time::sleep;

const ROOM: &str = "table";
const WIDTH: usize = 40;

/// The rules of this table: somebody scores where the ball goes past an edge.
#[derive(Clone, Default)]
struct Score(Arc<[AtomicU32; 2]>);

impl ServerHandler for Score {
    fn on_broadcast(&self, _: ClientId, _: &str, ball: &[u8]) {
        match ball.first() {
            Some(0) => self.0[1].fetch_add(1, Ordering::Relaxed),
            Some(x) if usize::from(*x) >= WIDTH => self.0[0].fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Score {
    fn text(&self) -> String {
        let [left, right] = &*self.0;
        format!("{} : {}", left.load(Ordering::Relaxed), right.load(Ordering::Relaxed))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("ping-pong-{}.ghostrec", std::process::id()));

    let (server, score) = table().await?;
    let recorder = server.record(ROOM, File::create(&path)?)?;
    println!("two players rally for two seconds, on the record ...");
    rally(&server).await?;
    let summary = recorder.stop().await?;
    println!("score {}; {} events in {} bytes", score.text(), summary.events, summary.bytes);

    println!("\nthe same again, four times as fast:");
    let recording = Recording::open(&path)?;
    watch(&recording).await?;

    println!("\nand on a server that knows nothing of it:");
    let (again, other_score) = table().await?;
    let connector = move || std::future::ready(Ok(again.connect_local()));
    let options = PerformOptions { speed: Speed::FASTEST, ..PerformOptions::default() };
    let performance = recording.perform(connector, options).await;
    println!("score {}; {} deeds done again", other_score.text(), performance.performed);

    std::fs::remove_file(path)?;
    Ok(())
}

async fn table() -> Result<(ServerHandle, Score), Box<dyn Error>> {
    let score = Score::default();
    let server = Server::builder().local_only().handler(score.clone()).build().run().await?;
    server.create_room_with(ROOM, ghost_sync_core::RoomConfig::default().observed())?;
    Ok((server, score))
}

/// Two clients hit a ball to and fro; now and then one misses it.
async fn rally(server: &ServerHandle) -> Result<(), Box<dyn Error>> {
    let mut players = Vec::new();
    for name in ["Ann", "Bob"] {
        let builder = Client::builder().metadata("name", name);
        let mut player = builder.connect_over(server.connect_local()).await?;
        player.join(ROOM).await?;
        player.recv().await?;
        players.push(player);
    }
    for hit in 0..40_usize {
        let player = &players[hit / 10 % 2];
        let way = (hit % 10) * WIDTH / 9;
        let x = if hit / 10 % 2 == 0 { way } else { WIDTH - way };
        player.broadcast([u8::try_from(x)?]).await?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Any client can watch a recording; it does not know that it is one.
async fn watch(recording: &Recording) -> Result<(), Box<dyn Error>> {
    let speed = Speed::new(4.0).ok_or("no speed")?;
    let playback = recording.serve(PlaybackOptions { speed, ..PlaybackOptions::default() });
    let mut viewer = Client::builder().connect_over(playback.connect_local()).await?;
    viewer.join(ROOM).await?;
    while let Some(event) = viewer.recv().await? {
        if let ServerEvent::Broadcast { data, .. } = event {
            let x = data.first().map_or(0, |x| usize::from(*x)).min(WIDTH);
            print!("\r|{:x$}o{:rest$}|", "", "", rest = WIDTH - x);
            std::io::stdout().flush()?;
        } else if let ServerEvent::Left { reason, .. } = event {
            println!("  {reason}");
            return Ok(());
        }
    }
    Ok(())
}
