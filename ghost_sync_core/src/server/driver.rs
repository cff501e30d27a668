//! The task that writes and looks at the clock.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use tokio::time::sleep;

use super::{
    alarm::{Alarm, Precision},
    service::Service,
};

/// The pause after a panic of ours, lest it fills the log.
const PAUSE: Duration = Duration::from_millis(100);

/// Notes that a server has stopped when nothing drives it any more.
struct End(Arc<Service>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Drives a shard until the server has stopped. Even a bug of ours does not end it; with the
/// end of the runtime the server has stopped.
pub(super) async fn drive(service: Arc<Service>, timer: Precision) {
    let _end = End(service.clone());
    while let Err(error) = tokio::spawn(until_stopped(service.clone(), timer)).await {
        tracing::error!(%error, "the server goes on after a bug");
        sleep(PAUSE).await;
    }
}

async fn until_stopped(service: Arc<Service>, timer: Precision) {
    tokio::select! {
        () = service.stopped() => {}
        () = work(&service, timer) => {}
    }
}

async fn work(service: &Service, timer: Precision) {
    let shard = &service.shard;
    let mut alarm = Alarm::new(timer);
    loop {
        others_first().await;
        shard.tick();
        shard.flush();
        shard.extensions.drop_ended();
        let Ok(due) = shard.rest() else { continue };
        alarm.set(due);
        tokio::select! {
            () = shard.work.notified() => {}
            () = alarm.rang() => {}
        }
    }
}

/// Lets everybody run who is ready to: whoever has bytes to read reads them first, and
/// the batches grow.
///
/// Unlike `yield_now`, this asks for no news from the operating system.
async fn others_first() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
