//! A bad network between clients and a server.
//!
//! ```text
//! cargo run --bin proxy -- 127.0.0.1:7777 --delay 50ms --jitter 20ms
//! cargo run --bin proxy -- 127.0.0.1:7777 --seed 7 --reset-at 1000..5000 --direction down
//! ```
//!
//! The first line on standard output is `listening on ADDRESS`. Decisions depend
//! on the seed and on how many connections came before, so a run can be repeated.

mod args;
#[path = "../../../../../ghost_sync_core/tests/faults/proxy.rs"]
mod proxy;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use args::Args;
use clap::Parser;
use proxy::{Chaos, Proxy};

/// Why the proxy does not run.
#[derive(Debug, thiserror::Error)]
enum ProxyError {
    #[error("{0} is not the address of a server")]
    Target(String, #[source] io::Error),
    #[error("nothing is known about {0}")]
    Nowhere(String),
    #[error("cannot listen on {0}")]
    Listen(String, #[source] io::Error),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = std::error::Error::source(&error);
            let cause = source.map(|source| format!(": {source}")).unwrap_or_default();
            let _ = writeln!(io::stderr(), "error: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), ProxyError> {
    let target = tokio::net::lookup_host(&args.target)
        .await
        .map_err(|error| ProxyError::Target(args.target.clone(), error))?
        .next()
        .ok_or_else(|| ProxyError::Nowhere(args.target.clone()))?;
    let refuse = !args.refuse_for.is_zero();
    let chaos = Chaos { refuse, ..args.chaos() };
    let proxy = Proxy::start(&args.listen, target, chaos)
        .await
        .map_err(|error| ProxyError::Listen(args.listen.clone(), error))?;
    let mut stdout = io::stdout();
    // Whoever started the proxy may have closed its end; that is no reason to stop.
    let _ = writeln!(stdout, "listening on {}", proxy.addr()).and_then(|()| stdout.flush());
    let calm_down = async {
        if refuse {
            tokio::time::sleep(args.refuse_for).await;
            proxy.change(|chaos| chaos.refuse = false);
        }
        if args.cut_all_every.is_zero() {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(args.cut_all_every.max(Duration::from_millis(1))).await;
            proxy.cut();
        }
    };
    tokio::select! {
        () = calm_down => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(ProxyError::Signals),
    }
}
