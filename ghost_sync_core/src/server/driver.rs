//! The task that writes and looks at the clock.

use std::sync::Arc;

use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::service::Service;

/// Drives a shard until the server has stopped.
pub(super) async fn drive(service: Arc<Service>) {
    let stopped = service.stopped();
    tokio::select! {
        () = stopped => {}
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
