//! A thread that reads many sockets.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender},
    },
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};

use crate::{
    member::{Member, Meter},
    socket::Socket,
};

/// What all threads of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// When the run's clock was 0.
    pub(crate) start: Instant,
    /// From when to when is measured, in nanoseconds of that clock.
    pub(crate) window: (AtomicU64, AtomicU64),
    /// Whether senders go on.
    pub(crate) sending: AtomicBool,
    /// Whether stalled members read after all.
    pub(crate) resumed: AtomicBool,
    /// Whether everything ends.
    pub(crate) ended: AtomicBool,
    /// Broadcasts that came to members which read, or were announced as dropped.
    pub(crate) accounted: AtomicU64,
    /// Of these, the ones that came.
    pub(crate) received: AtomicU64,
    /// Broadcasts sent by readers.
    pub(crate) answers: AtomicU64,
    /// Connections that read and have not ended.
    pub(crate) alive: AtomicUsize,
}

impl Shared {
    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A reading thread's own things.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) poll: Poll,
    /// New members.
    pub(crate) incoming: Receiver<Member>,
    /// Says which members are served from now on: room, index and socket.
    pub(crate) seated: Sender<(u32, u16, Arc<Socket>)>,
    pub(crate) shared: Arc<Shared>,
}

/// Bytes of one read, at most.
const READ_BUFFER: usize = 256 * 1024;

/// How often a thread looks up without being called.
const TURN: Duration = Duration::from_millis(20);

impl Worker {
    /// Reads until everything ends; gives back the members and what was measured.
    pub(crate) fn run(mut self) -> io::Result<(Vec<Member>, Meter)> {
        let mut members: Vec<Member> = Vec::new();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BUFFER];
        let mut meter = Meter::new();
        while !self.shared.ended.load(Relaxed) {
            match self.poll.poll(&mut events, Some(TURN)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            meter.window = (self.shared.window.0.load(Relaxed), self.shared.window.1.load(Relaxed));
            meter.sending = self.shared.sending.load(Relaxed);
            for event in &events {
                let Some(member) = members.get_mut(event.token().0) else { continue };
                if event.is_writable()
                    && let Err(error) = member.socket.flush()
                {
                    member.lost(&error);
                }
                if event.is_readable() && !member.stalled {
                    self.read(member, &mut meter, &mut buffer, event.is_read_closed());
                }
            }
            while let Ok(mut member) = self.incoming.try_recv() {
                self.adopt(&mut member, members.len())?;
                self.read(&mut member, &mut meter, &mut buffer, false);
                members.push(member);
            }
            if self.shared.resumed.load(Relaxed) {
                for member in members.iter_mut().filter(|member| member.stalled) {
                    self.read(member, &mut meter, &mut buffer, true);
                }
            }
        }
        Ok((members, meter))
    }

    fn adopt(&self, member: &mut Member, at: usize) -> io::Result<()> {
        if let Some(socket) = Arc::get_mut(&mut member.socket) {
            socket.register(self.poll.registry(), Token(at))?;
        }
        self.shared.alive.fetch_add(usize::from(!member.stalled), Relaxed);
        // If nobody waits any more, the run is over.
        let _ = self.seated.send((member.room, member.index, member.socket.clone()));
        Ok(())
    }

    /// Reads until the socket is empty. `to_the_end`: a short read is not enough.
    fn read(&self, member: &mut Member, meter: &mut Meter, buffer: &mut [u8], to_the_end: bool) {
        if member.stalled && !self.shared.resumed.load(Relaxed) || member.end.is_some() {
            return;
        }
        let before = member.tally;
        let rest = std::mem::take(&mut member.rest);
        meter.now = self.shared.now();
        member.take(&rest, meter);
        while member.end.is_none() {
            match member.socket.read(buffer) {
                Ok(0) => member.finish("the server closed the connection".to_owned()),
                Ok(read) => {
                    meter.now = self.shared.now();
                    member.take(&buffer[..read], meter);
                    // An edge comes with every arrival after this read.
                    if cfg!(unix) && read < buffer.len() && !to_the_end {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => member.lost(&error),
            }
        }
        if member.stalled {
            return;
        }
        let (shared, tally) = (&self.shared, &member.tally);
        let received = tally.received - before.received;
        let announced = tally.announced - before.announced;
        shared.received.fetch_add(received, Relaxed);
        shared.answers.fetch_add(tally.answers - before.answers, Relaxed);
        shared.accounted.fetch_add(received + announced, Relaxed);
        shared.alive.fetch_sub(usize::from(member.end.is_some()), Relaxed);
    }
}
