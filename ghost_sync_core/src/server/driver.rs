//! The task that writes and looks at the clock.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};

use super::service::Service;

/// The pause after a panic of ours, lest it fills the log.
const PAUSE: Duration = Duration::from_millis(100);

/// Drives a shard until the server has stopped. Even a bug of ours does not end it.
pub(super) async fn drive(service: Arc<Service>) {
    while let Err(error) = tokio::spawn(until_stopped(service.clone())).await {
        tracing::error!(%error, "the server goes on after a bug");
        sleep(PAUSE).await;
    }
}

async fn until_stopped(service: Arc<Service>) {
    tokio::select! {
        () = service.stopped() => {}
        () = work(&service) => {}
    }
}

async fn work(service: &Service) {
    let shard = &service.shard;
    loop {
        let deadline = shard.next_deadline().map(Instant::from_std);
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shard.work.notified() => {}
            () = due => {}
        }
        // Whoever has bytes to read reads them first: the batches grow here.
        yield_now().await;
        shard.tick();
        while shard.flush() {
            yield_now().await;
        }
        if shard.host.dispatch().is_none() {
            shard.host.values.bury();
        }
    }
}
